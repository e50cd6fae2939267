//! The lab's own proof: a guest on each QEMU whose disks show one instant, and a checker that fails.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use fleece_lab::{Disk, Guest, Interface, StorageDaemon, order};

const SIZE: u64 = 64 << 20;
const THREADS: u32 = 2;
const SLOTS: u64 = 256;
const SOON: Duration = Duration::from_secs(30);

#[test]
fn disks_of_a_guest_that_wrote_in_order_show_one_instant() {
    for qemu in fleece_lab::qemus() {
        let mut guest = Guest::builder(&qemu)
            .disk(Disk::raw(SIZE))
            .disk(Disk::raw(SIZE).interface(Interface::VirtioScsi))
            .boot()
            .unwrap();
        let line = format!("writer seq 2 {THREADS} {SLOTS} /dev/disk0 /dev/disk1");
        let written = guest.run(&line, SOON).unwrap();
        guest.shutdown().unwrap();

        let report = check(&guest).unwrap();
        assert!(report.is_one_instant(), "QEMU {}: {report}", qemu.version());
        let steps: Vec<String> = report
            .newest
            .iter()
            .map(|disks| disks[0].to_string())
            .collect();
        assert_eq!(
            written.trim(),
            format!("{{\"steps\":[{}]}}", steps.join(","))
        );
    }
}

#[test]
fn a_guest_killed_while_writing_leaves_one_instant_and_the_checker_finds_damage() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let mut guest = Guest::builder(&qemu)
        .disk(Disk::raw(SIZE))
        .disk(Disk::raw(SIZE))
        .boot()
        .unwrap();
    guest
        .spawn(&format!(
            "writer seq 0 {THREADS} {SLOTS} /dev/disk0 /dev/disk1"
        ))
        .unwrap();
    // The last slot of the last thread's ring on the last disk.
    let slot = u64::from(THREADS) * SLOTS - 1;
    let written =
        format!("dd if=/dev/disk1 bs=4096 skip={slot} count=1 iflag=direct | grep -q FLEECE");
    guest
        .run(&format!("until {written}; do :; done"), SOON)
        .unwrap();
    guest.kill();
    let report = check(&guest).unwrap();
    assert!(report.is_one_instant(), "{report}");

    let mut disks = images(&guest).unwrap();
    disks.reverse();
    let report = order::check(&mut disks, THREADS, SLOTS).unwrap();
    assert!(!report.violations.is_empty(), "{report}");

    let half = slot * 4096 + 2048;
    let disk = File::options()
        .write(true)
        .open(guest.disk_path(1))
        .unwrap();
    disk.write_all_at(&[0; 2048], half).unwrap();
    let report = check(&guest).unwrap();
    assert_eq!(report.torn.len(), 1, "{report}");
}

#[test]
fn a_storage_daemon_exports_its_disks() {
    for qemu in fleece_lab::qemus() {
        let daemon = StorageDaemon::builder(&qemu)
            .disk(Disk::raw(SIZE).throttled())
            .disk(Disk::qcow2(SIZE))
            .export()
            .start()
            .unwrap();
        for number in 0..2 {
            let mut io = qemu.io();
            io.args([
                "-f",
                "raw",
                "-c",
                "write -P 7 1M 64k",
                "-c",
                "read -P 7 1M 64k",
            ]);
            let output = io.arg(daemon.nbd_uri(number)).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        assert!(daemon.qmp_socket().exists());
    }
}

fn check(guest: &Guest) -> io::Result<order::Report> {
    order::check(&mut images(guest)?, THREADS, SLOTS)
}

fn images(guest: &Guest) -> io::Result<Vec<File>> {
    (0..2)
        .map(|number| File::open(guest.disk_path(number)))
        .collect()
}
