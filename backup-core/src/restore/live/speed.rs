//! How fast the disks are copied behind the guest: as fast as it does not hurt its writes.

use std::time::Duration;

/// Writes that take longer than this on average hurt, if they do not do so anyway: of a disk that turns, one seek and
/// one turn; ten times what an SSD takes.
const SLOW: Duration = Duration::from_millis(20);

/// Bytes per second: what it begins with, and what is left of it however slow the guest is.
const FIRST: u64 = 64 << 20;
const LEAST: u64 = 4 << 20;

/// At this rate, reading in QEMU's main loop was not felt by a guest beside it (4 KiB writes of half a millisecond).
const MOST: u64 = 200 << 20;

/// A rate that halves when the guest's writes become slow, and otherwise grows.
#[derive(Debug)]
pub(super) struct Speed {
    most: u64,
    now: u64,
}

impl Speed {
    pub(super) fn new(limit: Option<u64>) -> Self {
        let most = limit.unwrap_or(MOST).max(1);
        Self {
            most,
            now: FIRST.min(most),
        }
    }

    /// Bytes per second.
    pub(super) const fn now(&self) -> u64 {
        self.now
    }

    /// The rate for the next second, after one in which so many writes took so long, all in all.
    pub(super) fn after(&mut self, writes: u64, took: Duration) -> u64 {
        let mean = u32::try_from(writes).map_or(Duration::ZERO, |writes| {
            took.checked_div(writes).unwrap_or_default()
        });
        self.now = match mean > SLOW {
            true => self.now / 2,
            false => self.now.saturating_add(self.now / 4),
        }
        .clamp(LEAST.min(self.most), self.most);
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn slow_writes_halve_it_and_quick_ones_let_it_grow_to_its_limit() {
        let mut speed = Speed::new(None);
        let first = speed.now();
        assert_eq!(speed.after(10, SECOND), first / 2);
        assert!(speed.after(1000, SECOND) > first / 2);
        for _ in 0..100 {
            speed.after(0, Duration::ZERO);
        }
        assert_eq!(speed.now(), MOST);
    }

    #[test]
    fn it_never_stops_and_never_exceeds_what_was_asked_for() {
        let mut speed = Speed::new(Some(10 << 20));
        assert_eq!(speed.now(), 10 << 20);
        assert_eq!(speed.after(0, Duration::ZERO), 10 << 20);
        for _ in 0..20 {
            speed.after(1, SECOND);
        }
        assert_eq!(speed.now(), LEAST);
        let mut slow = Speed::new(Some(1 << 20));
        assert_eq!(slow.after(1, SECOND), 1 << 20);
    }
}
