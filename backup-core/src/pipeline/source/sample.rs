//! A sample of what should not have changed, compared with the earlier archive.

use std::io;
use std::sync::atomic::Ordering;
use std::thread::{self, ScopedJoinHandle};

use fleece_vma_format::CLUSTER_SIZE;

use super::incremental::Incremental;
use crate::pipeline::source::Source as _;
use crate::report::error::{Error, ErrorKind};

const CLUSTER: u64 = CLUSTER_SIZE as u64;

/// How many clusters are read at once.
const READERS: usize = 8;

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
        let clusters = self.dirty.sample(count, &mut splitmix(seed));
        // All of them is much to read, and the guest wants its disk, too.
        let readers = if all { 1 } else { READERS };
        let part = clusters.len().div_ceil(readers).max(1);
        thread::scope(|scope| {
            let compare = |clusters| {
                let name = thread::Builder::new().name("sample".into());
                name.spawn_scoped(scope, move || self.first_changed(clusters))
            };
            let parts: Vec<_> = clusters.chunks(part).map(compare).collect();
            // The first, or the first error.
            parts
                .into_iter()
                .map(ended)
                .try_fold(None, |first, next| Ok(first.or(next?)))
        })
    }

    /// The first of these clusters that is not what the earlier archive has.
    fn first_changed(&self, clusters: &[u64]) -> Result<Option<u64>, Error> {
        for &cluster in clusters {
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

/// What a thread that compares has found.
fn ended(
    thread: io::Result<ScopedJoinHandle<'_, Result<Option<u64>, Error>>>,
) -> Result<Option<u64>, Error> {
    let failed = |error| {
        let message = "cannot compare a sample with the earlier archive";
        Error::caused(ErrorKind::Internal, message, error)
    };
    let died = |_| Err(failed(io::Error::other("a thread has died")));
    thread.map_err(failed)?.join().unwrap_or_else(died)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::source::incremental::DirtyMap;

    #[test]
    fn a_sample_finds_what_has_changed_as_often_as_is_promised() {
        const TRIES: u32 = 500;
        let map = DirtyMap::clean(20_000 * CLUSTER);
        // How many are compared, how many of a thousand have changed, and the probabilities of `docs/INCREMENTAL.md`.
        for (compared, changed, promised) in [
            (64, 50, 0.96),
            (64, 5, 0.27),
            (1024, 50, 1.0),
            (1024, 5, 0.994),
        ] {
            let found = (0..TRIES).filter(|seed| {
                let seed = u64::from(*seed);
                // Which have changed is chosen by other numbers than those of the sample.
                let is_changed = |cluster: &u64| {
                    let seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ cluster;
                    splitmix(seed)(1000) < changed
                };
                let chosen = map.sample(compared, &mut splitmix(seed));
                chosen.iter().any(is_changed)
            });
            let found = u32::try_from(found.count()).unwrap();
            let measured = f64::from(found) / f64::from(TRIES);
            let differs = (measured - promised).abs();
            assert!(differs < 0.04, "{compared} of which {changed}: {measured}");
        }
        assert_eq!(
            [sampled(0), sampled(1 << 14), sampled(1 << 24)],
            [64, 64, 1024]
        );
    }
}
