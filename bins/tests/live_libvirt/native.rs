//! libvirt's own backup in pull mode: libvirt makes the point in time, and Fleece reads it.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use fleece_fleecing::Step;
use fleece_lab::{Disk, Domain, Libvirtd};

use crate::support::ended::Ended;
use crate::support::libvirt::{
    self, DEVICES, SIZE, assert_before, assert_clean, backup, cleanup, firmware, io, kill,
    two_disks, vma,
};
use crate::support::mounted::Tmpfs;
use crate::support::running::Running;
use crate::support::{self, Bench};

fn pull(bench: &Bench, libvirtd: &Libvirtd) -> Command {
    let mut command = backup(bench, libvirtd, "web");
    command.arg("--libvirt-native");
    command
}

/// Nothing is left, and libvirt is at work on nothing.
fn assert_idle(bench: &Bench, domain: &Domain<'_>) {
    assert_clean(bench, domain);
    let job = domain.virsh("domjobinfo", &[]).unwrap();
    assert!(job.contains("None"), "{job}");
}

#[test]
fn libvirt_makes_the_point_in_time_with_all_the_room_that_it_can_need() {
    let Some((libvirtd, _)) = libvirt::start("10.0") else {
        return;
    };
    for qemu in fleece_lab::qemus() {
        let domain = two_disks(&libvirtd, &qemu);
        let bench = Bench::new();
        let mut running = Running::start(pull(&bench, &libvirtd).args(["--bwlimit", "4M"]));
        let line = running.until("copy-before-write is active");
        eprintln!("QEMU {}: {line}", qemu.version());
        let room = || {
            let scratch = support::entries(&bench.path("fleecing"));
            let blocks = scratch.iter().map(|path| path.metadata().unwrap().blocks());
            blocks.collect::<Vec<_>>()
        };
        let before = room();
        assert!(
            before.iter().all(|blocks| blocks * 512 > SIZE),
            "{before:?}"
        );
        for device in DEVICES {
            io(&domain, device, "write -P 0x55 0 8M");
        }
        // But for blocks of the file system's own, all of it was taken before.
        for (now, before) in room().iter().zip(&before) {
            assert!(now - before < 64, "{before} blocks have become {now}");
        }
        running.end().expect(0, &["which libvirt makes"]);
        assert_before(&bench);
        assert_idle(&bench, &domain);
    }
}

#[test]
fn the_variables_of_firmware_are_in_it_too_and_a_dry_run_tells_of_it() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let (os, variables) = firmware(&libvirtd);
    let builder = libvirtd.domain(&qemu, "web").disk(Disk::qcow2(SIZE));
    let domain = builder.os(&os).start().unwrap();
    let bench = Bench::new();
    let mut command = pull(&bench, &libvirtd);
    let ended = Ended::of(command.arg("--dry-run"));
    ended.expect(
        0,
        &["would have libvirt make the point in time", "reserved"],
    );
    assert_idle(&bench, &domain);
    let said = Ended::of(&mut pull(&bench, &libvirtd)).expect(0, &["drive-efidisk0"]);
    assert!(!said.contains("WARN"), "{said}");
    let extracted = bench.path("extracted");
    vma_extract(&bench, &extracted);
    let archived = std::fs::read(extracted.join("disk-drive-efidisk0.raw")).unwrap();
    assert!(archived == std::fs::read(variables).unwrap());
    assert!(vma(&bench, &["list"]).contains("drive-virtio0"));
    assert_idle(&bench, &domain);
}

fn vma_extract(bench: &Bench, to: &std::path::Path) {
    let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
    support::succeed(vma.arg("extract").arg(bench.archive()).arg(to));
}

