//! A guest whose file systems are frozen for the instant, that is suspended for it, or that shuts down.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use fleece_fleecing::Step;
use fleece_lab::{Disk, Domain, Libvirtd, Qemu};
use serde_json::Value;

use crate::support::ended::Ended;
use crate::support::libvirt::{
    self, DEVICES, assert_before, assert_clean, backup, io, kill, two_disks,
};
use crate::support::running::Running;
use crate::support::{self, Bench, button};

#[test]
fn libvirt_freezes_and_thaws_the_guest_and_a_clean_up_thaws_one_that_was_left_frozen() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let builder = libvirtd.domain(&qemu, "web").disk(Disk::raw(16 << 20));
    let domain = builder.boot().unwrap();
    domain
        .run("mke2fs -q /dev/vda && mount -t ext4 /dev/vda /mnt && echo x >/mnt/x")
        .unwrap();
    let connected = || {
        domain
            .virsh("dumpxml", &[])
            .unwrap()
            .contains("state='connected'")
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while !connected() {
        assert!(Instant::now() < deadline, "no agent");
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = || {
        let ask = r#"{"execute":"guest-fsfreeze-status"}"#;
        domain.virsh("qemu-agent-command", &[ask]).unwrap()
    };
    let bench = Bench::new();
    let ended = Ended::of(&mut backup(&bench, &libvirtd, "web"));
    ended.expect(
        0,
        &["'fs-freeze' command", "guest filesystems were frozen for"],
    );
    assert!(status().contains("thawed"));
    assert_clean(&bench, &domain);
    // So it is where libvirt makes the point in time.
    let bench = Bench::new();
    let mut command = backup(&bench, &libvirtd, "web");
    let ended = Ended::of(command.arg("--libvirt-native"));
    ended.expect(0, &["guest filesystems were frozen for"]);
    assert!(status().contains("thawed"));
    assert_clean(&bench, &domain);

    let bench = Bench::new();
    kill(&mut backup(&bench, &libvirtd, "web"), Step::Frozen);
    assert!(status().contains("frozen"), "the test sees the freeze");
    // The clean-up finds the way by itself.
    Ended::of(bench.fleece("cleanup").arg("web")).expect(0, &["freeze"]);
    assert!(status().contains("thawed"));
    domain.run("touch /mnt/alive && sync").unwrap();
    assert_clean(&bench, &domain);

    // An agent that is not there is told, and is no warning: nobody asked for it.
    domain.run("kill $(pidof qemu-ga)").unwrap();
    while connected() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let bench = Bench::new();
    let ended = Ended::of(&mut backup(&bench, &libvirtd, "web"));
    ended.expect(0, &["no agent in the guest is connected"]);
}

#[test]
fn a_domain_is_suspended_by_libvirt_if_that_is_asked_for() {
    let Some((libvirtd, qemu)) = libvirt::start("11.1") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    let bench = Bench::new();
    let mut command = backup(&bench, &libvirtd, "web");
    let ended = Ended::of(command.args(["--mode", "suspend", "--max-pause", "20000"]));
    ended.expect(0, &["backup mode: suspend", "the guest was paused for"]);
    assert_before(&bench);
    assert_clean(&bench, &domain);
}

/// A domain that heeds nothing but its power button, and tells at its serial port of each boot.
struct Pressed<'a> {
    domain: Domain<'a>,
    serial: PathBuf,
}

impl<'a> Pressed<'a> {
    fn boot(libvirtd: &'a Libvirtd, qemu: &Qemu, presses: usize) -> Self {
        let serial = libvirtd.folder().join("serial");
        let port = format!(
            "<serial type='file'><source path='{}' append='on'/></serial>",
            serial.display()
        );
        let builder = libvirtd.domain(qemu, "web").devices(&port);
        let domain = builder.disk(Disk::raw(button::SIZE)).start().unwrap();
        // Until here its disk was empty.
        domain.virsh("destroy", &[]).unwrap();
        fs::write(domain.disk_path(0), button::image(presses)).unwrap();
        domain.virsh("start", &[]).unwrap();
        let pressed = Self { domain, serial };
        pressed.await_boots(1);
        pressed
    }

    fn boots(&self) -> usize {
        let serial = fs::read(&self.serial).unwrap_or_default();
        serial.iter().filter(|byte| **byte == b'R').count()
    }

