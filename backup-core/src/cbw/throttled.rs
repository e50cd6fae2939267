//! A device that writes no faster than a given rate: a slow target for demonstrations and tests.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use fleece_storage::block::{BlockStatus, Discard, Extent, Geometry, ReadAt, Result, WriteAt};

use crate::pace::rate::RateLimit;

/// A device whose writes keep to a [`RateLimit`], which others may share; everything else costs
/// nothing extra.
#[derive(Debug)]
pub struct Throttled<D> {
    device: D,
    limit: Arc<RateLimit>,
}

impl<D> Throttled<D> {
    /// Slow down the writes of `device`.
    #[must_use]
    pub fn new(device: D, limit: Arc<RateLimit>) -> Self {
        Self { device, limit }
    }
}

impl<D: Geometry> Geometry for Throttled<D> {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn alignment(&self) -> u64 {
        self.device.alignment()
    }
}

impl<D: ReadAt> ReadAt for Throttled<D> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.device.read_at(buf, offset)
    }
}

impl<D: BlockStatus> BlockStatus for Throttled<D> {
    fn block_status(&self, offset: u64, len: u64) -> Result<Extent> {
        self.device.block_status(offset, len)
    }
}

impl<D: WriteAt> WriteAt for Throttled<D> {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        thread::sleep(self.limit.book(buf.len() as u64, Instant::now()));
        self.device.write_at(buf, offset)
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        self.device.write_zeroes(offset, len)
    }

    fn flush(&self) -> Result<()> {
        self.device.flush()
    }
}

impl<D: Discard> Discard for Throttled<D> {
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.device.discard(offset, len)
    }
}
