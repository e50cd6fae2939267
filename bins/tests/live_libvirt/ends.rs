//! Whatever ends a backup, of libvirt, of QEMU or of Fleece, nothing is left.

use std::time::{Duration, Instant};

use fleece_fleecing::Step;
use fleece_lab::{Domain, Libvirtd};

use crate::support::ended::Ended;
use crate::support::libvirt::{
    self, DEVICES, assert_before, assert_clean, backup, cleanup, io, kill, two_disks,
};
use crate::support::running::Running;
use crate::support::{self, Bench};

/// The steps at which something new is left behind, or at which the guest stands still.
const STEPS: [Step; 7] = [
    Step::ServerStarted,
    Step::ImageAttached,
    Step::PauseRecorded,
    Step::Switching,
    Step::Switched,
    Step::Exported,
    Step::FiltersRemoved,
];

#[test]
fn after_sigkill_at_any_step_the_guest_runs_and_a_clean_up_or_the_next_backup_removes_everything() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    // In the long form every step, on every QEMU.
    let (qemus, steps) = match support::is_long() {
        true => (fleece_lab::qemus(), Step::ALL.to_vec()),
        false => (vec![qemu], STEPS.to_vec()),
    };
    for qemu in qemus {
        let domain = two_disks(&libvirtd, &qemu);
        let pauses = qemu.version().major < 11;
        let steps = steps.iter().filter(|step| is_passed(**step, pauses));
        for (number, step) in steps.enumerate() {
            kill_at(*step, number, &libvirtd, &domain);
        }
    }
}

/// Whether a backup of a domain without an agent passes `step`; `pauses` if it stops the guest for the switch.
fn is_passed(step: Step, pauses: bool) -> bool {
    match step {
        Step::PauseRecorded => pauses,
        Step::FreezeRecorded | Step::Frozen | Step::Thawed => false,
        // Those of `--mode stop`, and of libvirt's own backup.
        Step::StopRecorded | Step::PoweringDown | Step::PoweredDown | Step::StartedAgain => false,
        Step::PullRecorded | Step::Pulled | Step::PullEnded => false,
        _ => true,
    }
}

fn kill_at(step: Step, number: usize, libvirtd: &Libvirtd, domain: &Domain<'_>) {
    let bench = Bench::new();
    // With a limit of its own it watches the guest for a moment only.
    let mut command = backup(&bench, libvirtd, "web");
    kill(command.args(["--guest-latency", "1000"]), step);
    // It goes on by itself, as virsh goes on: not only after the clean-up.
    let start = Instant::now();
    while domain.virsh("domstate", &[]).unwrap().trim() != "running" {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{step:?}: the guest stands still"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    for device in DEVICES {
        io(domain, device, "write -P 0x11 0 64k");
    }
    // One that has its final name is complete.
    for archive in support::entries(&bench.path("archives")) {
        if archive.to_string_lossy().contains("/vzdump-qemu-") {
            std::fs::remove_file(archive).unwrap();
        }
    }
    if number.is_multiple_of(2) {
        support::succeed(&mut cleanup(&bench, libvirtd, "web"));
    } else {
        let mut next = backup(&bench, libvirtd, "web");
        support::succeed(next.args(["--guest-latency", "1000"]));
        assert_before(&bench);
    }
    assert_clean(&bench, domain);
}

#[test]
fn a_backup_outlives_libvirtd_and_what_a_killed_one_left_is_removed_by_the_next_libvirtd() {
    let Some((libvirtd, qemu)) = libvirt::start("7.2") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    let bench = Bench::new();
    let mut command = backup(&bench, &libvirtd, "web");
    let mut running = Running::start(command.args(["--bwlimit", "4M"]));
    running.until("\"done\":");
    libvirtd.kill_daemon().unwrap();
    running.end().expect(0, &[]);
    libvirtd.await_answer().unwrap();
    assert_before(&bench);
    assert_clean(&bench, &domain);

    // Both killed, and the clean-up begins before there is a libvirtd again.
    let bench = Bench::new();
    kill(&mut backup(&bench, &libvirtd, "web"), Step::Exported);
    libvirtd.kill_daemon().unwrap();
    Ended::of(bench.fleece("cleanup").arg("web")).expect(0, &["removed"]);
    assert_clean(&bench, &domain);

    // QEMU killed: nothing waits for it, and its images are freed.
    let bench = Bench::new();
    kill(&mut backup(&bench, &libvirtd, "web"), Step::Exported);
    domain.kill().unwrap();
    Ended::of(&mut cleanup(&bench, &libvirtd, "web")).expect(0, &["removed"]);
    bench.assert_clean_folders();
}

#[test]
fn the_end_of_the_guest_is_the_end_of_its_backup_and_nothing_is_left() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    let bench = Bench::new();
    let mut command = backup(&bench, &libvirtd, "web");
    let mut running = Running::start(command.args(["--bwlimit", "4M"]));
    running.until("\"done\":");
    domain.virsh("destroy", &[]).unwrap();
    running.end().expect(5, &[]);
    bench.assert_no_archive();
    bench.assert_clean_folders();
}
