//! Backups of disks that `fleece serve` serves, while what they need fails: who writes to the disk writes
//! on, the backup ends with the cause, and nothing is left.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use fleece_lab::Qemu;
use support::Bench;
use support::fuse::Fuse;
use support::mounted::Tmpfs;
use support::running::Running;
use support::served::{Served, Writer};

const SIZE: u64 = 32 << 20;
const MIB: u64 = 1 << 20;

/// Where a slow backup comes to only after many seconds.
const LATE: u64 = 22 << 20;

/// A served disk, and who writes to it.
struct Disk {
    served: Served,
    writer: Writer,
    qemu: Qemu,
    // Dropped last, since what the others use is in it.
    bench: Bench,
}

impl Disk {
    /// One full of noise, and written to already.
    fn new() -> Option<Self> {
        let qemu = fleece_lab::qemu("10.0")?;
        let bench = Bench::new();
        let path = bench.path("disk0.raw");
        support::noise(&path, SIZE);
        let served = Served::start(&bench, &[&path]);
        let mut writer = Writer::connect(&bench, &qemu);
        writer.write(1, 0, MIB);
        Some(Self {
            served,
            writer,
            qemu,
            bench,
        })
    }

    fn backup(&self) -> Command {
        let mut command = self.bench.backup_served();
        command.arg("--compress=none");
        command
    }

    /// A slow backup that has begun to read.
    fn begin_backup(&self, options: &[&str]) -> Running {
        let mut running = Running::start(self.backup().args(["--bwlimit", "2M"]).args(options));
        running.until("\"done\":");
        running
    }

    fn await_clean(&self) {
        self.served.await_clean(&self.bench, &self.qemu);
    }

    /// It is as its user left it, takes writes, and can be backed up.
    fn assert_goes_on(&mut self) {
        self.served.assert_clean(&self.bench, &self.qemu);
        self.writer.verify(1, 0, MIB);
        self.writer.write(9, SIZE - MIB, MIB);
        self.writer.verify(9, SIZE - MIB, MIB);
        support::succeed(&mut self.backup());
        self.served.assert_clean(&self.bench, &self.qemu);
    }
}

fn assert_nothing_left(bench: &Bench) {
    bench.assert_clean_folders();
    bench.assert_no_archive();
}

#[test]
fn a_full_fleecing_target_breaks_the_backup_and_not_the_writes() {
    let Some(mut disk) = Disk::new() else { return };
    let _small = Tmpfs::mount(disk.bench.path("fleecing"), "1m");
    let backup = disk.begin_backup(&[]);
    disk.writer.write(2, LATE, 8 * MIB);
    let words = ["no space is left", "fleece to another storage"];
    let said = backup.end().expect(6, &words);
    assert!(said.contains("writes were not affected"), "{said}");
    assert_nothing_left(&disk.bench);
    disk.writer.verify(2, LATE, 8 * MIB);
    disk.assert_goes_on();
}

#[test]
fn a_fleecing_target_that_hangs_holds_a_write_for_its_time_only() {
    let Some(mut disk) = Disk::new() else { return };
    let Some(hanging) = Fuse::mount(disk.bench.path("fleecing"), &[]) else {
        return;
    };
    let backup = disk.begin_backup(&["--cbw-timeout", "2"]);
    hanging.hang();
    let start = Instant::now();
    disk.writer.write(2, LATE, MIB);
    let took = start.elapsed();
    assert!((1..20).contains(&took.as_secs()), "the write took {took:?}");
    disk.writer.write(3, LATE + MIB, MIB);
    let words = ["does not answer", "writes were not affected"];
    backup.end().expect(6, &words);
    disk.writer.verify(2, LATE, MIB);
    hanging.go_on();
    // What hung ends now, with its image.
    disk.await_clean();
    assert_nothing_left(&disk.bench);
    disk.assert_goes_on();
}

#[test]
fn a_full_target_breaks_the_backup_and_not_the_writes() {
    let Some(mut disk) = Disk::new() else { return };
    let small = Tmpfs::mount(disk.bench.path("archives"), "4m");
    let backup = disk.begin_backup(&[]);
    disk.writer.write(2, LATE, 8 * MIB);
    backup.end().expect(6, &["the backup target is full"]);
    assert_nothing_left(&disk.bench);
    disk.writer.verify(2, LATE, 8 * MIB);
    drop(small);
    disk.assert_goes_on();
}

#[test]
fn a_server_that_is_stopped_is_given_up_and_goes_on_when_it_is_continued() {
    let Some(mut disk) = Disk::new() else { return };
    let backup = disk.begin_backup(&[]);
    disk.served.signal("-STOP");
    let words = ["has not answered for 30s", "whether it is stopped"];
    backup.end().expect(5, &words);
    assert_nothing_left(&disk.bench);
    disk.served.signal("-CONT");
    disk.writer.write(2, LATE, MIB);
    disk.await_clean();
    disk.assert_goes_on();
}

#[test]
fn a_signal_ends_a_backup_whose_server_is_stopped() {
    let Some(mut disk) = Disk::new() else { return };
    let backup = disk.begin_backup(&[]);
    disk.served.signal("-STOP");
    let start = Instant::now();
    backup.signal("-TERM");
    backup.end().expect_code(143);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_nothing_left(&disk.bench);
    disk.served.signal("-CONT");
    disk.await_clean();
    disk.assert_goes_on();
}

#[test]
fn a_server_that_is_killed_ends_the_backup_and_the_disk_is_as_it_was_written() {
    let Some(mut disk) = Disk::new() else { return };
    let backup = disk.begin_backup(&[]);
    disk.writer.write(2, LATE, MIB);
    disk.served.kill();
    let cause = "the process that serves the disks has ended";
    backup.end().expect(5, &[cause]);
    assert_nothing_left(&disk.bench);

    // The sockets that it left are in nobody's way, nor is its lock.
    disk.served = Served::start(&disk.bench, &[&disk.bench.path("disk0.raw")]);
    disk.writer = Writer::connect(&disk.bench, &disk.qemu);
    disk.writer.verify(2, LATE, MIB);
    disk.assert_goes_on();
}

#[test]
fn a_backup_that_is_killed_gives_the_instant_back_and_is_cleaned_up() {
    let Some(mut disk) = Disk::new() else { return };
    let backup = disk.begin_backup(&[]);
    disk.writer.write(2, LATE, MIB);
    backup.kill();
    disk.await_clean();
    support::succeed(disk.bench.fleece("cleanup").arg("--all"));
    assert_nothing_left(&disk.bench);
    disk.writer.verify(2, LATE, MIB);
    disk.assert_goes_on();
}
