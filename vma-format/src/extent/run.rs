//! Clusters that follow each other.

use std::ops::Range;

use super::ClusterEntry;
use crate::layout::{BLOCK_SIZE, DeviceId};

/// Consecutive clusters of one device with equal masks, which follow each other in an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub(crate) device: DeviceId,
    pub(crate) first: u32,
    pub(crate) count: u8,
    pub(crate) mask: u16,
}

impl Run {
    /// The device.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// The number of its first cluster.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.first as u64
    }

    /// How many clusters it has.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count as u64
    }

    /// Which blocks of each of its clusters are stored.
    #[must_use]
    pub const fn mask(&self) -> u16 {
        self.mask
    }

    /// How many bytes each of its clusters has in the extent.
    #[must_use]
    pub const fn stored(&self) -> u64 {
        (self.mask.count_ones() as u64).saturating_mul(BLOCK_SIZE as u64)
    }

    /// A run of one.
    pub(crate) const fn of(entry: &ClusterEntry) -> Self {
        Self {
            device: entry.device,
            first: entry.index,
            count: 1,
            mask: entry.mask,
        }
    }

    /// The numbers of its clusters.
    pub(crate) const fn clusters(&self) -> Range<u64> {
        let first = self.first();
        first..first.saturating_add(self.count())
    }

    /// Its clusters, one by one.
    pub(crate) fn entries(&self) -> impl Iterator<Item = ClusterEntry> + use<> {
        let (device, mask) = (self.device, self.mask);
        self.clusters().map(move |index| {
            ClusterEntry::new(device, u32::try_from(index).unwrap_or(u32::MAX), mask)
        })
    }

    /// The last of its clusters.
    pub(crate) fn last(&self) -> Option<ClusterEntry> {
        let behind = u32::from(self.count).checked_sub(1)?;
        let index = self.first.checked_add(behind)?;
        Some(ClusterEntry::new(self.device, index, self.mask))
    }
}

/// The runs that an extent's clusters form.
pub(crate) fn runs(entries: &[ClusterEntry]) -> impl Iterator<Item = Run> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let follows = |(entry, index): &(&ClusterEntry, u64)| {
            entry.index() == *index && entry.device == first.device && entry.mask == first.mask
        };
        let count = rest.iter().zip(first.index()..).take_while(follows).count();
        rest = rest.get(count..).unwrap_or_default();
        Some(Run {
            device: first.device,
            first: first.index,
            // No extent has more than 59 clusters.
            count: u8::try_from(count).unwrap_or(u8::MAX),
            mask: first.mask,
        })
    })
}