    fn await_boots(&self, count: usize) {
        let start = Instant::now();
        while self.boots() < count {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{} boots",
                self.boots()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn backup(&self, bench: &Bench, libvirtd: &Libvirtd) -> Command {
        let mut command = backup(bench, libvirtd, "web");
        command.args([
            "--mode",
            "stop",
            "--stop-wait",
            "8",
            "--guest-latency",
            "1000",
        ]);
        command
    }

    fn assert_archived(&self, bench: &Bench, presses: usize) {
        let mut data = Vec::new();
        bench.restore().remove(0).read_to_end(&mut data).unwrap();
        assert!(data == button::image(presses));
        assert_clean(bench, &self.domain);
    }
}

#[test]
fn a_domain_shuts_down_for_the_instant_and_boots_again_while_it_is_read() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let guest = Pressed::boot(&libvirtd, &qemu, 1);
    let bench = Bench::new();
    let mut command = guest.backup(&bench, &libvirtd);
    let mut running = Running::start(command.args(["--bwlimit", "4M"]));
    running.until("the guest boots again after");
    guest.await_boots(2);
    io(&guest.domain, DEVICES[0], "write -P 0x55 1M 8M");
    assert!(running.child.try_wait().unwrap().is_none(), "it reads");
    let said = running.end();
    let said = said.expect(0, &["backup mode: stop", "the guest was down"]);
    let result: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    eprintln!("the domain was down for {} ms", result["down_ms"]);
    assert!(result["down_ms"].as_f64().unwrap() > 0.0, "{result}");
    guest.assert_archived(&bench, 1);
    // One that stands still is not shut down.
    guest.domain.virsh("suspend", &[]).unwrap();
    let bench = Bench::new();
    let ended = Ended::of(&mut guest.backup(&bench, &libvirtd));
    ended.expect(0, &["stands still already"]);
    assert_eq!(
        guest.domain.virsh("domstate", &[]).unwrap().trim(),
        "paused"
    );
    guest.domain.virsh("resume", &[]).unwrap();

    // What would not come back is not shut down.
    let refused = |word: &str| {
        let bench = Bench::new();
        let ended = Ended::of(&mut guest.backup(&bench, &libvirtd));
        ended.expect(5, &["cannot be shut down", word, "--mode suspend"]);
        assert_clean(&bench, &guest.domain);
    };
    let action = ["poweroff", "restart", "--live"];
    guest.domain.virsh("set-lifecycle-action", &action).unwrap();
    refused("on_poweroff");
    guest.domain.virsh("undefine", &[]).unwrap();
    refused("transient");
    assert_eq!(guest.boots(), 2);
}

#[test]
fn a_domain_that_does_not_shut_down_in_time_is_left_as_it_was() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let guest = Pressed::boot(&libvirtd, &qemu, 2);
    let bench = Bench::new();
    let mut command = backup(&bench, &libvirtd, "web");
    let ended = Ended::of(command.args(["--mode", "stop", "--stop-wait", "1"]));
    ended.expect(5, &["has not shut down within 1 s", "--stop-wait"]);
    bench.assert_no_archive();
    assert_clean(&bench, &guest.domain);
    assert_eq!(guest.boots(), 1);
}

/// The steps of a stop, and whether the guest has shut down before.
const STEPS: [(Step, bool); 6] = [
    (Step::StopRecorded, false),
    (Step::PoweringDown, true),
    (Step::PoweredDown, true),
    (Step::Switching, true),
    (Step::Switched, true),
    (Step::StartedAgain, true),
];

#[test]
fn whatever_ends_a_backup_at_any_step_of_a_stop_the_domain_runs_again() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let guest = Pressed::boot(&libvirtd, &qemu, 1);
    let mut boots = 1;
    for (number, (step, is_down)) in STEPS.into_iter().enumerate() {
        let bench = Bench::new();
        let mut command = guest.backup(&bench, &libvirtd);
        kill(&mut command, step);
        boots += usize::from(is_down);
        // By the clean-up, or by the next backup.
        if number % 2 == 0 {
            Ended::of(bench.fleece("cleanup").arg("web")).expect(0, &["removed"]);
        } else {
            let mut next = backup(&bench, &libvirtd, "web");
            support::succeed(next.args(["--guest-latency", "1000"]));
        }
        guest.await_boots(boots);
        assert_eq!(guest.boots(), boots, "{step:?}");
        assert_clean(&bench, &guest.domain);
    }
    // A signal, with the domain off.
    let bench = Bench::new();
    let mut command = guest.backup(&bench, &libvirtd);
    let fault = format!("term@{}", Step::PoweredDown.name());
    Ended::of(command.env("FLEECE_FAULT", fault)).expect_code(143);
    guest.await_boots(boots + 1);
    assert_clean(&bench, &guest.domain);
}
