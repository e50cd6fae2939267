//! A disk as [`pack`](fleece_vma_format::pack) reads it.

use std::io;
use std::path::Path;

use fleece_storage::VolumeFormat;
use fleece_storage::block::{Access, Backing, Look, Qcow2, RawFile, ReadDevice, Result, Status};
use fleece_vma_format::{Source, Stretch};

/// QEMU's disks are whole sectors of so many bytes.
const SECTOR: u64 = 512;

/// Any disk of `fleece-storage`, for [`pack`](fleece_vma_format::pack). As QEMU sees it, its size is whole sectors:
/// zeroes fill up the last one.
#[derive(Debug)]
pub struct PackedDisk(Box<dyn ReadDevice>);

impl PackedDisk {
    /// This disk.
    #[must_use]
    pub fn new(disk: Box<dyn ReadDevice>) -> Self {
        Self(disk)
    }

    /// An image in a format that its owner names: nothing is guessed from what a guest may have written. A qcow2's
    /// backing files are part of it.
    ///
    /// # Errors
    /// When it cannot be opened, or is no image of this format.
    pub fn open(path: &Path, format: VolumeFormat) -> Result<Self> {
        Ok(Self::new(if format == VolumeFormat::Qcow2 {
            Box::new(Qcow2::open(path, Backing::Follow)?)
        } else {
            Box::new(RawFile::open(path, Access::ReadOnly)?)
        }))
    }

    /// What its bytes look like, if that is no disk.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn looks_like(&self) -> Result<Option<Look>> {
        Look::of(self.0.size(), |buffer, offset| {
            self.0.read_at(buffer, offset)
        })
    }

    /// Its size in bytes, as a device of an archive.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size().next_multiple_of(SECTOR)
    }
}

impl Source for PackedDisk {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let there = self.0.size().saturating_sub(offset);
        let there = usize::try_from(there)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let (data, behind) = buffer.split_at_mut_checked(there).unwrap_or_default();
        behind.fill(0);
        self.0.read_at(data, offset).map_err(io::Error::other)
    }

    fn stretch_at(&self, offset: u64, length: u64) -> io::Result<Stretch> {
        let there = self.0.size().saturating_sub(offset).min(length);
        let extent = self.0.block_status(offset, there);
        let extent = extent.map_err(io::Error::other)?;
        Ok(match extent.status {
            Status::Zero if extent.len >= there => Stretch::zeroes(length),
            Status::Zero => Stretch::zeroes(extent.len),
            _ => Stretch::data(extent.len),
        })
    }
}
