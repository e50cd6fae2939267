//! QEMU's arguments for a disk.

use std::path::Path;

use serde_json::{Value, json};

use super::{Definition, Disk, Interface};

/// Whether the host's page cache is in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    None,
    Writeback,
}

/// A disk with its place in a guest.
#[derive(Debug)]
pub(crate) struct Attached<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) image: &'a Path,
    pub(crate) cache: Cache,
    /// Its number among all disks of the guest; `disk<number>` is its serial number.
    pub(crate) number: usize,
    /// Its number among those with the same interface.
    pub(crate) unit: usize,
}

impl Attached<'_> {
    /// The id of the device, as Proxmox gives it: `scsi0`, `virtio1`.
    pub(crate) fn id(&self) -> String {
        let kind = match self.disk.interface {
            Interface::VirtioBlk => "virtio",
            Interface::VirtioScsi => "scsi",
            Interface::Ide => "ide",
            Interface::Nvme => "nvme",
        };
        format!("{kind}{}", self.unit)
    }

    /// All arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = match self.disk.definition {
            Definition::Drive => self.drive(),
            Definition::Blockdev => {
                let names = Names::of_guest(self);
                blockdev(self.disk, self.image, self.cache, &names, "-")
            }
        };
        arguments.extend(self.device());
        arguments
    }

    /// What the device's `drive=` refers to.
    fn top(&self) -> String {
        match self.disk.definition {
            Definition::Drive => format!("drive-{}", self.id()),
            Definition::Blockdev => Names::of_guest(self).top(self.disk).to_owned(),
        }
    }

    fn drive(&self) -> Vec<String> {
        let mut drive = format!(
            "file={},if=none,id={},format={},cache={},discard={}",
            // A comma would begin the next option.
            self.image.display().to_string().replace(',', ",,"),
            self.top(),
            self.disk.format.name(),
            match self.cache {
                Cache::None => "none",
                Cache::Writeback => "writeback",
            },
            self.disk.discard(),
        );
        if self.disk.throttled {
            drive.push_str(",throttling.iops-total=10000000");
        }
        vec!["-drive".to_owned(), drive]
    }

    fn device(&self) -> Vec<String> {
        let (id, unit, top) = (self.id(), self.unit, self.top());
        let common = format!("drive={top},id={id},serial=disk{}", self.number);
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: String| {
            arguments.push(name.to_owned());
            arguments.push(value);
        };
        let thread = if self.disk.iothread {
            add("-object", format!("iothread,id=iothread-{id}"));
            format!(",iothread=iothread-{id}")
        } else {
            String::new()
        };
        match self.disk.interface {
            Interface::VirtioBlk => add("-device", format!("virtio-blk-pci,{common}{thread}")),
            Interface::VirtioScsi => {
                add(
                    "-device",
                    format!("virtio-scsi-pci,id=virtioscsi{unit}{thread}"),
                );
                let address = format!("bus=virtioscsi{unit}.0,channel=0,scsi-id=0,lun=0");
                add("-device", format!("scsi-hd,{address},{common}"));
            }
            Interface::Ide => {
                // Two buses of two units.
                let (bus, unit) = (unit >> 1, unit & 1);
                add(
                    "-device",
                    format!("ide-hd,bus=ide.{bus},unit={unit},{common}"),
                );
            }
            Interface::Nvme => add("-device", format!("nvme,{common}")),
        }
        arguments
    }
}

/// The names of a disk's nodes from below, and of its throttle group.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) file: String,
    pub(crate) format: String,
    pub(crate) throttle: String,
    pub(crate) group: String,
}

impl Names {
    fn of_guest(attached: &Attached<'_>) -> Self {
        let id = attached.id();
        let number = attached.number.saturating_add(1);
        let (file, format) = if attached.disk.throttled {
            (format!("e-{id}"), format!("f-{id}"))
        } else {
            (
                format!("libvirt-{number}-storage"),
                format!("libvirt-{number}-format"),
            )
        };
        Self {
            file,
            format,
            throttle: format!("drive-{id}"),
            group: format!("throttle-drive-{id}"),
        }
    }

    /// The node that users of the disk refer to.
    pub(crate) fn top(&self, disk: &Disk) -> &str {
        if disk.throttled {
            &self.throttle
        } else {
            &self.format
        }
    }
}

/// `-blockdev` arguments for one disk; `dashes` is what options begin with.
pub(crate) fn blockdev(
    disk: &Disk,
    image: &Path,
    cache: Cache,
    names: &Names,
    dashes: &str,
) -> Vec<String> {
    let mut top = json!({
        "driver": disk.format.name(),
        "node-name": names.format,
        "discard": disk.discard(),
        "cache": {"direct": cache == Cache::None},
        "file": {
            "driver": "file",
            "node-name": names.file,
            "filename": image.display().to_string(),
            "discard": disk.discard(),
            "cache": {"direct": cache == Cache::None},
        },
    });
    let mut arguments = Vec::new();
    let mut add = |name: &str, value: &Value| {
        arguments.push(format!("{dashes}{name}"));
        arguments.push(value.to_string());
    };
    if disk.throttled {
        add(
            "object",
            &json!({"qom-type": "throttle-group", "id": names.group}),
        );
        top = json!({
            "driver": "throttle",
            "node-name": names.throttle,
            "throttle-group": names.group,
            "discard": disk.discard(),
            "file": top,
        });
    }
    add("blockdev", &top);
    arguments
}
