//! A bandwidth limit.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::pace::shared::SharedLimit;
use crate::report::error::{Error, ErrorKind};

/// Spreads bytes over time so that no second sees more than the limit, apart from a burst of at
/// most a tenth of a second's worth.
#[derive(Debug)]
pub struct RateLimit {
    bytes_per_second: u64,
    /// When the bytes handed out so far are paid for.
    paid_until: Mutex<Option<Instant>>,
    shared: Option<SharedLimit>,
}

/// How far the bytes handed out may run ahead of the clock.
const BURST: Duration = Duration::from_millis(100);

impl RateLimit {
    /// A limit in bytes per second; 0 is taken as 1.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            paid_until: Mutex::new(None),
            shared: None,
        }
    }

    /// The same, and at most so many bytes a second together with all others that name this file.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Storage`] if the file cannot be used.
    pub fn shared(mut self, path: &Path, bytes_per_second: u64) -> Result<Self, Error> {
        let shared = SharedLimit::open(path, bytes_per_second).map_err(|error| {
            let message = format!("cannot share the limit of bandwidth in {}", path.display());
            Error::caused(ErrorKind::Storage, message, error)
        })?;
        self.shared = Some(shared);
        Ok(self)
    }

    /// Books `bytes` at time `now` and says how long to wait before moving them.
    pub fn book(&self, bytes: u64, now: Instant) -> Duration {
        // What cannot be shared any more ends no backup.
        let shared = self.shared.as_ref();
        let shared = shared.and_then(|shared| shared.book(bytes).ok());
        self.book_own(bytes, now).max(shared.unwrap_or_default())
    }

    fn book_own(&self, bytes: u64, now: Instant) -> Duration {
        let nanos = u128::from(bytes)
            .saturating_mul(1_000_000_000)
            .checked_div(u128::from(self.bytes_per_second));
        let price = Duration::from_nanos(
            nanos
                .and_then(|nanos| nanos.try_into().ok())
                .unwrap_or(u64::MAX),
        );
        let mut paid_until = self
            .paid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Time in which nothing was moved is lost, not saved up.
        let start = paid_until.map_or(now, |paid| paid.max(now));
        let wait = start.saturating_duration_since(now).saturating_sub(BURST);
        *paid_until = start.checked_add(price).or(Some(start));
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves `count` chunks on a clock that only the limit advances; returns the time it took.
    fn move_all(limit: &RateLimit, chunk: u64, count: u32) -> Duration {
        let start = Instant::now();
        let mut now = start;
        for _ in 0..count {
            now += limit.book(chunk, now);
        }
        now - start
    }

    #[test]
    fn a_long_run_keeps_to_the_limit() {
        let took = move_all(&RateLimit::new(10 << 20), 1 << 20, 100);
        assert!(
            took > Duration::from_millis(9700) && took <= Duration::from_secs(10),
            "{took:?}"
        );
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let limit = RateLimit::new(1 << 20);
        let start = Instant::now();
        assert_eq!(limit.book(1 << 20, start), Duration::ZERO);
        let later = start + Duration::from_secs(100);
        assert_eq!(limit.book(1 << 20, later), Duration::ZERO);
        assert_eq!(limit.book(1, later), Duration::from_millis(900));
    }

    #[test]
    fn absurd_numbers_do_not_overflow() {
        let limit = RateLimit::new(0);
        let now = Instant::now();
        limit.book(u64::MAX, now);
        limit.book(u64::MAX, now);
    }
}
