//! Every way in which a disk can be defined and attached, on each QEMU.

use std::error::Error;
use std::time::Duration;

use fleece_lab::{Definition, Disk, Guest, Interface, Qemu};

const SIZE: u64 = 16 << 20;
const SOON: Duration = Duration::from_secs(30);

#[test]
fn disks_by_drive_keep_what_the_guest_wrote() {
    let disks = [
        Disk::raw(SIZE),
        Disk::qcow2(SIZE)
            .interface(Interface::VirtioScsi)
            .throttled(),
        Disk::qcow2(SIZE).interface(Interface::Ide),
        Disk::raw(SIZE).interface(Interface::Nvme),
    ];
    for qemu in fleece_lab::qemus() {
        write_and_find(&qemu, &disks).unwrap();
    }
}

#[test]
fn disks_by_blockdev_keep_what_the_guest_wrote() {
    let disks = [
        Disk::qcow2(SIZE).iothread(),
        Disk::raw(SIZE)
            .interface(Interface::VirtioScsi)
            .throttled()
            .iothread(),
        Disk::raw(SIZE).interface(Interface::VirtioScsi),
        Disk::qcow2(SIZE).interface(Interface::Ide).throttled(),
    ]
    .map(|disk| disk.define(Definition::Blockdev));
    for qemu in fleece_lab::qemus() {
        write_and_find(&qemu, &disks).unwrap();
    }
}

/// Each disk gets its own byte by its name in the guest, and has it in its image.
fn write_and_find(qemu: &Qemu, disks: &[Disk]) -> Result<(), Box<dyn Error>> {
    let builder = disks.iter().fold(Guest::builder(qemu), |builder, disk| {
        builder.disk(disk.clone())
    });
    let mut guest = builder.boot()?;
    for number in 0..disks.len() {
        let line = format!(
            "writer fill 1048576 65536 {} /dev/disk{number}",
            byte(number)
        );
        guest.run(&line, SOON)?;
    }
    guest.shutdown()?;
    for number in 0..disks.len() {
        let image = guest.disk_path(number);
        let format = image.extension().unwrap_or_default();
        let read = format!("read -P {} 1M 64k", byte(number));
        let mut io = qemu.io();
        io.arg("-f")
            .arg(format)
            .args(["-r", "-c", &read])
            .arg(image);
        let text = String::from_utf8(io.output()?.stdout)?;
        let found = text.starts_with("read 65536/65536");
        assert!(found, "disk {number} on QEMU {}: {text}", qemu.version());
    }
    Ok(())
}

fn byte(disk: usize) -> usize {
    disk.saturating_add(0x51)
}
