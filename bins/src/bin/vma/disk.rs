//! Disks of `fleece-storage` as sources and targets of archives.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use fleece_backup_core::RateLimit;
use fleece_storage::block::{Access, Backing, Qcow2, RawFile, ReadDevice, Status, WriteAt};
use fleece_vma_format::Source;
use fleece_vma_format::restore::Target;

use super::failure::{Failure, Result};
use super::writeback::Writeback;

/// How much larger than the device a target may be, in bytes, as in the reference.
const MAX_EXCESS: u64 = 4 << 20;

/// A disk to be read.
pub(super) struct Disk(Box<dyn ReadDevice>);

impl Disk {
    /// Opens an image in a format that the user has named; nothing is ever guessed from what a
    /// guest may have written. A qcow2's backing files are part of it.
    pub(super) fn open(path: &Path, format: &str) -> Result<Self> {
        Ok(Self(match format {
            "raw" => Box::new(RawFile::open(path, Access::ReadOnly)?),
            "qcow2" => Box::new(Qcow2::open(path, Backing::Follow)?),
            _ => return Err(unknown_format(format)),
        }))
    }

    pub(super) fn size(&self) -> u64 {
        self.0.size()
    }
}

impl Source for Disk {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(buffer, offset).map_err(io::Error::other)
    }

    fn zeroes_at(&self, offset: u64, length: u64) -> io::Result<u64> {
        let extent = self
            .0
            .block_status(offset, length)
            .map_err(io::Error::other)?;
        Ok(if extent.status == Status::Zero {
            extent.len
        } else {
            0
        })
    }
}

/// A disk to be written.
pub(super) struct DiskTarget {
    device: Arc<dyn WriteAt>,
    zeroes_needed: bool,
    limit: Option<Arc<RateLimit>>,
    writeback: Option<Arc<Writeback>>,
}

impl DiskTarget {
    pub(super) fn new(device: Arc<dyn WriteAt>, zeroes_needed: bool) -> Self {
        Self {
            device,
            zeroes_needed,
            limit: None,
            writeback: None,
        }
    }

    /// Writes no faster than `limit`.
    pub(super) fn limited(mut self, limit: Option<Arc<RateLimit>>) -> Self {
        self.limit = limit;
        self
    }

    /// Tells `writeback` how much is written.
    pub(super) fn written_back(mut self, writeback: Option<Arc<Writeback>>) -> Self {
        self.writeback = writeback;
        self
    }

    fn wait(&self, bytes: u64) {
        if let Some(limit) = &self.limit {
            thread::sleep(limit.book(bytes, Instant::now()));
        }
    }

    /// Opens an existing image or block device for a device of `size` bytes.
    pub(super) fn open(path: &Path, format: &str, size: u64) -> Result<Arc<dyn WriteAt>> {
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
}

impl Target for DiskTarget {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.wait(data.len() as u64);
        let written = self.device.write_at(data, offset);
        written.map_err(io::Error::other)?;
        if let Some(writeback) = &self.writeback {
            writeback.wrote(data.len() as u64);
        }
        Ok(())
    }

    fn zero_at(&self, offset: u64, length: u64) -> io::Result<()> {
        self.device
            .write_zeroes(offset, length)
            .map_err(io::Error::other)
    }

    fn zeroes_needed(&self) -> bool {
        self.zeroes_needed
    }
}

fn unknown_format(format: &str) -> Failure {
    Failure::new(format!(
        "image format {format} is not supported: use raw or qcow2, or convert it with qemu-img"
    ))
}
