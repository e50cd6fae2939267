//! Disks that `fleece serve` serves to a guest on stock QEMU, backed up while it writes; and images of
//! stopped guests.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::fs::File;
use std::time::Duration;

use fleece_lab::{Disk, Format, Guest, StorageDaemon};
use support::served::Served;
use support::{Bench, ordered};

const SIZE: u64 = 64 << 20;
const THREADS: u32 = 2;
const SOON: Duration = Duration::from_secs(60);

fn images(bench: &Bench, count: usize) -> Vec<std::path::PathBuf> {
    (0..count)
        .map(|number| {
            let path = bench.path(&format!("disk{number}.raw"));
            File::create(&path).unwrap().set_len(SIZE).unwrap();
            path
        })
        .collect()
}

#[test]
fn a_guest_on_stock_qemu_uses_our_disks_and_all_show_one_instant() {
    for qemu in fleece_lab::qemus() {
        let bench = Bench::new();
        let paths = images(&bench, 2);
        let _served = Served::start(&bench, &[&paths[0], &paths[1]]);
        let socket = bench.path("socket").join("nbd.sock");
        // The guest gets the drivers for the lab's disks; this one brings that for virtio-blk.
        let mut builder = Guest::builder(&qemu).disk(Disk::raw(1 << 20));
        for number in 0..2 {
            let node = format!(
                "driver=nbd,node-name=d{number},export=drive-disk{number},server.type=unix,\
                 server.path={}",
                socket.display()
            );
            builder = builder
                .argument("-blockdev")
                .argument(node)
                .argument("-device");
            // The serial is how the guest tells them apart.
            builder = builder.argument(format!(
                "virtio-blk-pci,drive=d{number},serial=native{number}"
            ));
        }
        let guest = builder.boot().unwrap();
        let find = |number: usize| {
            let script = format!(
                "while :; do for d in /sys/block/vd*; do \
                 [ \"$(cat $d/serial)\" = native{number} ] && echo /dev/${{d##*/}} && break 2; \
                 done; done 2>/dev/null"
            );
            guest.run(&script, SOON).unwrap().trim().to_owned()
        };
        let devices = format!("{} {}", find(0), find(1));
        let writer = ordered::write(&guest, THREADS, &devices);
        support::succeed(&mut bench.backup_served());
        let when = format!("QEMU {}", qemu.version());
        let report = ordered::assert_one_instant(&mut bench.restore(), THREADS, &when);
        assert!(
            report.newest.iter().flatten().all(|&newest| newest > 0),
            "{report}"
        );
        bench.assert_clean_folders();
        support::assert_running(&guest.test_socket());
        let wrote = writer.stop(SOON).unwrap();
        assert!(!wrote.to_lowercase().contains("error"), "{wrote}");
    }
}

#[test]
fn images_of_a_stopped_guest_are_archived_and_those_in_use_are_refused() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let raw = bench.path("one.raw");
    let qcow2 = bench.path("two.qcow2");
    for (path, format) in [(&raw, "raw"), (&qcow2, "qcow2")] {
        support::succeed(
            qemu.img()
                .args(["create", "-q", "-f", format])
                .arg(path)
                .arg("16M"),
        );
        let mut io = qemu.io();
        support::succeed(
            io.args(["-f", format, "-c", "write -P 0x42 1M 3M"])
                .arg(path),
        );
    }
    let backup = || {
        let mut command = bench.fleece("backup");
        command.arg("--to").arg(bench.path("archives"));
        command.arg("--image").arg(&raw);
        command
            .arg("--image")
            .arg(format!("drive-scsi1={}", qcow2.display()));
        command
    };
    support::succeed(&mut backup());
    for disk in bench.restore() {
        let plain = bench.path("plain");
        let mut disk = disk;
        std::io::copy(&mut disk, &mut File::create(&plain).unwrap()).unwrap();
        let mut compare = qemu.img();
        support::succeed(
            compare
                .args(["compare", "-f", "raw", "-F", "raw"])
                .arg(&plain)
                .arg(&raw),
        );
    }
    bench.assert_clean_folders();
    std::fs::remove_file(bench.archive()).unwrap();

    // A QEMU that uses it keeps us out, and the other way round.
    let image = Disk::image(&raw, Format::Raw);
    let daemon = StorageDaemon::builder(&qemu)
        .disk(image)
        .export()
        .start()
        .unwrap();
    let output = backup().output().unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(
        said.contains("in use") && said.contains("stop the guest"),
        "{said}"
    );
    drop(daemon);

    let served = Served::start(&bench, &[&raw]);
    let output = qemu
        .io()
        .args(["-f", "raw", "-c", "write 0 4k"])
        .arg(&raw)
        .output()
        .unwrap();
    assert!(
        support::text(&output).contains("lock"),
        "{}",
        support::text(&output)
    );
    drop(served);
    bench.assert_clean_folders();
}
