//! Which clusters of a disk its guests have changed: one bit for 64 KiB, a cluster of an archive.

use std::fmt;

use super::sync::{AtomicU64, Ordering};

/// What one bit stands for, as a shift.
const SHIFT: u32 = 16;

/// Bits per word, as a shift.
const PER_WORD: u32 = 6;

/// The account of a disk's changes. Marking costs a load for each cluster that is marked already.
pub(crate) struct Changes {
    words: Box<[AtomicU64]>,
}

impl Changes {
    /// Of a disk of `size` bytes that nobody has changed.
    pub(super) fn new(size: u64) -> Self {
        let words = size.div_ceil(1 << SHIFT).div_ceil(1 << PER_WORD);
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Marks the clusters of a range that is about to change.
    pub(super) fn mark(&self, offset: u64, len: u64) {
        let end = offset.saturating_add(len).div_ceil(1 << SHIFT);
        for cluster in (offset >> SHIFT)..end {
            let word = usize::try_from(cluster >> PER_WORD).ok();
            let Some(word) = word.and_then(|word| self.words.get(word)) else {
                return;
            };
            let bit = 1_u64.wrapping_shl(u32::try_from(cluster & 63).unwrap_or(0));
            if word.load(Ordering::Relaxed) & bit == 0 {
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
    }

    /// What was marked; from now on nothing is. To leave nothing out, nobody may be changing the disk.
    pub(super) fn take(&self) -> Vec<u64> {
        let words = self.words.iter();
        words.map(|word| word.swap(0, Ordering::Relaxed)).collect()
    }

    /// What is marked, when nobody changes the disk any more.
    pub(crate) fn marked(&self) -> Vec<u64> {
        let words = self.words.iter();
        words.map(|word| word.load(Ordering::Relaxed)).collect()
    }

    /// Marks what was marked at another time.
    pub(crate) fn add(&self, marked: &[u64]) {
        for (word, bits) in self.words.iter().zip(marked) {
            word.fetch_or(*bits, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} words", self.words.len())
    }
}
