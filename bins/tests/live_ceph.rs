//! A storage whose volumes do not appear in the file system, Ceph's: restoring to it, and fleecing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

#[path = "../../storage/tests/ceph/mod.rs"]
mod ceph;
mod support;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use ceph::Cluster;
use fleece_lab::{Disk, StorageDaemon};
use support::Bench;
use support::running::Running;

/// More than two objects of 4 MiB, and no multiple of anything.
const SIZE: usize = (9 << 20) + 512;

#[test]
fn a_disk_comes_back_to_ceph_and_one_that_fails_leaves_nothing() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = Bench::new();
    let mut disk = vec![0; SIZE];
    for (n, byte) in disk.iter_mut().enumerate().skip(5 << 20) {
        *byte = (n % 251) as u8;
    }
    fs::write(bench.path("disk"), &disk).unwrap();
    fs::write(bench.path("qemu-server.conf"), "scsi0: gone:vm-1-disk-0\n").unwrap();
    let archive = bench.path("archives").join("a.vma");
    let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
    create.arg("create").arg(&archive).arg("-c");
    create.arg(bench.path("qemu-server.conf"));
    create.arg(format!("drive-scsi0={}", bench.path("disk").display()));
    support::succeed(&mut create);

    let config = bench.path("9.conf");
    let storages = cluster.storages();
    let restore = |archive: &std::path::Path| {
        let mut restore = bench.fleece("restore");
        restore
            .arg(archive)
            .args(["--vmid", "9", "--storage", "ceph"]);
        restore.arg("--storage-config").arg(&storages);
        restore.arg("--config-out").arg(&config);
        restore
    };
    let cut = bench.path("cut.vma");
    let mut bytes = fs::read(&archive).unwrap();
    bytes.truncate(bytes.len() - 70_000);
    fs::write(&cut, bytes).unwrap();
    let output = restore(&cut).output().unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}{}", cluster.logs());
    let images = cluster.run("rbd", &["ls", "fleece/guests"]).unwrap();
    assert_eq!(images.trim(), "", "{said}");

    support::succeed(&mut restore(&archive));
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("scsi0: ceph:vm-9-disk-0"), "{text}");
    let out = bench.path("out");
    let name = "fleece/guests/vm-9-disk-0";
    let path = out.display().to_string();
    cluster
        .run("rbd", &["export", "--no-progress", name, &path])
        .unwrap();
    let restored = fs::read(&out).unwrap();
    assert!(restored[..SIZE] == disk);
    assert!(restored[SIZE..].iter().all(|byte| *byte == 0));
    // The first object has nothing but zeroes, and is not there.
    let usage = cluster
        .run("rbd", &["du", "--format", "json", name])
        .unwrap();
    let usage: serde_json::Value = serde_json::from_str(&usage).unwrap();
    let used = usage["images"][0]["used_size"].as_u64().unwrap();
    assert!(used <= 8 << 20, "{usage}");
    assert!(support::entries(&bench.path("state")).is_empty());
}

#[test]
fn fleecing_images_on_ceph_are_used_and_freed() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = Bench::new();
    let disk = Disk::raw(16 << 20).throttled();
    let daemon = StorageDaemon::builder(&qemu).disk(disk).export().start();
    let daemon = daemon.unwrap();
    let io = |command: &str| {
        let mut io = qemu.io();
        support::succeed(io.args(["-f", "raw", "-c", command, &daemon.nbd_uri(0)]));
    };
    io("write -P 0x11 0 16M");
    let mut command = bench.backup(&daemon.qmp_socket());
    command.arg("--nbd-server").arg(daemon.nbd_socket());
    command.arg("--storage-config").arg(cluster.storages());
    command.args(["--fleecing", "ceph", "--vmid", "7", "--bwlimit", "1M"]);
    let mut running = Running::start(&mut command);
    running.until("\"done\":");
    io("write -P 0x55 8M 4M");
    // Whole objects: what is discarded inside one is seen by nobody but the object store.
    let held = || {
        let name = "fleece/guests/vm-7-fleece-0";
        let usage = cluster.run("rbd", &["du", "--format", "json", name]);
        let usage: serde_json::Value = serde_json::from_str(&usage.ok()?).unwrap();
        usage["images"][0]["used_size"].as_u64()
    };
    let mut seen = Vec::new();
    while let Some(held) = held() {
        seen.push(held);
    }
    let said = running.end().expect_code(0);
    eprintln!("{seen:?}");
    let peak = seen.iter().max().unwrap();
    assert!((4 << 20..=8 << 20).contains(peak), "{seen:?}\n{said}");
    let mut restored = vec![0; 16 << 20];
    bench.restore()[0].read_exact_at(&mut restored, 0).unwrap();
    assert!(restored.iter().all(|byte| *byte == 0x11));
    bench.assert_clean(&daemon.qmp_socket());
    let images = cluster.run("rbd", &["ls", "fleece/guests"]).unwrap();
    assert_eq!(images.trim(), "", "{said}");
}
