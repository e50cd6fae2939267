//! The drill: a guest is backed up while it runs, restored elsewhere in another format, and started.

mod support;

use std::process::Command;
use std::time::Duration;

use fleece_lab::{Definition, Disk, Format, Guest, Interface};
use support::Bench;

const SOON: Duration = Duration::from_secs(60);
const SIZE: u64 = 64 << 20;

#[test]
fn a_guest_restored_to_another_storage_and_format_starts_with_clean_file_systems() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let storage = bench.path("restored");
    std::fs::create_dir(&storage).unwrap();
    let config = "name: drill\nmemory: 256\nvirtio0: old:vm-7-disk-0,size=64M\n";
    let configs = bench.path("configs");
    std::fs::create_dir(&configs).unwrap();
    std::fs::write(configs.join("7.conf"), config).unwrap();

    let image = bench.path("image");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(SIZE)
        .unwrap();
    support::succeed(
        Command::new("/sbin/mke2fs")
            .args(["-q", "-t", "ext4"])
            .arg(&image),
    );
    let disk = Disk::image(&image, Format::Raw)
        .interface(Interface::VirtioBlk)
        .define(Definition::Drive);
    let guest = Guest::builder(&qemu).disk(disk).boot().unwrap();
    let run = |guest: &Guest, line: &str| guest.run(line, SOON).unwrap();
    run(&guest, "mkdir -p /mnt && mount /dev/disk0 /mnt");
    run(
        &guest,
        "echo 'I was here' > /mnt/marker && md5sum /bin/busybox > /mnt/sum && cp /bin/busybox /mnt && sync",
    );
    // It does not stand still for the backup.
    let busy =
        "while :; do dd if=/dev/urandom of=/mnt/busy bs=64k count=16; sync; rm /mnt/busy; done";
    let busy = guest.spawn(&format!("({busy}) 2>/dev/null")).unwrap();
    let mut backup = bench.backup(&guest.qmp_socket());
    support::succeed(
        backup
            .args(["--vmid", "7"])
            .arg("--config-dir")
            .arg(&configs),
    );
    drop(busy);
    drop(guest);

    // What Proxmox's restore needs, too: which device is which drive.
    let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
    let archived = support::succeed(vma.arg("config").arg(bench.archive()));
    let archived = String::from_utf8(archived.stdout).unwrap();
    assert!(
        archived.contains("\n#qmdump#map:virtio0:drive-virtio0:old:raw:\n"),
        "{archived}"
    );

    let restored = bench.path("7.conf");
    let mut restore = bench.fleece("restore");
    support::succeed(
        restore
            .arg(bench.archive())
            .args(["--vmid", "8"])
            .arg("--disk")
            .arg(format!("virtio0={}:qcow2", storage.display()))
            .arg("--config-out")
            .arg(&restored),
    );
    let text = std::fs::read_to_string(&restored).unwrap();
    assert!(text.contains("name: drill"), "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix("virtio0: "));
    let volume = line.expect("a drive").split(',').next().unwrap().to_owned();
    assert!(volume.ends_with("vm-8-disk-0.qcow2"), "{volume}");

    let disk = Disk::image(&volume, Format::Qcow2)
        .interface(Interface::VirtioBlk)
        .define(Definition::Drive);
    let guest = Guest::builder(&qemu).disk(disk).boot().unwrap();
    run(&guest, "mkdir -p /mnt && mount /dev/disk0 /mnt");
    assert_eq!(run(&guest, "cat /mnt/marker").trim(), "I was here");
    run(
        &guest,
        "cd /mnt && sed 's,/bin/,,' sum | md5sum -c && cd / && umount /mnt",
    );
    drop(guest);
    let raw = bench.path("raw");
    support::succeed(
        Command::new("qemu-img")
            .args(["convert", "-O", "raw", &volume])
            .arg(&raw),
    );
    support::succeed(Command::new("/sbin/e2fsck").args(["-f", "-n"]).arg(&raw));
}
