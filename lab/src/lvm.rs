//! LVM in the lab's guest: its kernel has the device mapper, and nothing of the host's disks is at stake.

#![expect(
    clippy::unwrap_used,
    reason = "only tests use it, and may fail by a panic"
)]

use std::time::Duration;

use crate::disk::Disk;
use crate::guest::Guest;
use crate::guest_tree::GuestTree;
use crate::qemu::Qemu;
use crate::tool::require;

/// Names of the one program `lvm`.
const COMMANDS: [&str; 7] = [
    "vgcreate", "vgs", "lvs", "lvcreate", "lvremove", "lvchange", "lvextend",
];

/// Without udev LVM makes the device nodes itself.
const CONFIG: &str = "devices { obtain_device_list_from_udev=0 scan=\"/dev\" }\n\
    activation { udev_sync=0 udev_rules=0 monitoring=0 }\n";

/// The group and its pool in the words of Proxmox.
const STORAGES: &str =
    "lvm: thick\n\tvgname fleece\n\nlvmthin: thin\n\tvgname fleece\n\tthinpool pool\n";

/// How long a command may take on a busy host.
const TIMEOUT: Duration = Duration::from_secs(240);

impl GuestTree {
    /// A tree with LVM, and with an `/etc/storage.cfg` that calls the volume group `fleece` the storage
    /// `thick` and its thin pool `thin`; `None` where the host lacks a program.
    pub fn with_lvm() -> Option<Self> {
        for program in ["lvm", "thin_check", "mkfs.ext4", "ldd"] {
            require(program)?;
        }
        let tree = Self::new();
        for program in ["/sbin/lvm", "/usr/sbin/thin_check"] {
            tree.program(program.as_ref(), program);
        }
        for name in COMMANDS {
            tree.link("lvm", &format!("/sbin/{name}"));
        }
        tree.file("/etc/lvm/lvm.conf", CONFIG);
        tree.file("/etc/storage.cfg", STORAGES);
        tree.modules(&["dm_thin_pool"]);
        Some(tree)
    }

    /// Boots a guest with the tree at `/mnt`, and with the volume group `fleece` on a disk of `mebibytes`, half
    /// of which is the thin pool `pool`.
    pub fn boot_with_volume_group(&self, qemu: &Qemu, mebibytes: u64) -> Guest {
        let guest = self.boot(qemu, Disk::raw(mebibytes << 20));
        let pool = mebibytes / 2;
        for command in [
            "vgcreate fleece /dev/disk0",
            &format!("lvcreate --yes --type thin-pool --size {pool}m --name pool fleece"),
        ] {
            let command = format!("chroot /mnt /sbin/{command}");
            guest.run(&command, TIMEOUT).unwrap();
        }
        guest
    }
}