#[test]
fn what_would_stop_the_guest_or_crash_libvirt_is_refused_before() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    let refused = |bench: &Bench, code: i32, words: &[&str]| {
        Ended::of(&mut pull(bench, &libvirtd)).expect(code, words);
        bench.assert_no_archive();
        assert_idle(bench, &domain);
    };
    // A scratch file that gets full.
    let bench = Bench::new();
    let small = Tmpfs::mount(bench.path("fleecing"), "12M");
    refused(
        &bench,
        6,
        &[
            "cannot reserve",
            "No space left",
            "without --libvirt-native",
        ],
    );
    drop(small);
    // An NBD server that runs already, with an export and without any.
    let socket = libvirtd.folder().join("others.nbd");
    let start = format!(
        r#"{{"execute":"nbd-server-start","arguments":{{"addr":{{"type":"unix","data":{{"path":"{}"}}}}}}}}"#,
        socket.display()
    );
    domain.monitor(&start).unwrap();
    let words = ["an NBD server runs", "without --libvirt-native"];
    refused(&Bench::new(), 5, &words);
    let nodes = r#"{"execute":"query-named-block-nodes","arguments":{"flat":true}}"#;
    assert!(domain.monitor(nodes).unwrap().contains("libvirt-1-format"));
    let export = r#"{"execute":"block-export-add","arguments":{"type":"nbd","id":"x","node-name":"libvirt-1-format"}}"#;
    domain.monitor(export).unwrap();
    refused(&Bench::new(), 5, &words);
    // It is still theirs.
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    domain.monitor(r#"{"execute":"nbd-server-stop"}"#).unwrap();
    support::succeed(&mut pull(&Bench::new(), &libvirtd));
}

/// The steps at which something new is left behind.
const STEPS: [Step; 7] = [
    Step::MonitorRecorded,
    Step::ServerStarted,
    Step::ImageAllocated,
    Step::PullRecorded,
    Step::Pulled,
    Step::Stored,
    Step::PullEnded,
];

#[test]
fn after_sigkill_at_any_step_libvirt_ends_its_backup_and_all_room_is_free_again() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    for (number, step) in STEPS.into_iter().enumerate() {
        let bench = Bench::new();
        kill(&mut pull(&bench, &libvirtd), step);
        if step == Step::Stored {
            // With libvirt, which is waited for.
            libvirtd.kill_daemon().unwrap();
            let ended = Ended::of(bench.fleece("cleanup").arg("web"));
            ended.expect(0, &["removed backup of libvirt's own"]);
        }
        match number % 2 {
            0 => support::succeed(&mut cleanup(&bench, &libvirtd, "web")),
            // Whichever way it goes.
            _ => support::succeed(&mut backup(&bench, &libvirtd, "web")),
        };
        assert_idle(&bench, &domain);
    }
    // QEMU killed.
    let bench = Bench::new();
    kill(&mut pull(&bench, &libvirtd), Step::Pulled);
    domain.kill().unwrap();
    Ended::of(&mut cleanup(&bench, &libvirtd, "web")).expect(0, &["removed"]);
    bench.assert_clean_folders();
}

#[test]
fn it_outlives_libvirtd_and_ends_with_the_guest_or_with_libvirts_backup() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    let begin = |bench: &Bench| {
        let mut running = Running::start(pull(bench, &libvirtd).args(["--bwlimit", "4M"]));
        running.until("\"done\":");
        running
    };
    let bench = Bench::new();
    let running = begin(&bench);
    libvirtd.kill_daemon().unwrap();
    running.end().expect(0, &[]);
    libvirtd.await_answer().unwrap();
    assert_before(&bench);
    assert_idle(&bench, &domain);
    // Somebody else ends it.
    let bench = Bench::new();
    let running = begin(&bench);
    domain.virsh("domjobabort", &[]).unwrap();
    running.end().expect(5, &[]);
    bench.assert_no_archive();
    assert_idle(&bench, &domain);
    // A signal.
    let bench = Bench::new();
    let running = begin(&bench);
    running.signal("-TERM");
    running.end().expect_code(143);
    bench.assert_no_archive();
    assert_idle(&bench, &domain);
    // The guest ends.
    let bench = Bench::new();
    let running = begin(&bench);
    domain.virsh("destroy", &[]).unwrap();
    running.end().expect(5, &[]);
    bench.assert_no_archive();
    bench.assert_clean_folders();
}
