//! Targets that hang, archives that are not finished, and the room that fleecing images may take.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::process::Command;

use fleece_lab::{Disk, Qemu, StorageDaemon};
use serde_json::Value;
use support::ended::Ended;
use support::running::Running;
use support::{Bench, daemon};

const SIZE: u64 = 32 << 20;

/// What a backup may need of memory, also when its target takes nothing.
const MEMORY: u64 = 96 << 20;

/// A storage daemon with a disk full of data that cannot be compressed.
struct Field {
    qemu: Qemu,
    daemon: StorageDaemon,
    bench: Bench,
}

impl Field {
    fn new() -> Option<Self> {
        Self::of(SIZE)
    }

    fn of(size: u64) -> Option<Self> {
        let qemu = fleece_lab::qemu("10.0")?;
        let bench = Bench::new();
        let disk = Disk::raw(size).throttled();
        let builder = StorageDaemon::builder(&qemu).disk(disk);
        let daemon = builder.export().start().unwrap();
        let noise = bench.path("noise");
        support::noise(&noise, size);
        let field = Self {
            qemu,
            daemon,
            bench,
        };
        field.io(&format!("write -s {} 0 {size}", noise.display()));
        Some(field)
    }

    fn io(&self, command: &str) {
        daemon::io(&self.qemu, &self.daemon, 0, command);
    }

    fn backup(&self, options: &[&str]) -> Command {
        let mut command = daemon::backup(&self.bench, &self.daemon);
        command.args(options);
        command
    }

    /// Starts a backup to its standard output, a pipe that nobody reads.
    fn start_streaming(&self, options: &[&str]) -> Running {
        let mut command = self.backup(&["--to", "-", "--compress", "none"]);
        Running::start_streaming(command.args(options))
    }

    fn assert_clean(&self) {
        self.bench.assert_clean(&self.daemon.qmp_socket());
    }
}

#[test]
fn a_target_that_takes_no_more_data_is_given_up_after_its_time() {
    // More than memory may hold.
    let Some(field) = Field::of(2 * MEMORY) else {
        return;
    };
    let mut running = field.start_streaming(&["--target-timeout", "2"]);
    running.until("copy-before-write is active");
    // The guest does not wait for the target.
    field.io("write -P 0x55 0 16M");
    // Nor does what was read pile up.
    let memory = running.peak_memory();
    eprintln!("{} KiB of memory", memory >> 10);
    assert!(memory <= MEMORY, "{memory} bytes");
    let words = ["the backup target hangs", "--target-timeout"];
    running.end().expect(6, &words);
    field.assert_clean();
    field.io("read -P 0x55 0 16M");
}

#[test]
fn a_signal_ends_a_backup_whose_target_hangs() {
    let Some(field) = Field::new() else { return };
    let mut running = field.start_streaming(&[]);
    running.until("\"done\":");
    running.signal("-TERM");
    running.end().expect_code(143);
    field.assert_clean();
}

#[test]
fn the_backup_ends_before_the_fleecing_images_hold_more_than_they_may() {
    let Some(field) = Field::new() else { return };
    let options = ["--bwlimit", "1M", "--fleecing-limit", "4M"];
    let mut running = Running::start(&mut field.backup(&options));
    running.until("\"done\":");
    field.io("write -P 0x55 8M 16M");
    let cause = "more than their limit of";
    running.end().expect(6, &[cause]);
    field.assert_clean();
    field.io("read -P 0x55 8M 16M");
}

#[test]
fn fleecing_images_share_a_limit_and_the_backup_with_the_most_ends_before_it_is_exceeded() {
    let (Some(one), Some(other)) = (Field::new(), Field::new()) else {
        return;
    };
    let shared = tempfile::tempdir().unwrap();
    let start = |field: &Field, name: &str, rate: &str| {
        let file = shared.path().join(name);
        let options = ["--bwlimit", rate, "--shared-fleecing-limit", "20M"];
        let mut command = field.backup(&options);
        command.arg("--shared-fleecing-in").arg(file);
        let mut running = Running::start(&mut command);
        running.until("\"done\":");
        running
    };
    let mut greedy = start(&one, "0", "512K");
    let frugal = start(&other, "1", "4M");
    // More than half of it, as the other leaves that unused.
    for command in ["write -P 0x55 12M 5M", "write -P 0x55 17M 5M"] {
        one.io(command);
        greedy.until("\"done\":");
        greedy.until("\"done\":");
    }
    other.io("write -P 0x55 30M 1M");
    one.io("write -P 0x55 22M 10M");
    let cause = "the limit that they share with those of other backups";
    greedy.end().expect(6, &[cause]);
    frugal.end().expect_code(0);
    assert!(support::entries(shared.path()).is_empty());
    for field in [one, other] {
        field.assert_clean();
    }
}

#[test]
fn fleecing_images_hold_what_is_overwritten_and_not_yet_read() {
    let Some(field) = Field::new() else { return };
    let mut running = Running::start(&mut field.backup(&["--bwlimit", "4M"]));
    let mut read = 0;
    running.find(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        read = line["read"].as_u64().unwrap_or(0);
        read > 0
    });
    assert!((1..16 << 20).contains(&read), "read {read} so far");
    // What is read already needs no room, and what comes next does.
    field.io("write -P 0x55 0 2M");
    field.io("write -P 0x55 20M 8M");
    let said = running.end().expect_code(0);
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    let held = |line: &Value| line["fleecing"].as_u64();
    let peak = lines.iter().filter_map(held).max().unwrap();
    let last = lines.iter().filter_map(held).next_back().unwrap();
    eprintln!("overwritten: 10 MiB; held: {peak} bytes at most, {last} at the end");
    assert!((7 << 20..=8 << 20).contains(&peak), "{said}");
    assert!(last <= 1 << 20, "{said}");
    field.assert_clean();
}

#[test]
fn an_unfinished_archive_is_kept_if_asked_for_and_recovered() {
    let Some(field) = Field::new() else { return };
    let archives = field.bench.path("archives");
    let mut command = field.backup(&["--compress", "none", "--bwlimit", "8M", "--keep-partial"]);
    command
        .arg("--to")
        .arg(archives.join("vzdump-qemu-7-broken.vma"));
    let mut running = Running::start(&mut command);
    running.find(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["written"]
            .as_u64()
            .is_some_and(|bytes| bytes > 8 << 20)
    });
    running.signal("-INT");
    let partial = archives.join("vzdump-qemu-7-broken.vma.partial");
    let words = [partial.to_str().unwrap(), "vma recover"];
    running.end().expect(130, &words);
    assert_eq!(support::entries(&archives), std::slice::from_ref(&partial));
    field.assert_clean();

    // Whoever reads it is told that it is not whole, and gets what is there.
    let vma = |command: &str| {
        let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
        vma.arg(command).arg(&partial);
        vma
    };
    Ended::of(&mut vma("verify")).expect_code(4);
    let recovered = field.bench.path("recovered");
    Ended::of(vma("recover").arg(&recovered)).expect_code(4);
    let noise = std::fs::read(field.bench.path("noise")).unwrap();
    let disk = std::fs::read(recovered.join("disk-disk0.raw")).unwrap();
    assert_eq!(disk.len() as u64, SIZE);
    assert!(disk[..4 << 20] == noise[..4 << 20]);
}
