//! A disk of which only what has changed is read: the rest is in an earlier archive.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fleece_vma_format::{CLUSTER_SIZE, DeviceId, Known};

use crate::pipeline::source::{Extent, Source};
use crate::report::error::{Error, ErrorKind};
use crate::target::base::BaseArchive;

const CLUSTER: u64 = CLUSTER_SIZE as u64;

/// Shorter stretches are read without asking whether they are zero: the answer takes as long.
const WORTH_ASKING: u64 = 1 << 20;

/// Which clusters of a disk have changed, one bit for each.
#[derive(Clone, Debug)]
pub(crate) struct DirtyMap {
    bits: Vec<u64>,
    clusters: u64,
}

impl DirtyMap {
    /// Of a disk of `size` bytes of which nothing has changed.
    pub(crate) fn clean(size: u64) -> Self {
        let clusters = size.div_ceil(CLUSTER);
        let words = usize::try_from(clusters.div_ceil(64)).unwrap_or(usize::MAX);
        Self {
            bits: vec![0; words],
            clusters,
        }
    }

    /// The same with the clusters that `bitmap` marks: a bit for each, the first in the lowest bit of the first byte. One that
    /// is too short marks all that it leaves out.
    pub(crate) fn of_bitmap(size: u64, bitmap: &[u8]) -> Self {
        let mut map = Self::clean(size);
        for (word, bits) in map.bits.iter_mut().zip(0_usize..) {
            let start = bits.saturating_mul(8);
            let bytes = bitmap.get(start..start.saturating_add(8));
            let bytes = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
            *word = bytes.map_or(u64::MAX, u64::from_le_bytes);
        }
        // What is behind the end is no cluster.
        let behind = u32::try_from(map.clusters % 64).unwrap_or(0);
        if let Some(last) = map.bits.last_mut().filter(|_| behind > 0) {
            *last &= 1_u64.wrapping_shl(behind).wrapping_sub(1);
        }
        map
    }

    /// Marks all clusters with any byte of a range.
    pub(crate) fn mark(&mut self, bytes: Range<u64>) {
        let end = bytes.end.div_ceil(CLUSTER).min(self.clusters);
        for cluster in bytes.start / CLUSTER..end {
            let word = usize::try_from(cluster / 64).unwrap_or(usize::MAX);
            if let Some(word) = self.bits.get_mut(word) {
                *word |= 1_u64.wrapping_shl(u32::try_from(cluster % 64).unwrap_or(0));
            }
        }
    }

    /// The same with all clusters marked that are `together` with one that is.
    pub(crate) fn widened(&self, together: impl Fn(u64) -> Range<u64>) -> Self {
        let mut wide = self.clone();
        let mut cluster = 0;
        while cluster < self.clusters {
            let around = together(cluster);
            if around
                .clone()
                .any(|cluster| cluster < self.clusters && self.is_dirty(cluster))
            {
                let bytes = |cluster: u64| cluster.saturating_mul(CLUSTER);
                wide.mark(bytes(around.start)..bytes(around.end));
            }
            cluster = around.end.max(cluster.saturating_add(1));
        }
        wide
    }

    pub(crate) fn is_dirty(&self, cluster: u64) -> bool {
        let word = usize::try_from(cluster / 64).unwrap_or(usize::MAX);
        let word = self.bits.get(word).copied().unwrap_or(u64::MAX);
        word.wrapping_shr(u32::try_from(cluster % 64).unwrap_or(0)) & 1 == 1
    }

