//! What others do to a guest's disks while it is backed up, at the monitor. The guest itself is held before its first
//! instruction, which costs no boot; its devices are there, and `qemu-io` writes for it.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;

use fleece_lab::{Disk, Format, Guest, Qemu};
use fleece_qmp_client::{Client, Error};
use serde_json::{Value, json};
use support::Bench;
use support::ended::Ended;
use support::running::Running;

const SIZE: u64 = 16 << 20;

fn execute(guest: &Guest, command: &str, arguments: Value) -> Result<Value, Error> {
    let client = Client::connect_unix(guest.test_socket()).unwrap();
    client.execute_raw(command, Some(arguments))
}

/// What the guest does with its disk `number`.
fn io(guest: &Guest, number: usize, command: &str) {
    let device = format!("/machine/peripheral/virtio{number}/virtio-backend");
    let line = format!("qemu-io -d {device} \"{command}\"");
    let said = execute(
        guest,
        "human-monitor-command",
        json!({"command-line": line}),
    )
    .unwrap();
    let said = said.to_string();
    assert!(!said.contains("rror") && !said.contains("failed"), "{said}");
}

fn image(qemu: &Qemu, arguments: &[&str], path: &Path) -> String {
    let output = support::succeed(qemu.img().args(arguments).arg(path));
    support::text(&output)
}

fn backup(bench: &Bench, guest: &Guest) -> Command {
    let mut command = bench.backup(&guest.qmp_socket());
    command.args(["--vmid", "7"]);
    command
}

fn begun(bench: &Bench, guest: &Guest) -> Running {
    let mut running = Running::start(backup(bench, guest).args(["--bwlimit", "4M"]));
    running.until("copy-before-write is active");
    running
}

#[test]
fn a_snapshot_that_somebody_takes_can_be_opened_afterwards_and_is_the_cause_that_is_told() {
    for qemu in fleece_lab::qemus() {
        let builder = Guest::builder(&qemu).disk(Disk::raw(SIZE));
        let mut guest = builder.disk(Disk::qcow2(SIZE)).hold().unwrap();
        for disk in [0, 1] {
            io(&guest, disk, "write -P 0x11 0 8M");
        }
        let bench = Bench::new();
        let running = begun(&bench, &guest);
        let overlays = [0, 1].map(|disk| {
            let overlay = bench.path(&format!("overlay{disk}"));
            let arguments = json!({
                "device": format!("drive-virtio{disk}"), "snapshot-file": overlay, "format": "qcow2",
            });
            let taken = execute(&guest, "blockdev-snapshot-sync", arguments);
            // Where the filter belongs to a job, QEMU refuses it.
            assert_eq!(taken.is_err(), qemu.version().major >= 11, "{taken:?}");
            io(&guest, disk, "write -P 0x22 4M 1M");
            io(&guest, disk, "flush");
            (taken.is_ok(), overlay)
        });
        let ended = running.end();
        if qemu.version().major >= 11 {
            ended.expect_code(0);
        } else {
            ended.expect(5, &["somebody has taken a snapshot"]);
            bench.assert_no_archive();
        }
        bench.assert_clean(&guest.test_socket());
        guest.kill();
        for (number, (taken, overlay)) in overlays.iter().enumerate() {
            let disk = guest.disk_path(number);
            if *taken {
                let told = image(&qemu, &["info"], overlay);
                let format = disk.extension().unwrap().to_string_lossy();
                let format = format!("backing file format: {format}\n");
                assert!(told.contains(&format), "{told}");
                let mut io = qemu.io();
                io.args(["-r", "-c", "read -P 0x22 4M 1M", "-c", "read -P 0x11 5M 3M"]);
                let said = support::text(&support::succeed(io.arg(overlay)));
                assert!(!said.contains("verification failed"), "{said}");
            }
        }
    }
}

#[test]
fn what_the_guest_discards_meanwhile_gives_its_space_back() {
    for qemu in fleece_lab::qemus() {
        let builder = Guest::builder(&qemu).disk(Disk::raw(SIZE).discards());
        let guest = builder.disk(Disk::raw(SIZE).discards()).hold().unwrap();
        for disk in [0, 1] {
            io(&guest, disk, "write -P 0x11 0 12M");
        }
        let bench = Bench::new();
        let running = begun(&bench, &guest);
        let space = |disk| guest.disk_path(disk).metadata().unwrap().blocks() * 512;
        let before = space(1);
        io(&guest, 1, "discard 1M 8M");
        let after = space(1);
        assert!(after + (8 << 20) <= before, "{before} {after}");
        let said = running.end().expect_code(0);
        assert!(!said.contains("swallow"), "{said}");
        for disk in bench.restore() {
            let mut data = vec![0; 12 << 20];
            disk.read_exact_at(&mut data, 0).unwrap();
            assert!(data.iter().all(|byte| *byte == 0x11));
        }
        bench.assert_clean(&guest.test_socket());
    }
}

/// The reference that QEMU leaks then is of no device, job or export.
#[test]
fn a_stream_that_qemu_refuses_and_stumbles_over_is_told_with_the_way_out() {
    for qemu in fleece_lab::qemus() {
        // Where the filter belongs to a job, QEMU refuses without harm.
        if qemu.version().major >= 11 {
            continue;
        }
        let bench = Bench::new();
        let base = bench.path("base.raw");
        support::noise(&base, SIZE);
        let overlay = bench.path("overlay.qcow2");
        let from = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"];
        let from = from.into_iter().chain([base.to_str().unwrap()]);
        image(&qemu, &from.collect::<Vec<_>>(), &overlay);
        let disk = Disk::image(overlay, Format::Qcow2);
        let mut guest = Guest::builder(&qemu).disk(disk).hold().unwrap();

        let mut running = begun(&bench, &guest);
        let stream = json!({"job-id": "theirs", "device": "drive-virtio0"});
        execute(&guest, "block-stream", stream).unwrap_err();
        running.until("somebody has tried to start a block job");
        let said = running
            .end()
            .expect(3, &["restarted or migrated", "fleece cleanup"]);
        assert!(!said.contains("another name"), "{said}");
        let next = Ended::of(&mut backup(&bench, &guest));
        let said = next.expect(5, &["restarted or migrated", "fleece cleanup"]);
        assert!(!said.contains("another name"), "{said}");
        io(&guest, 0, "write -P 0x22 4M 1M");

        guest.kill();
        support::succeed(bench.fleece("cleanup").arg("7"));
        bench.assert_clean_folders();
    }
}
