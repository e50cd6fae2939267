//! A disk as [`pack`](fleece_vma_format::pack) reads it.

use std::io;

use fleece_storage::block::{ReadDevice, Status};
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
