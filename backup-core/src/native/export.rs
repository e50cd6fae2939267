//! A guest's disk over NBD.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use fleece_nbd::{Export, Extent, Zeroing};
use fleece_storage::block::{
    BlockDevice, Discard, Error, ErrorKind, Geometry, ReadAt, Status, WriteAt,
};

use super::control::Writes;
use super::latency::{self, Latencies};
use super::source::SnapshotSource;
use crate::pace::latency::DiskWrites;
use crate::pipeline::source::Source as _;

/// Serves a disk, usually a [`crate::cbw::Filter`], to guests over NBD: reads, writes, zeroes,
/// trims, flushes and block status.
///
/// It measures what its clients' writes take, so that backups can leave room for them.
#[derive(Debug)]
pub struct FilterExport {
    disk: Arc<dyn BlockDevice>,
    latencies: Latencies,
}

impl FilterExport {
    /// Serve `disk`.
    #[must_use]
    pub fn new(disk: Arc<dyn BlockDevice>) -> Self {
        Self {
            disk,
            latencies: Latencies::new(),
        }
    }

    /// The writes and flushes so far, and the time they took.
    #[must_use]
    pub fn writes(&self) -> DiskWrites {
        latency::writes(self.latencies.nanoseconds(), &self.latencies.classes())
    }

    /// The same for a control socket.
    pub(super) fn counters(&self) -> Writes {
        Writes {
            write_time_ns: self.latencies.nanoseconds(),
            classes: self.latencies.classes(),
        }
    }

    fn timed<T>(&self, write: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = write();
        self.latencies.count(start.elapsed());
        result
    }
}

impl Export for FilterExport {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_only(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(buffer, offset).map_err(to_io)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.timed(|| self.disk.write_at(data, offset))
            .map_err(to_io)
    }

    fn flush(&self) -> io::Result<()> {
        self.timed(|| self.disk.flush()).map_err(to_io)
    }

    fn trim(&self, offset: u64, length: u64) -> io::Result<()> {
        self.disk.discard(offset, length).map_err(to_io)
    }

    fn write_zeroes(&self, offset: u64, length: u64, zeroing: Zeroing) -> io::Result<()> {
        // How fast it is depends on the source and on what a backup still needs.
        if zeroing.only_if_fast {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.timed(|| {
            if zeroing.keep_allocated {
                self.disk.write_zeroes_allocated(offset, length)
            } else {
                self.disk.write_zeroes(offset, length)
            }
        })
        .map_err(to_io)
    }

    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<Extent>> {
        let extent = self.disk.block_status(offset, length).map_err(to_io)?;
        Ok(vec![match extent.status {
            Status::Data => Extent::data(extent.len),
            Status::Zero => Extent::hole(extent.len),
        }])
    }
}

fn to_io(error: Error) -> io::Error {
    let kind = match error.kind() {
        ErrorKind::NoSpace => io::ErrorKind::StorageFull,
        ErrorKind::TimedOut => io::ErrorKind::TimedOut,
        ErrorKind::OutOfBounds => io::ErrorKind::InvalidInput,
        ErrorKind::ReadOnly | ErrorKind::Denied => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// Serves a bitmap to a backup.
#[derive(Debug)]
pub(super) struct BitmapExport(Vec<u8>);

impl BitmapExport {
    pub(super) fn new(bitmap: Vec<u8>) -> Self {
        Self(bitmap)
    }
}

impl Export for BitmapExport {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = self.0.get(start..start.saturating_add(buffer.len()));
        buffer.copy_from_slice(part.ok_or(io::ErrorKind::InvalidInput)?);
        Ok(())
    }
}

/// Serves a disk of a snapshot to a backup over NBD: reads, block status, and trims that release.
#[derive(Debug)]
pub(super) struct SnapshotExport(SnapshotSource);

impl SnapshotExport {
    pub(super) fn new(source: SnapshotSource) -> Self {
        Self(source)
    }
}

impl Export for SnapshotExport {
    fn size(&self) -> u64 {
        self.0.size()
    }

    /// A read-only export would refuse trims. Writes are refused all the same.
    fn read_only(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0
            .view()
            .read_at(buffer, offset)
            .map_err(io::Error::other)
    }

    fn trim(&self, offset: u64, length: u64) -> io::Result<()> {
        self.0.release(offset, length).map_err(io::Error::other)
    }

    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<Extent>> {
        let extents = self
            .0
            .block_status(offset, length)
            .map_err(io::Error::other)?;
        let extent = |extent: crate::pipeline::source::Extent| match extent.zero {
            false => Extent::data(extent.length),
            true => Extent::hole(extent.length),
        };
        Ok(extents.into_iter().map(extent).collect())
    }
}
