//! Targets that hang, archives that are not finished, and the room that fleecing images may take.

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

use std::io::Read as _;
use std::process::Command;

use fleece_lab::{Disk, Qemu, StorageDaemon};
use serde_json::Value;
use support::Bench;
use support::running::Running;

const SIZE: u64 = 32 << 20;

/// What a backup may need of memory, also when its target takes nothing.
const MEMORY: u64 = 96 << 20;

/// A storage daemon with a disk full of data that cannot be compressed.
fn daemon(qemu: &Qemu, bench: &Bench) -> StorageDaemon {
    daemon_of(SIZE, qemu, bench)
}

fn daemon_of(size: u64, qemu: &Qemu, bench: &Bench) -> StorageDaemon {
    let daemon = StorageDaemon::builder(qemu)
        .disk(Disk::raw(size).throttled())
        .export()
        .start()
        .unwrap();
    let noise = bench.path("noise");
    let mut random = std::fs::File::open("/dev/urandom").unwrap().take(size);
    std::io::copy(&mut random, &mut std::fs::File::create(&noise).unwrap()).unwrap();
    io(
        &daemon,
        qemu,
        &format!("write -s {} 0 {size}", noise.display()),
    );
    daemon
}

fn io(daemon: &StorageDaemon, qemu: &Qemu, command: &str) {
    support::succeed(
        qemu.io()
            .args(["-f", "raw", "-c", command, &daemon.nbd_uri(0)]),
    );
}

fn backup(bench: &Bench, daemon: &StorageDaemon) -> Command {
    let mut command = bench.backup(&daemon.qmp_socket());
    command
        .arg("--nbd-server")
        .arg(daemon.nbd_socket())
        .args(["--vmid", "7"]);
    command
}

#[test]
fn a_target_that_takes_no_more_data_is_given_up_after_its_time() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    // More than memory may hold.
    let daemon = daemon_of(2 * MEMORY, &qemu, &bench);
    let mut command = backup(&bench, &daemon);
    command.args(["--to", "-", "--compress", "none", "--target-timeout", "2"]);
    // Its standard output is a pipe that nobody reads.
    let mut running = Running::start_streaming(&mut command);
    running.until("copy-before-write is active");
    // The guest does not wait for the target.
    io(&daemon, &qemu, "write -P 0x55 0 16M");
    // Nor does what was read pile up.
    let memory = running.peak_memory();
    eprintln!("{} KiB of memory", memory >> 10);
    assert!(memory <= MEMORY, "{memory} bytes");
    let said = running.end().expect_code(6);
    assert!(said.contains("the backup target hangs"), "{said}");
    assert!(said.contains("--target-timeout"), "{said}");
    bench.assert_clean(&daemon.qmp_socket());
    io(&daemon, &qemu, "read -P 0x55 0 16M");
}

#[test]
fn a_signal_ends_a_backup_whose_target_hangs() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let daemon = daemon(&qemu, &bench);
    let mut command = backup(&bench, &daemon);
    command.args(["--to", "-", "--compress", "none"]);
    let mut running = Running::start_streaming(&mut command);
    running.until("\"progress\"");
    running.signal("-TERM");
    running.end().expect_code(143);
    bench.assert_clean(&daemon.qmp_socket());
}

#[test]
fn the_backup_ends_before_the_fleecing_images_hold_more_than_they_may() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let daemon = daemon(&qemu, &bench);
    let mut command = backup(&bench, &daemon);
    command.args(["--bwlimit", "1M", "--fleecing-limit", "4M"]);
    let mut running = Running::start(&mut command);
    running.until("\"progress\"");
    io(&daemon, &qemu, "write -P 0x55 8M 16M");
    let said = running.end().expect_code(6);
    assert!(said.contains("more than --fleecing-limit allows"), "{said}");
    bench.assert_clean(&daemon.qmp_socket());
    io(&daemon, &qemu, "read -P 0x55 8M 16M");
}

#[test]
fn fleecing_images_hold_what_is_overwritten_and_not_yet_read() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let daemon = daemon(&qemu, &bench);
    let mut command = backup(&bench, &daemon);
    let mut running = Running::start(command.args(["--bwlimit", "4M"]));
    let mut read = 0;
    running.find(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        read = line["read"].as_u64().unwrap_or(0);
        read > 0
    });
    assert!((1..16 << 20).contains(&read), "read {read} so far");
    // What is read already needs no room, and what comes next does.
    io(&daemon, &qemu, "write -P 0x55 0 2M");
    io(&daemon, &qemu, "write -P 0x55 20M 8M");
    let said = running.end().expect_code(0);
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    let held = |line: &Value| line["fleecing"].as_u64();
    let peak = lines.iter().filter_map(held).max().unwrap();
    let last = lines.iter().filter_map(held).next_back().unwrap();
    eprintln!("overwritten: 10 MiB; held: {peak} bytes at most, {last} at the end");
    assert!((7 << 20..=8 << 20).contains(&peak), "{said}");
    assert!(last <= 1 << 20, "{said}");
    bench.assert_clean(&daemon.qmp_socket());
}

#[test]
fn an_unfinished_archive_is_kept_if_asked_for_and_recovered() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let daemon = daemon(&qemu, &bench);
    let archive = bench.path("archives").join("vzdump-qemu-7-broken.vma");
    let mut command = backup(&bench, &daemon);
    command.arg("--to").arg(&archive);
    command.args(["--compress", "none", "--bwlimit", "8M", "--keep-partial"]);
    let mut running = Running::start(&mut command);
    running.find(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["written"]
            .as_u64()
            .is_some_and(|bytes| bytes > 8 << 20)
    });
    running.signal("-INT");
    let said = running.end().expect_code(130);
    let partial = bench
        .path("archives")
        .join("vzdump-qemu-7-broken.vma.partial");
    assert!(said.contains(partial.to_str().unwrap()), "{said}");
    assert!(said.contains("vma recover"), "{said}");
    assert_eq!(
        support::entries(&bench.path("archives")),
        std::slice::from_ref(&partial)
    );
    bench.assert_clean(&daemon.qmp_socket());

    // Whoever reads it is told that it is not whole, and gets what is there.
    let vma = |arguments: &[&str]| {
        let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
        vma.args(arguments).arg(&partial).output().unwrap()
    };
    assert_eq!(vma(&["verify"]).status.code(), Some(4));
    let mut recover = Command::new(env!("CARGO_BIN_EXE_vma"));
    let recovered = bench.path("recovered");
    let output = recover
        .arg("recover")
        .arg(&partial)
        .arg(&recovered)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", support::text(&output));
    let noise = std::fs::read(bench.path("noise")).unwrap();
    let disk = std::fs::read(recovered.join("disk-disk0.raw")).unwrap();
    assert_eq!(disk.len() as u64, SIZE);
    assert!(disk[..4 << 20] == noise[..4 << 20]);
}
