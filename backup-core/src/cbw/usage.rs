//! How much of the target a snapshot uses.

use super::sync::{AtomicU64, Ordering};

/// How much old data of a disk was saved, and how much of it the target holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Bytes copied into the target since the snapshot was attached.
    pub saved: u64,
    /// Bytes that the target holds now, zeroes included: no less than the space they take.
    pub held: u64,
    /// The most that it held at any time.
    pub peak: u64,
}

#[derive(Debug)]
pub(super) struct Counters {
    saved: AtomicU64,
    released: AtomicU64,
    peak: AtomicU64,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            saved: AtomicU64::new(0),
            released: AtomicU64::new(0),
            peak: AtomicU64::new(0),
        }
    }

    pub(super) fn saved(&self, bytes: u64) {
        let saved = self
            .saved
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes);
        let held = saved.saturating_sub(self.released.load(Ordering::Relaxed));
        self.peak.fetch_max(held, Ordering::Relaxed);
    }

    pub(super) fn released(&self, bytes: u64) {
        self.released.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn usage(&self) -> Usage {
        let saved = self.saved.load(Ordering::Relaxed);
        let held = saved.saturating_sub(self.released.load(Ordering::Relaxed));
        Usage {
            saved,
            held,
            peak: self.peak.load(Ordering::Relaxed),
        }
    }
}