    /// How many clusters have changed.
    pub(crate) fn dirty(&self) -> u64 {
        self.bits
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    /// `count` of the clusters that have not changed, or all: one from each of as many equal parts of them, at a
    /// place that `random` chooses.
    pub(crate) fn sample(&self, count: u64, random: &mut dyn FnMut(u64) -> u64) -> Vec<u64> {
        let clean = self.clusters.saturating_sub(self.dirty());
        let count = count.min(clean);
        let wide = |part: u64| u128::from(part).saturating_mul(u128::from(clean));
        let start = |part: u64| {
            let start = wide(part).checked_div(u128::from(count)).unwrap_or(0);
            u64::try_from(start).unwrap_or(u64::MAX)
        };
        let mut chosen = Vec::new();
        let (mut part, mut seen) = (0, 0_u64);
        let mut wanted = None;
        for cluster in (0..self.clusters).filter(|cluster| !self.is_dirty(*cluster)) {
            if part >= count {
                break;
            }
            let (first, end) = (start(part), start(part.saturating_add(1)));
            let place = *wanted
                .get_or_insert_with(|| first.saturating_add(random(end.saturating_sub(first))));
            if seen == place {
                chosen.push(cluster);
            }
            seen = seen.saturating_add(1);
            if seen >= end {
                part = part.saturating_add(1);
                wanted = None;
            }
        }
        chosen
    }

    /// A range of bytes, cut where clean and dirty clusters meet.
    fn runs(&self, offset: u64, length: u64) -> Vec<(Range<u64>, bool)> {
        let end = offset.saturating_add(length);
        let mut runs: Vec<(Range<u64>, bool)> = Vec::new();
        let mut at = offset;
        while at < end {
            let cluster = at / CLUSTER;
            let next = cluster.saturating_add(1).saturating_mul(CLUSTER).min(end);
            let dirty = self.is_dirty(cluster);
            match runs.last_mut().filter(|(_, last)| *last == dirty) {
                Some((run, _)) => run.end = next,
                None => runs.push((at..next, dirty)),
            }
            at = next;
        }
        runs
    }
}

/// Where the bytes of a backup came from.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    /// Bytes read of the guest.
    pub(crate) guest: AtomicU64,
    /// Bytes taken from the earlier archive.
    pub(crate) base: AtomicU64,
}

/// What has changed comes from `view`, the instant, and the rest from the earlier archive, where each cluster is checked
/// against the index. What is not as the index knows it comes from the view.
pub(crate) struct Incremental {
    pub(crate) view: Arc<dyn Source>,
    pub(crate) dirty: DirtyMap,
    pub(crate) base: BaseArchive,
    /// The disk in the archive.
    pub(crate) device: DeviceId,
    /// If the archive is sound as far as is known: all but what is marked here is taken over unread.
    pub(crate) trusted: Option<DirtyMap>,
    pub(crate) origins: Arc<Origins>,
}

impl Incremental {
    /// Releases what will not be read: the guest's writes there need not be preceded by a copy.
    pub(crate) fn release_unread(&self) -> Result<(), Error> {
        let Some(read) = &self.trusted else {
            return Ok(());
        };
        let runs = read.runs(0, self.size());
        let clean = runs.into_iter().filter(|(_, dirty)| !dirty);
        clean.map(|(run, _)| run).try_for_each(|run| {
            let length = run.end.saturating_sub(run.start);
            self.view.release(run.start, length)
        })
    }

    fn zeroes(&self, run: Range<u64>, extents: &mut Vec<Extent>) -> Result<(), Error> {
        let archive = self.base.base().archive();
        let mut at = run.start;
        while at < run.end {
            let stretch = archive.stretch_at(self.device, at).map_err(|error| {
                let message = format!("{}: cannot look into the earlier archive", self.name());
                Error::caused(ErrorKind::Archive, message, error)
            })?;
            let length = stretch.length.clamp(1, run.end.saturating_sub(at));
            let zero = !stretch.data;
            extents.push(Extent { length, zero });
            at = at.saturating_add(length);
        }
        Ok(())
    }

    fn read_view(&self, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
        self.origins
            .guest
            .fetch_add(length as u64, Ordering::Relaxed);
        self.view.read(offset, vec![0; length])
    }
}

impl Source for Incremental {
    fn name(&self) -> &str {
        self.view.name()
    }

    fn size(&self) -> u64 {
        self.view.size()
    }

    fn block_status(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        let mut extents = Vec::new();
        for (run, dirty) in self.dirty.runs(offset, length) {
            let length = run.end.saturating_sub(run.start);
            match dirty {
                true if length < WORTH_ASKING => extents.push(Extent {
                    length,
                    zero: false,
                }),
                true => extents.extend(self.view.block_status(run.start, length)?),
                false => self.zeroes(run, &mut extents)?,
            }
        }
        Ok(extents)
    }

