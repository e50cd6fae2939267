//! The conformance suite on LVM and LVM-thin, inside a guest: its kernel has the device mapper,
//! and nothing of the host's disks is at stake.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fleece_lab::{Disk, Guest, GuestTree};

const STORAGES: &str =
    "lvm: thick\n\tvgname fleece\n\nlvmthin: thin\n\tvgname fleece\n\tthinpool pool\n";

/// Without udev LVM makes the device nodes itself.
const LVM: &str = "devices { obtain_device_list_from_udev=0 scan=\"/dev\" }\n\
    activation { udev_sync=0 udev_rules=0 monitoring=0 }\n";

#[test]
fn lvm_conforms() {
    conforms("thick");
}

#[test]
fn lvm_thin_conforms() {
    conforms("thin");
}

/// Boots a guest, makes a volume group on its disk, and runs the suite on the storage.
fn conforms(storage: &str) {
    let Some(qemu) = fleece_lab::qemus().pop() else {
        return;
    };
    let programs = [
        "lvm",
        "thin_check",
        "blkdiscard",
        "mkfs.ext4",
        "qemu-io",
        "ldd",
    ];
    if !programs
        .iter()
        .all(|program| fleece_lab::require(program).is_some())
    {
        return;
    }
    let tree = GuestTree::new();
    for program in ["/sbin/lvm", "/usr/sbin/thin_check", "/sbin/blkdiscard"] {
        tree.program(program.as_ref(), program);
    }
    tree.qemu(&qemu, "qemu-io");
    for name in [
        "vgcreate", "vgs", "lvs", "lvcreate", "lvremove", "lvchange", "lvextend",
    ] {
        tree.link("lvm", &format!("/sbin/{name}"));
    }
    tree.program(&conformance(), "/bin/conformance");
    tree.file("/etc/lvm/lvm.conf", LVM);
    tree.file("/etc/storage.cfg", STORAGES);
    tree.modules(&["dm_thin_pool"]);

    let guest = Guest::builder(&qemu)
        .disk(Disk::raw(1 << 30))
        .argument("-drive")
        .argument(format!(
            "file={},if=none,id=tree,format=raw",
            tree.image().display()
        ))
        .argument("-device")
        .argument("virtio-blk-pci,drive=tree,serial=tree")
        .boot()
        .unwrap();
    let run = |command: &str| guest.run(command, Duration::from_secs(240)).unwrap();
    run(&tree.enter());
    run("chroot /mnt /sbin/vgcreate fleece /dev/disk0");
    run("chroot /mnt /sbin/lvcreate --yes --type thin-pool --size 512m --name pool fleece");
    // Its exit status says whether all is well; its table says what is not.
    let suite = format!("PATH=/bin chroot /mnt /bin/conformance /etc/storage.cfg {storage} 999000");
    let report = run(&format!("{suite} || true"));
    println!("{report}");
    assert!(
        report.contains(" ok\n") && !report.contains("FAILED"),
        "{report}"
    );
}

/// The suite as a program of its own, as new as this test.
fn conformance() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args([
        "build",
        "--quiet",
        "--package",
        "fleece-storage",
        "--example",
        "conformance",
    ]);
    assert!(build.status().unwrap().success());
    let this = std::env::current_exe().unwrap();
    let program = this
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples/conformance");
    assert!(fs::metadata(&program).unwrap().is_file());
    program
}
