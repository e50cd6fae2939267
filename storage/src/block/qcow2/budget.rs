//! How much memory the tables of all open images take together.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Result;
use super::image::Image;

/// For the whole process, in bytes; the allocator takes up to as much again for what comes and goes. It is enough
/// for 40 disks that are written from their beginnings to their ends at once.
pub(super) const BUDGET: u64 = 8 << 20;

static IMAGES: Mutex<Vec<Weak<Image>>> = Mutex::new(Vec::new());

/// From now on the image counts, until it is dropped.
pub(super) fn join(image: &Arc<Image>) {
    let mut images = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
    images.retain(|image| image.strong_count() > 0);
    images.push(Arc::downgrade(image));
}

/// Drops the drivers that take most, until the others are within the budget. The one that takes most needs
/// longest to take as much again, so that making drivers again costs next to nothing of the time that filling
/// them does; of those that take the same, the one that was used longest ago goes.
///
/// Whoever calls it holds no lock of an image.
pub(super) fn keep() -> Result<()> {
    let images = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
    let live: Vec<Arc<Image>> = images.iter().filter_map(Weak::upgrade).collect();
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
