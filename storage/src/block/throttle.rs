//! A device that is no faster than a given rate: a slow backup target for tests and demonstrations.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{BlockStatus, Discard, Extent, Geometry, ReadAt, Result, WriteAt};

/// A number of bytes per second, shared by all that pass through it, one after the other.
///
/// Whoever comes waits for those who came before and then for its own bytes, as on a network or a
/// disk with one queue.
#[derive(Debug)]
pub struct RateLimit {
    bytes_per_second: u64,
    /// When the last of the accepted bytes will have passed.
    busy_until: Mutex<Instant>,
}

impl RateLimit {
    /// A limit of `bytes_per_second`; 0 counts as 1.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            busy_until: Mutex::new(Instant::now()),
        }
    }

    /// Return when `bytes` have passed.
    pub fn pass(&self, bytes: u64) {
        let now = Instant::now();
        thread::sleep(self.reserve(bytes, now).saturating_duration_since(now));
    }

    /// When `bytes` that arrive at `now` will have passed.
    fn reserve(&self, bytes: u64, now: Instant) -> Instant {
        let nanoseconds = u128::from(bytes)
            .saturating_mul(1_000_000_000)
            .checked_div(u128::from(self.bytes_per_second))
            .and_then(|nanoseconds| u64::try_from(nanoseconds).ok())
            .unwrap_or(u64::MAX);
        let takes = Duration::from_nanos(nanoseconds);
        let mut busy_until = self
            .busy_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let done = now
            .max(*busy_until)
            .checked_add(takes)
            .unwrap_or(*busy_until);
        *busy_until = done;
        done
    }
}

/// A device whose writes pass through a [`RateLimit`]; everything else costs nothing extra.
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
        self.limit.pass(buf.len() as u64);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_one_after_the_other_at_the_rate() {
        let limit = RateLimit::new(1000);
        let start = Instant::now() + Duration::from_secs(1);
        assert_eq!(
            limit.reserve(500, start),
            start + Duration::from_millis(500)
        );
        assert_eq!(
            limit.reserve(500, start),
            start + Duration::from_millis(1000)
        );
    }

    #[test]
    fn an_idle_limit_saves_up_nothing() {
        let limit = RateLimit::new(1000);
        let start = Instant::now() + Duration::from_secs(1);
        limit.reserve(1, start);
        let later = start + Duration::from_secs(100);
        assert_eq!(limit.reserve(1000, later), later + Duration::from_secs(1));
    }
}
