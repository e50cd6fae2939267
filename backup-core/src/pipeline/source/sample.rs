//! A sample of what should not have changed, compared with the earlier archive.

use std::sync::atomic::Ordering;

use fleece_vma_format::CLUSTER_SIZE;

use super::incremental::Incremental;
use crate::pipeline::source::Source as _;
use crate::report::error::Error;

const CLUSTER: u64 = CLUSTER_SIZE as u64;

impl Incremental {
    /// Compares a sample of the clusters that should not have changed, or all of them, with the earlier archive; the first
    /// that has. `seed`, in hexadecimal digits, chooses which.
    pub(crate) fn compare(&self, all: bool, seed: &str) -> Result<Option<u64>, Error> {
        let clean = self
            .size()
            .div_ceil(CLUSTER)
            .saturating_sub(self.dirty.dirty());
        let count = match all {
            true => clean,
            false => sampled(clean),
        };
        let seed = u64::from_str_radix(seed.get(..16).unwrap_or("0"), 16).unwrap_or(0);
        for cluster in self.dirty.sample(count, &mut splitmix(seed)) {
            let offset = cluster.saturating_mul(CLUSTER);
            let length = CLUSTER.min(self.size().saturating_sub(offset));
            let mut before = vec![0; usize::try_from(length).unwrap_or(0)];
            let now = self.view.read(offset, before.clone())?;
            self.origins.guest.fetch_add(length, Ordering::Relaxed);
            let archive = self.base.base().archive();
            // What is damaged there says nothing about the bitmap; it will be met again.
            if archive.read_at(self.device, offset, &mut before).is_ok() && now != before {
                return Ok(Some(cluster));
            }
        }
        Ok(None)
    }
}

/// How many of so many clusters are compared: one in 500, at least 64 and at most 1024. If one in two hundred of
/// them has changed, 64 find it with a probability of 27 %, and 1024 with 99.4 %.
fn sampled(clean: u64) -> u64 {
    (clean / 500).clamp(64, 1024)
}

/// Numbers below a limit, spread evenly (the generator SplitMix64).
fn splitmix(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ mixed.wrapping_shr(30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed.wrapping_shr(27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed = mixed ^ mixed.wrapping_shr(31);
        mixed.checked_rem(below).unwrap_or(0)
    }
}
