//! Disks of `fleece-storage` as sources and targets of archives.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use fleece_storage::block::{
    Access, Backing, FORMAT_BYTES, Qcow2, RawFile, ReadDevice, Status, WriteAt, image_format,
};
use fleece_vma_format::Source;

use super::failure::{Failure, Result};

/// How much larger than the device a target may be, in bytes, as in the reference.
const MAX_EXCESS: u64 = 4 << 20;

/// A disk to be read. As QEMU has it, its size is whole sectors: zeroes fill up the last one.
pub(super) struct Disk(Box<dyn ReadDevice>);

/// The reference leaves the rest of a device out that is no whole sector, in bytes.
const SECTOR: u64 = 512;

impl Disk {
    /// Opens an image in a format that the user has named; nothing is ever guessed from what a
    /// guest may have written. A qcow2's backing files are part of it.
    pub(super) fn open(path: &Path, format: &str) -> Result<Self> {
        check_kind(path)?;
        Ok(Self(match format {
            "raw" => Box::new(RawFile::open(path, Access::ReadOnly)?),
            "qcow2" => Box::new(Qcow2::open(path, Backing::Follow)?),
            _ => return Err(unknown_format(format)),
        }))
    }

    /// That a raw image does not look like one of another format.
    pub(super) fn check_format(&self, path: &Path) -> Result<()> {
        let mut start = [0; FORMAT_BYTES];
        self.read_at(0, &mut start)
            .map_err(|e| Failure::io(format!("cannot read {}", path.display()), e))?;
        let Some(format) = image_format(&start) else {
            return Ok(());
        };
        let right = match format {
            "qcow2" => "use -d format=qcow2:NAME=PATH",
            _ => "convert it first with `qemu-img convert`",
        };
        Err(Failure::new(format!(
            "{}: this looks like a {format} image; {right}, or -d format=raw:NAME=PATH if these are the disk's own bytes",
            path.display()
        )))
    }

    pub(super) fn size(&self) -> u64 {
        self.0.size().next_multiple_of(SECTOR)
    }
}

impl Source for Disk {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let there = self.0.size().saturating_sub(offset);
        let there = usize::try_from(there)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let (data, behind) = buffer.split_at_mut_checked(there).unwrap_or_default();
        behind.fill(0);
        self.0.read_at(data, offset).map_err(io::Error::other)
    }

    fn zeroes_at(&self, offset: u64, length: u64) -> io::Result<u64> {
        let there = self.0.size().saturating_sub(offset).min(length);
        let extent = self
            .0
            .block_status(offset, there)
            .map_err(io::Error::other)?;
        Ok(match extent.status {
            Status::Zero if extent.len >= there => length,
            Status::Zero => extent.len,
            _ => 0,
        })
    }
}

/// Opens an existing image or block device for a device of `size` bytes.
pub(super) fn open_target(path: &Path, format: &str, size: u64) -> Result<Arc<dyn WriteAt>> {
    check_kind(path)?;
    let device: Arc<dyn WriteAt> = match format {
        "raw" => Arc::new(RawFile::open(path, Access::ReadWrite)?),
        "qcow2" => Arc::new(Qcow2::open_writable(path)?),
        _ => return Err(unknown_format(format)),
    };
    let there = device.size();
    if there < size || there.saturating_sub(size) > MAX_EXCESS {
        return Err(Failure::new(format!(
            "{}: unexpected size {there} for a device of {size} bytes (up to 4 MiB more is fine)",
            path.display()
        )));
    }
    Ok(device)
}

/// That a disk is none of what would be waited for: opening a FIFO waits for its other end.
fn check_kind(path: &Path) -> Result<()> {
    let kind = fs::metadata(path).map(|metadata| metadata.file_type());
    match kind {
        Ok(kind) if !kind.is_file() && !kind.is_block_device() => Err(Failure::new(format!(
            "{} is neither an image file nor a block device",
            path.display()
        ))),
        // Opening it says what is wrong.
        _ => Ok(()),
    }
}

fn unknown_format(format: &str) -> Failure {
    Failure::new(format!(
        "image format {format} is not supported: use raw or qcow2, or convert it with qemu-img"
    ))
}