    fn read(&self, offset: u64, mut buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
        let runs = self.dirty.runs(offset, buffer.len() as u64);
        if let [(_, true)] = runs.as_slice() {
            self.origins
                .guest
                .fetch_add(buffer.len() as u64, Ordering::Relaxed);
            return self.view.read(offset, buffer);
        }
        let mut rest = buffer.as_mut_slice();
        for (run, dirty) in runs {
            let length = usize::try_from(run.end.saturating_sub(run.start)).unwrap_or(usize::MAX);
            let (part, behind) = rest.split_at_mut_checked(length).unwrap_or_default();
            rest = behind;
            let archive = self.base.base().archive();
            if dirty {
                part.copy_from_slice(&self.read_view(run.start, part.len())?);
            } else if archive.read_at(self.device, run.start, part).is_ok() {
                self.origins
                    .base
                    .fetch_add(part.len() as u64, Ordering::Relaxed);
            } else {
                // It is damaged there, and the guest has it still.
                self.base.note_damaged(part.len() as u64);
                part.copy_from_slice(&self.read_view(run.start, part.len())?);
            }
        }
        Ok(buffer)
    }

    fn release(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.view.release(offset, length)
    }

    fn known(&self, cluster: u64) -> Option<Known> {
        let unread = self.trusted.as_ref().filter(|read| !read.is_dirty(cluster));
        unread.and_then(|_| self.base.base().known(self.device, cluster))
    }

    fn abort(&self) {
        self.view.abort();
    }

    fn finish(&self) -> Result<(), Error> {
        self.view.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_map_tells_what_was_marked_and_samples_only_the_rest(
            clusters in 1..500_u64,
            marks in prop::collection::vec((0..500_u64, 1..40_u64), 0..10),
            count in 0..100_u64,
        ) {
            let size = clusters * CLUSTER - 100;
            let mut map = DirtyMap::clean(size);
            let mut expected = vec![false; clusters as usize];
            for (first, length) in marks {
                map.mark(first * CLUSTER + 5..(first + length) * CLUSTER - 7);
                for cluster in first..(first + length).min(clusters) {
                    expected[cluster as usize] = true;
                }
            }
            let is = |cluster: u64| expected[cluster as usize];
            let bitmap: Vec<u8> = map.bits.iter().flat_map(|word| word.to_le_bytes()).collect();
            prop_assert_eq!(&DirtyMap::of_bitmap(size, &bitmap).bits, &map.bits);
            prop_assert_eq!(DirtyMap::of_bitmap(size, &[]).dirty(), clusters);
            prop_assert!((0..clusters).all(|cluster| map.is_dirty(cluster) == is(cluster)));
            let dirty = expected.iter().filter(|dirty| **dirty).count() as u64;
            prop_assert_eq!(map.dirty(), dirty);
            let mut turn = 7_u64;
            let mut random = |below: u64| {
                turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (turn >> 33).checked_rem(below).unwrap_or(0)
            };
            let wide = map.widened(|cluster| cluster / 15 * 15..cluster / 15 * 15 + 15);
            for cluster in 0..clusters {
                let around = cluster / 15 * 15..clusters.min(cluster / 15 * 15 + 15);
                prop_assert_eq!(wide.is_dirty(cluster), around.into_iter().any(is));
            }
            let sample = map.sample(count, &mut random);
            prop_assert_eq!(sample.len() as u64, count.min(clusters - dirty));
            prop_assert!(sample.iter().all(|cluster| !is(*cluster)));
            prop_assert!(sample.is_sorted() && sample.windows(2).all(|pair| pair[0] != pair[1]));
            let runs = map.runs(0, size);
            prop_assert_eq!(runs.first().map(|(run, _)| run.start), Some(0));
            prop_assert_eq!(runs.last().map(|(run, _)| run.end), Some(size));
            for pair in runs.windows(2) {
                prop_assert!(pair[0].0.end == pair[1].0.start && pair[0].1 != pair[1].1);
            }
        }
    }
}
