//! Storages that hang, die or are slow in the middle of a backup: the guest goes on, the cause is told.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::process::Command;
use std::time::Duration;

use fleece_lab::{Background, Definition, Disk, Guest, Interface, Qemu};
use support::fuse::Fuse;
use support::running::Running;
use support::{Bench, ordered};

const SIZE: u64 = 64 << 20;
const SOON: Duration = Duration::from_secs(60);

/// Writes where the guest has not written yet, so that old data has to be saved.
const OTHER: &str = "dd if=/dev/zero of=/dev/disk1 bs=1M seek=48 count=4 oflag=direct 2>/dev/null";

/// A guest with something to read, and with a program that writes.
fn guest(qemu: &Qemu) -> Guest {
    let disk = || {
        Disk::raw(SIZE)
            .interface(Interface::VirtioBlk)
            .define(Definition::Drive)
    };
    let builder = Guest::builder(qemu).disk(disk()).disk(disk());
    let guest = builder.boot().unwrap();
    let noise = "dd if=/dev/urandom of=/dev/disk0 bs=1M count=32 2>/dev/null";
    guest.run(noise, SOON).unwrap();
    guest
}

fn write_in(guest: &Guest) -> Background<'_> {
    ordered::write(guest, 1, "/dev/disk0 /dev/disk1")
}

fn backup(bench: &Bench, guest: &Guest) -> Command {
    let mut command = bench.backup(&guest.qmp_socket());
    command.args(["--vmid", "7", "--compress", "none"]);
    command
}

/// The versions that this run tries: the long form, all.
fn qemus() -> Vec<Qemu> {
    if support::is_long() {
        fleece_lab::qemus()
    } else {
        fleece_lab::qemu("10.0").into_iter().collect()
    }
}

#[test]
fn a_fleecing_storage_that_hangs_breaks_the_backup_and_not_the_guest() {
    for qemu in qemus() {
        let bench = Bench::new();
        let Some(storage) = Fuse::mount(bench.path("fleecing"), &[]) else {
            return;
        };
        let guest = guest(&qemu);
        let writer = write_in(&guest);
        let mut command = backup(&bench, &guest);
        command.args(["--bwlimit", "2M", "--cbw-timeout", "2"]);
        let mut running = Running::start(&mut command);
        running.until("\"done\":");
        storage.hang();
        // The first of these writes waits for its copy as long as it may; the others do not.
        guest.run(OTHER, SOON).unwrap();
        let said = running.end().expect_code(6);
        assert!(said.contains("does not answer"), "{said}");
        // QEMU would wait for the storage, and the guest for QEMU: all stays where it is.
        assert!(said.contains("its storage hangs"), "{said}");
        ordered::assert_writes_on(&guest, "while the storage hangs");
        for what in ["cleanup", "backup"] {
            let mut command = match what {
                "cleanup" => bench.fleece("cleanup"),
                _ => backup(&bench, &guest),
            };
            if what == "cleanup" {
                command.arg("7");
            }
            let output = command.output().unwrap();
            let said = support::text(&output);
            assert!(!output.status.success(), "{said}");
            assert!(said.contains("its storage hangs"), "{said}");
            ordered::assert_writes_on(&guest, what);
        }
        storage.go_on();
        support::succeed(bench.fleece("cleanup").arg("7"));
        bench.assert_clean(&guest.test_socket());
        support::succeed(&mut backup(&bench, &guest));
        ordered::assert_wrote_well(writer);
        drop(guest);
    }
}

