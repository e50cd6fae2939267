//! How a guest's disk is made and attached.

mod arguments;

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::command;
use crate::error::Error;
use crate::qemu::Qemu;

pub(crate) use arguments::{Attached, Cache, Names, blockdev};

/// A disk that a guest or a storage daemon is to have. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Disk {
    pub(crate) size: u64,
    pub(crate) image: Option<PathBuf>,
    pub(crate) format: Format,
    pub(crate) interface: Interface,
    pub(crate) definition: Definition,
    pub(crate) throttled: bool,
    pub(crate) iothread: bool,
    pub(crate) discards: bool,
}

/// The format of a disk's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The disk's bytes and nothing else, sparse.
    Raw,
    /// QEMU's own.
    Qcow2,
}

/// The device that the guest sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Interface {
    /// `virtio-blk-pci`.
    VirtioBlk,
    /// `scsi-hd` on a `virtio-scsi-pci` of its own, as Proxmox's "VirtIO SCSI single".
    VirtioScsi,
    /// `ide-hd` on the `pc` machine's IDE controller; at most four.
    Ide,
    /// `nvme`.
    Nvme,
}

/// How QEMU is told of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Definition {
    /// `-drive`, whose nodes QEMU names itself (`#block123`), with the id that Proxmox 8 gives it.
    Drive,
    /// `-blockdev`, with nodes named as libvirt does; when throttled, as Proxmox 9 does.
    Blockdev,
}

impl Format {
    /// As QEMU's options name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

impl Disk {
    /// A raw disk of `size` bytes: virtio-blk, by `-drive`, without throttle or thread of its own.
    pub fn raw(size: u64) -> Self {
        Self {
            size,
            image: None,
            format: Format::Raw,
            interface: Interface::VirtioBlk,
            definition: Definition::Drive,
            throttled: false,
            iothread: false,
            discards: false,
        }
    }

    /// The same in a qcow2 image.
    pub fn qcow2(size: u64) -> Self {
        Self {
            format: Format::Qcow2,
            ..Self::raw(size)
        }
    }

    /// The image at `path`, say one that was restored; it is used where it is, and stays.
    pub fn image(path: impl Into<PathBuf>, format: Format) -> Self {
        Self {
            format,
            image: Some(path.into()),
            ..Self::raw(0)
        }
    }

    /// Attached by another device.
    #[must_use]
    pub fn interface(mut self, interface: Interface) -> Self {
        self.interface = interface;
        self
    }

    /// Defined in another way.
    #[must_use]
    pub fn define(mut self, definition: Definition) -> Self {
        self.definition = definition;
        self
    }

    /// With a throttle that holds nothing back: a node on top of the graph when defined by
    /// `-blockdev`, as Proxmox 9 has it; inside the block backend when defined by `-drive`.
    #[must_use]
    pub fn throttled(mut self) -> Self {
        self.throttled = true;
        self
    }

    /// Served by a thread of its own, where the device can (virtio-blk and virtio-scsi).
    #[must_use]
    pub fn iothread(mut self) -> Self {
        self.iothread = true;
        self
    }

    /// What the guest discards is given back to the image; QEMU ignores it otherwise.
    #[must_use]
    pub fn discards(mut self) -> Self {
        self.discards = true;
        self
    }

    /// `discard=`
    fn discard(&self) -> &'static str {
        if self.discards { "unmap" } else { "ignore" }
    }

    /// Makes the empty image `disk<number>` in `folder`, unless the disk has one; gives its path.
    pub(crate) fn create(
        &self,
        qemu: &Qemu,
        folder: &Path,
        number: usize,
    ) -> Result<PathBuf, Error> {
        if let Some(image) = &self.image {
            return Ok(image.clone());
        }
        let path = folder.join(format!("disk{number}.{}", self.format.name()));
        match self.format {
            Format::Raw => File::create_new(&path)
                .and_then(|file| file.set_len(self.size))
                .map_err(Error::io(format!("create {}", path.display())))?,
            Format::Qcow2 => {
                let mut create = qemu.img();
                create.args(["create", "-q", "-f", "qcow2"]).arg(&path);
                command::output(create.arg(self.size.to_string()))?;
            }
        }
        Ok(path)
    }
}
