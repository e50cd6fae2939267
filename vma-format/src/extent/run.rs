//! Clusters that follow each other.

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

    /// Whether `entry` is the cluster that follows.
    fn continued_by(&self, entry: &ClusterEntry) -> bool {
        self.device == entry.device()
            && self.mask == entry.mask()
            && self.first().checked_add(self.count()) == Some(entry.index())
    }
}

/// The runs that an extent's clusters form.
pub(crate) fn runs(entries: &[ClusterEntry]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for entry in entries {
        match runs.last_mut().filter(|run| run.continued_by(entry)) {
            // No extent has more than 59 clusters.
            Some(run) => run.count = run.count.saturating_add(1),
            None => runs.push(Run {
                device: entry.device(),
                first: u32::try_from(entry.index()).unwrap_or(u32::MAX),
                count: 1,
                mask: entry.mask(),
            }),
        }
    }
    runs
}