#[test]
fn a_fleecing_storage_that_dies_breaks_the_backup_and_not_the_guest() {
    for qemu in qemus() {
        let bench = Bench::new();
        let Some(mut storage) = Fuse::mount(bench.path("fleecing"), &[]) else {
            return;
        };
        let guest = guest(&qemu);
        let writer = write_in(&guest);
        let mut command = backup(&bench, &guest);
        let mut running = Running::start(command.args(["--bwlimit", "2M"]));
        running.until("\"done\":");
        storage.die();
        // What the guest has not overwritten yet cannot be saved any more.
        guest.run(OTHER, SOON).unwrap();
        let said = running.end().expect_code(6);
        assert!(said.contains("gave the point in time up"), "{said}");
        support::assert_clean_qemu(&guest.test_socket());
        ordered::assert_writes_on(&guest, "after the storage died");
        // The images cannot be reached; they stay on record until they can.
        assert!(said.contains("stays on record"), "{said}");
        drop(storage);
        support::succeed(bench.fleece("cleanup").arg("7"));
        bench.assert_clean(&guest.test_socket());
        ordered::assert_wrote_well(writer);
    }
}

#[test]
fn a_slow_fleecing_storage_makes_the_guest_slow_and_the_backup_complete() {
    for qemu in qemus() {
        let bench = Bench::new();
        let Some(storage) = Fuse::mount(bench.path("fleecing"), &["--write-rate=512k"]) else {
            return;
        };
        let guest = guest(&qemu);
        let writer = write_in(&guest);
        let output = support::succeed(backup(&bench, &guest).arg("--json"));
        let peak = support::result(&output)["fleecing_peak"].clone();
        eprintln!("QEMU {}: held {peak} bytes at most", qemu.version());
        bench.assert_clean(&guest.test_socket());
        ordered::assert_wrote_well(writer);
        ordered::assert_one_instant(&mut bench.restore(), 1, "");
        drop(storage);
    }
}

#[test]
fn a_target_directory_that_hangs_is_given_up_after_its_time() {
    for qemu in qemus() {
        let bench = Bench::new();
        let Some(target) = Fuse::mount(bench.path("archives"), &[]) else {
            return;
        };
        let guest = guest(&qemu);
        let writer = write_in(&guest);
        let mut command = backup(&bench, &guest);
        command.args(["--bwlimit", "8M", "--target-timeout", "2"]);
        let mut running = Running::start(&mut command);
        running.until("\"done\":");
        target.hang();
        running.until("the backup target hangs");
        // It has let go of the guest before it says so.
        support::assert_clean_qemu(&guest.test_socket());
        ordered::assert_writes_on(&guest, "while the target hangs");
        // What waits inside the kernel for the target can end only with it.
        target.go_on();
        running.end().expect_code(6);
        support::succeed(bench.fleece("cleanup").arg("7"));
        bench.assert_clean(&guest.test_socket());
        assert!(support::archives(&bench.path("archives")).is_empty());
        ordered::assert_wrote_well(writer);
    }
}

#[test]
fn a_target_directory_that_dies_ends_the_backup_with_that_cause() {
    for qemu in qemus() {
        let bench = Bench::new();
        let Some(mut target) = Fuse::mount(bench.path("archives"), &[]) else {
            return;
        };
        let guest = guest(&qemu);
        let writer = write_in(&guest);
        let mut command = backup(&bench, &guest);
        let mut running = Running::start(command.args(["--bwlimit", "8M"]));
        running.until("\"done\":");
        target.die();
        let said = running.end().expect_code(6);
        assert!(said.contains("os error 107"), "{said}");
        support::assert_clean_qemu(&guest.test_socket());
        drop(target);
        support::succeed(bench.fleece("cleanup").arg("7"));
        bench.assert_clean(&guest.test_socket());
        ordered::assert_wrote_well(writer);
    }
}

#[test]
fn a_target_that_hangs_before_the_start_is_told_and_the_guest_untouched() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let Some(target) = Fuse::mount(bench.path("archives"), &[]) else {
        return;
    };
    let guest = guest(&qemu);
    target.hang();
    let mut command = backup(&bench, &guest);
    let mut running = Running::start(command.args(["--target-timeout", "2"]));
    running.until("the backup target hangs");
    target.go_on();
    running.end().expect_code(6);
    support::succeed(bench.fleece("cleanup").arg("--all"));
    bench.assert_clean(&guest.test_socket());
}
