//! Backups of disks that `fleece serve` serves, while what they need fails: who writes to the disk writes
//! on, the backup ends with the cause, and nothing is left.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use fleece_lab::Qemu;
use support::Bench;
use support::mounted::{Freezable, Tmpfs};
use support::running::Running;
use support::served::{Served, Writer};

const SIZE: u64 = 32 << 20;
const MIB: u64 = 1 << 20;

/// Where a slow backup comes to only after many seconds.
const LATE: u64 = 22 << 20;

/// A disk full of data that cannot be compressed.
fn disk(bench: &Bench) -> PathBuf {
    let path = bench.path("disk0.raw");
    let mut random = File::open("/dev/urandom").unwrap().take(SIZE);
    std::io::copy(&mut random, &mut File::create(&path).unwrap()).unwrap();
    path
}

/// A served disk, and who writes to it.
fn serve(bench: &Bench, qemu: &Qemu) -> (Served, Writer) {
    let served = Served::start(bench, &[&disk(bench)]);
    let mut writer = Writer::connect(bench, qemu);
    writer.write(1, 0, MIB);
    (served, writer)
}

fn backup(bench: &Bench) -> Command {
    let mut command = bench.fleece("backup");
    command
        .arg("--native")
        .arg(bench.path("socket").join("control.sock"));
    command.arg("--to").arg(bench.path("archives"));
    command.arg("--fleecing").arg(bench.path("fleecing"));
    command.arg("--compress=none");
    command
}

/// A slow backup that has begun to read.
fn begun(mut command: Command) -> Running {
    let mut running = Running::start(command.args(["--bwlimit", "2M"]));
    running.until("\"progress\"");
    running
}

fn assert_nothing_left(bench: &Bench) {
    bench.assert_clean_folders();
    assert!(support::entries(&bench.path("archives")).is_empty());
}

/// The disk is as its user left it, takes writes, and can be backed up.
fn assert_goes_on(bench: &Bench, qemu: &Qemu, served: &Served, mut writer: Writer) {
    served.assert_clean(bench, qemu);
    writer.verify(1, 0, MIB);
    writer.write(9, SIZE - MIB, MIB);
    writer.verify(9, SIZE - MIB, MIB);
    support::succeed(&mut backup(bench));
    served.assert_clean(bench, qemu);
}

#[test]
fn a_full_fleecing_target_breaks_the_backup_and_not_the_writes() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let small = Tmpfs::mount(bench.path("fleecing"), "1m");
    let (served, mut writer) = serve(&bench, &qemu);
    let running = begun(backup(&bench));
    writer.write(2, LATE, 8 * MIB);
    let said = running.end().expect_code(6);
    assert!(said.contains("no space is left"), "{said}");
    assert!(said.contains("fleece to another storage"), "{said}");
    assert!(said.contains("writes were not affected"), "{said}");
    assert_nothing_left(&bench);
    writer.verify(2, LATE, 8 * MIB);
    assert_goes_on(&bench, &qemu, &served, writer);
    drop(small);
}

#[test]
fn a_fleecing_target_that_hangs_holds_a_write_for_its_time_only() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let Some(_) = fleece_lab::require("fsfreeze") else {
        return;
    };
    let bench = Bench::new();
    let image = bench.path("image");
    let hanging = Freezable::mount(bench.path("fleecing"), &image);
    std::fs::remove_dir(bench.path("fleecing").join("lost+found")).unwrap();
    let (served, mut writer) = serve(&bench, &qemu);
    let mut command = backup(&bench);
    command.args(["--cbw-timeout", "2"]);
    let running = begun(command);
    hanging.freeze();
    let start = Instant::now();
    writer.write(2, LATE, MIB);
    let took = start.elapsed();
    assert!((1..20).contains(&took.as_secs()), "the write took {took:?}");
    writer.write(3, LATE + MIB, MIB);
    let said = running.end().expect_code(6);
    assert!(said.contains("does not answer"), "{said}");
    assert!(said.contains("writes were not affected"), "{said}");
    writer.verify(2, LATE, MIB);
    hanging.thaw();
    assert_nothing_left(&bench);
    // What hung ends now, with its image.
    served.await_clean(&bench, &qemu);
    assert_goes_on(&bench, &qemu, &served, writer);
}

#[test]
fn a_full_target_breaks_the_backup_and_not_the_writes() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let small = Tmpfs::mount(bench.path("archives"), "4m");
    let (served, mut writer) = serve(&bench, &qemu);
    let running = begun(backup(&bench));
    writer.write(2, LATE, 8 * MIB);
    let said = running.end().expect_code(6);
    assert!(said.contains("the backup target is full"), "{said}");
    assert_nothing_left(&bench);
    writer.verify(2, LATE, 8 * MIB);
    drop(small);
    assert_goes_on(&bench, &qemu, &served, writer);
}

#[test]
fn a_server_that_is_stopped_is_given_up_and_goes_on_when_it_is_continued() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let (served, mut writer) = serve(&bench, &qemu);
    let running = begun(backup(&bench));
    served.signal("-STOP");
    let said = running.end().expect_code(5);
    assert!(said.contains("has not answered for 30s"), "{said}");
    assert!(said.contains("whether it is stopped"), "{said}");
    assert_nothing_left(&bench);
    served.signal("-CONT");
    writer.write(2, LATE, MIB);
    served.await_clean(&bench, &qemu);
    assert_goes_on(&bench, &qemu, &served, writer);
}

#[test]
fn a_signal_ends_a_backup_whose_server_is_stopped() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let (served, writer) = serve(&bench, &qemu);
    let running = begun(backup(&bench));
    served.signal("-STOP");
    let start = Instant::now();
    running.signal("-TERM");
    running.end().expect_code(143);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_nothing_left(&bench);
    served.signal("-CONT");
    served.await_clean(&bench, &qemu);
    assert_goes_on(&bench, &qemu, &served, writer);
}

#[test]
fn a_server_that_is_killed_ends_the_backup_and_the_disk_is_as_it_was_written() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let (served, mut writer) = serve(&bench, &qemu);
    let running = begun(backup(&bench));
    writer.write(2, LATE, MIB);
    served.kill();
    let said = running.end().expect_code(5);
    assert!(
        said.contains("the process that serves the disks has ended"),
        "{said}"
    );
    assert_nothing_left(&bench);
    drop(writer);

    // The sockets that it left are in nobody's way, nor is its lock.
    let served = Served::start(&bench, &[&bench.path("disk0.raw")]);
    let mut writer = Writer::connect(&bench, &qemu);
    writer.verify(2, LATE, MIB);
    assert_goes_on(&bench, &qemu, &served, writer);
}

#[test]
fn a_backup_that_is_killed_gives_the_instant_back_and_is_cleaned_up() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let (served, mut writer) = serve(&bench, &qemu);
    let running = begun(backup(&bench));
    writer.write(2, LATE, MIB);
    running.kill();
    served.await_clean(&bench, &qemu);
    support::succeed(bench.fleece("cleanup").arg("--all"));
    assert_nothing_left(&bench);
    writer.verify(2, LATE, MIB);
    assert_goes_on(&bench, &qemu, &served, writer);
}
