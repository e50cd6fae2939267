//! How a backup of a guest that writes ends: by a signal, by SIGKILL and a clean-up, with a full
//! fleecing storage, with QEMU gone. The guest goes on; nothing is left.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::path::Path;
use std::time::Duration;

use fleece_lab::{Background, Definition, Disk, Guest, Machine};
use fleece_qmp_client::Client;
use serde_json::json;
use support::ended::Ended;
use support::mounted::Tmpfs;
use support::running::Running;
use support::{Bench, ordered};

const SIZE: u64 = 64 << 20;
const SOON: Duration = Duration::from_secs(60);

/// A guest with two disks, on one of them 32 MiB of data that cannot be compressed.
fn guest() -> Option<Guest> {
    let qemu = fleece_lab::qemu("10.0")?;
    let disk = || Disk::raw(SIZE).define(Definition::Drive);
    let builder = Guest::builder(&qemu).disk(disk()).disk(disk());
    let guest = builder.boot().unwrap();
    let noise = "dd if=/dev/urandom of=/dev/disk0 bs=1M count=32 2>/dev/null";
    guest.run(noise, SOON).unwrap();
    Some(guest)
}

/// A machine in the place of a guest that does not write.
fn machine() -> Option<Machine> {
    let qemu = fleece_lab::qemu("10.0")?;
    Some(support::machine_with_data(
        &qemu,
        "virtio-blk-pci",
        32 << 20,
    ))
}

fn write_in(guest: &Guest) -> Background<'_> {
    ordered::write(guest, 1, "/dev/disk0 /dev/disk1")
}

/// A backup of guest 7 that takes long, and reads.
fn begun(bench: &Bench, qmp: &Path) -> Running {
    Running::begin(&mut bench.backup(qmp))
}

fn assert_still_writing(guest: &Guest, writer: Background<'_>) {
    support::assert_running(&guest.test_socket());
    let wrote = writer.stop(SOON).unwrap();
    assert!(!wrote.to_lowercase().contains("error"), "{wrote}");
}

#[test]
fn a_signal_ends_the_backup_and_undoes_everything() {
    let Some(guest) = guest() else { return };
    let writer = write_in(&guest);
    for (name, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let bench = Bench::new();
        let backup = begun(&bench, &guest.qmp_socket());
        backup.signal(name);
        backup.end().expect_code(code);
        bench.assert_clean(&guest.test_socket());
        bench.assert_no_archive();
    }
    assert_still_writing(&guest, writer);
}

#[test]
fn a_killed_backup_is_cleaned_up_while_qemu_runs() {
    let Some(guest) = guest() else { return };
    let writer = write_in(&guest);
    let bench = Bench::new();
    begun(&bench, &guest.qmp_socket()).kill();
    assert_eq!(
        support::entries(&bench.path("fleecing")).len(),
        2,
        "the test sees what is left"
    );
    support::succeed(bench.fleece("cleanup").arg("7"));
    bench.assert_clean(&guest.test_socket());
    bench.assert_no_archive();
    // Once more does no harm.
    support::succeed(bench.fleece("cleanup").arg("--all"));
    assert_still_writing(&guest, writer);
}

#[test]
fn the_next_backup_removes_what_a_killed_one_left() {
    let Some(machine) = machine() else { return };
    let bench = Bench::new();
    begun(&bench, &machine.qmp_socket()).kill();
    let next = Ended::of(bench.backup(&machine.qmp_socket()).args(["--vmid", "7"]));
    next.expect(0, &["was not finished"]);
    bench.assert_clean(&machine.test_socket());
    bench.restore();
}

#[test]
fn a_killed_backup_is_cleaned_up_when_qemu_is_gone_too() {
    let Some(mut machine) = machine() else { return };
    let bench = Bench::new();
    begun(&bench, &machine.qmp_socket()).kill();
    machine.kill();
    support::succeed(bench.fleece("cleanup").arg("7"));
    bench.assert_clean_folders();
}

#[test]
fn a_qemu_that_dies_ends_the_backup_with_that_cause() {
    let Some(mut machine) = machine() else { return };
    let bench = Bench::new();
    let backup = begun(&bench, &machine.qmp_socket());
    machine.kill();
    backup.end().expect_code(5);
    bench.assert_clean_folders();
    bench.assert_no_archive();
}

#[test]
fn a_full_fleecing_storage_breaks_the_backup_and_not_the_guest() {
    let Some(guest) = guest() else { return };
    let Some(_) = fleece_lab::require("mount") else {
        return;
    };
    let bench = Bench::new();
    let _small = Tmpfs::mount(bench.path("fleecing"), "1m");
    let writer = guest
        .spawn("while :; do writer fill 0 33554432 1 /dev/disk0; done")
        .unwrap();
    let mut backup = bench.backup(&guest.qmp_socket());
    let ended = Ended::of(backup.args(["--bwlimit", "2M"]));
    ended.expect(6, &["is full", "not affected"]);
    bench.assert_clean(&guest.test_socket());
    assert_still_writing(&guest, writer);
}

#[test]
fn a_full_target_ends_the_backup_with_that_cause() {
    let Some(machine) = machine() else { return };
    let bench = Bench::new();
    let _small = Tmpfs::mount(bench.path("archives"), "4m");
    let mut backup = bench.backup(&machine.qmp_socket());
    let ended = Ended::of(backup.arg("--compress=none"));
    ended.expect(6, &["the backup target is full"]);
    bench.assert_clean(&machine.test_socket());
    bench.assert_no_archive();
}

#[test]
fn a_disk_that_is_unplugged_leaves_nothing_behind() {
    for qemu in fleece_lab::qemus() {
        let machine = support::machine_with_data(&qemu, "scsi-hd,bus=controller.0", 16 << 20);
        let bench = Bench::new();
        let backup = begun(&bench, &machine.qmp_socket());
        let test = Client::connect_unix(machine.test_socket()).unwrap();
        test.execute_raw("device_del", Some(json!({"id": "disk0"})))
            .unwrap();
        drop(test);
        if qemu.version().major >= 11 {
            // The job that keeps the instant goes with the device.
            backup.end().expect(5, &["the disk was unplugged"]);
        } else {
            // The instant outlives the device: its disk is still in the archive.
            backup.end().expect_code(0);
            assert_eq!(bench.restore().len(), 2);
        }
        bench.assert_clean(&machine.test_socket());
        support::assert_running(&machine.test_socket());
    }
}
