//! How much memory the tables of all open images take together.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::block::Result;

/// For the whole process, in bytes; the allocator takes up to as much again for what comes and goes. It is enough
/// for 40 disks that are written from their beginnings to their ends at once.
pub(super) const BUDGET: u64 = 8 << 20;

static IMAGES: Mutex<Vec<Weak<dyn Cached>>> = Mutex::new(Vec::new());

/// An image whose driver can be dropped, with all that it has in memory.
pub(super) trait Cached: Send + Sync {
    /// How much memory the driver takes, in bytes; none where it is dropped.
    fn bytes(&self) -> u64;

    /// How much of that is not there as soon as the driver is, in bytes.
    fn cached(&self) -> u64;

    /// When it was last used: larger is later.
    fn last_used(&self) -> u64;

    /// Drops the driver when whoever uses it is done, and not if its tables cannot be written: being dropped, it
    /// would write them too, but tell nobody if that fails.
    fn close(&self) -> Result<()>;
}

/// From now on the image counts, until it is dropped.
pub(super) fn join(image: Weak<dyn Cached>) {
    let mut images = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
    images.retain(|image| image.strong_count() > 0);
    images.push(image);
}

/// Drops the drivers that take most, until the others are within the budget. The one that takes most needs
/// longest to take as much again, so that making drivers again costs next to nothing of the time that filling
/// them does; of those that take the same, the one that was used longest ago goes.
///
/// Whoever calls it holds no lock of an image.
pub(super) fn keep() -> Result<()> {
    let images = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
    let live: Vec<Arc<dyn Cached>> = images.iter().filter_map(Weak::upgrade).collect();
    loop {
        let bytes = || live.iter().map(|image| image.bytes());
        let total = bytes().fold(0, u64::saturating_add);
        let Some(largest) = live
            .iter()
            .max_by_key(|image| (image.bytes(), Reverse(image.last_used())))
        else {
            return Ok(());
        };
        // One must be there to be worked with, however large its L1 table is.
        let alone = largest.bytes() == total && largest.cached() <= BUDGET / 2;
        if total <= BUDGET || alone {
            return Ok(());
        }
        largest.close()?;
    }
}

#[cfg(test)]
mod tests;
