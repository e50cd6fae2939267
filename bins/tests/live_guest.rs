//! Backups of a guest that writes, on each stock QEMU: all disks show one instant, no block is torn,
//! the guest goes on, nothing is left.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by a panic"
)]

mod support;

use std::time::Duration;

use fleece_lab::{Definition, Disk, Guest, Interface, Qemu};
use support::{Bench, ordered};

const SIZE: u64 = 64 << 20;
const THREADS: u32 = 2;
const SOON: Duration = Duration::from_secs(60);

/// Boots a guest, lets it write in order, backs it up, and proves all of the above.
fn one_instant(qemu: &Qemu, disks: Vec<Disk>, method: &str) {
    let count = disks.len();
    let mut builder = Guest::builder(qemu);
    for disk in disks {
        builder = builder.disk(disk);
    }
    let guest = builder.boot().unwrap();
    let devices: Vec<String> = (0..count).map(|n| format!("/dev/disk{n}")).collect();
    let devices = devices.join(" ");
    let writer = ordered::write(&guest, THREADS, &devices);

    for _ in 0..rounds() {
        let bench = Bench::new();
        let mut backup = bench.backup(&guest.qmp_socket());
        let output = backup.arg("--json").output().unwrap();
        let said = support::text(&output);
        assert!(output.status.success(), "{said}{}", guest.log());
        assert!(
            said.contains(method),
            "QEMU {}: expected '{method}': {said}",
            qemu.version()
        );
        let when = format!("QEMU {} by {method}", qemu.version());
        let report = ordered::assert_one_instant(&mut bench.restore(), THREADS, &when);
        assert!(
            report.newest.iter().flatten().all(|&newest| newest > 0),
            "{report}"
        );
        bench.assert_clean(&guest.test_socket());
        let result = support::result(&output);
        eprintln!(
            "QEMU {}, {count} disks, {method}: switch {} ms, paused {} ms",
            qemu.version(),
            result["switch_ms"],
            result["paused_ms"]
        );
    }
    support::assert_running(&guest.test_socket());
    let wrote = writer.stop(SOON).unwrap();
    assert!(!wrote.to_lowercase().contains("error"), "{wrote}");
}

/// Backups of each guest; more with `FLEECE_ROUNDS`, for the long form.
fn rounds() -> u32 {
    std::env::var("FLEECE_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(1)
}

fn drive(interface: Interface) -> Disk {
    Disk::raw(SIZE)
        .interface(interface)
        .define(Definition::Drive)
}

fn blockdev(interface: Interface) -> Disk {
    Disk::raw(SIZE)
        .interface(interface)
        .define(Definition::Blockdev)
}

/// What `fleece` is expected to choose where `blockdev-backup` cannot spare the guest.
fn expected<'a>(qemu: &Qemu, older: &'a str) -> &'a str {
    if qemu.version().major >= 11 {
        "transaction of backup jobs"
    } else {
        older
    }
}

#[test]
fn two_virtio_disks_given_as_drives() {
    for qemu in fleece_lab::qemus() {
        let disks = vec![drive(Interface::VirtioBlk), drive(Interface::VirtioBlk)];
        one_instant(
            &qemu,
            disks,
            expected(&qemu, "insertion at the devices while stopped"),
        );
    }
}

#[test]
fn two_scsi_disks_with_throttle_nodes_as_proxmox_9_has_them() {
    for qemu in fleece_lab::qemus() {
        let disk = || blockdev(Interface::VirtioScsi).throttled();
        one_instant(
            &qemu,
            vec![disk(), disk()],
            expected(&qemu, "reopen of the disks' top nodes"),
        );
    }
}

#[test]
fn one_qcow2_disk_on_ide() {
    for qemu in fleece_lab::qemus() {
        let disk = Disk::qcow2(SIZE)
            .interface(Interface::Ide)
            .define(Definition::Drive);
        one_instant(
            &qemu,
            vec![disk],
            expected(&qemu, "insertion at the device"),
        );
    }
}

#[test]
fn four_disks_of_every_kind() {
    for qemu in fleece_lab::qemus() {
        // QEMU lists drives before other devices, and so does the archive.
        let disks = vec![
            drive(Interface::VirtioBlk),
            drive(Interface::VirtioScsi),
            Disk::qcow2(SIZE)
                .interface(Interface::VirtioBlk)
                .define(Definition::Blockdev),
            blockdev(Interface::VirtioScsi).throttled(),
        ];
        one_instant(
            &qemu,
            disks,
            expected(&qemu, "insertion at the devices while stopped"),
        );
    }
}

#[test]
fn named_raw_nodes_are_reopened() {
    for qemu in fleece_lab::qemus() {
        let disks = vec![
            blockdev(Interface::VirtioBlk),
            blockdev(Interface::VirtioScsi),
        ];
        one_instant(
            &qemu,
            disks,
            expected(&qemu, "reopen of the disks' top nodes"),
        );
    }
}

#[test]
fn four_disks_in_iothreads_raw_and_qcow2() {
    for qemu in fleece_lab::qemus() {
        if qemu.version().major < 9 {
            continue;
        }
        let own_thread = |disk: Disk, interface| {
            let disk = disk.interface(interface).define(Definition::Blockdev);
            disk.iothread()
        };
        let disks = vec![
            own_thread(Disk::raw(SIZE), Interface::VirtioBlk),
            own_thread(Disk::qcow2(SIZE), Interface::VirtioBlk),
            own_thread(Disk::qcow2(SIZE), Interface::VirtioScsi),
            own_thread(Disk::raw(SIZE), Interface::VirtioScsi),
        ];
        let method = expected(&qemu, "insertion at the devices while stopped");
        one_instant(&qemu, disks, method);
    }
}

#[test]
fn disks_in_iothreads_where_qemu_survives_it_and_a_refusal_where_not() {
    for qemu in fleece_lab::qemus() {
        let disk = || blockdev(Interface::VirtioBlk).iothread();
        if qemu.version().major >= 9 {
            let method = expected(&qemu, "reopen of the disks' top nodes");
            one_instant(&qemu, vec![disk(), disk()], method);
            continue;
        }
        let guest = Guest::builder(&qemu)
            .disk(disk())
            .disk(disk())
            .boot()
            .unwrap();
        let bench = Bench::new();
        let output = bench.backup(&guest.qmp_socket()).output().unwrap();
        let said = support::text(&output);
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(
            said.contains("iothread") && said.contains("update QEMU"),
            "{said}"
        );
        bench.assert_clean(&guest.test_socket());
        support::assert_running(&guest.test_socket());
    }
}
