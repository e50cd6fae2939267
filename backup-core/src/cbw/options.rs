//! How a snapshot is kept.

use std::time::Duration;

use super::{Error, ErrorKind, Result};

/// How a snapshot is kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The unit of copying. Raised to the alignment of a target that cannot free smaller pieces.
    pub cluster_size: ClusterSize,
    /// Who suffers when old data cannot be saved.
    pub policy: Policy,
    /// How long a guest write may be held back for the sake of the snapshot; also how long a reader
    /// waits for the target. Default 45 s, below the 60 s after which Windows' virtio drivers reset
    /// the disk.
    pub timeout: Duration,
    /// How long attaching may wait for guest writes that are under way, while new ones wait behind
    /// them. Default 5 s; usually it takes as long as the slowest write in flight.
    pub switch_timeout: Duration,
    /// Take what the filters have marked as changed, at the instant: they begin anew then. Default no.
    pub take_changes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cluster_size: ClusterSize::default(),
            policy: Policy::default(),
            timeout: Duration::from_secs(45),
            switch_timeout: Duration::from_secs(5),
            take_changes: false,
        }
    }
}

/// Who suffers when the old data of a cluster cannot be saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// The snapshot: it breaks, the guest writes on.
    #[default]
    BreakSnapshot,
    /// The guest: its write fails, the snapshot stays whole.
    BreakGuestWrite,
}

/// Bytes per cluster: a power of two from 4 KiB to 16 MiB, by default 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterSize(u64);

impl ClusterSize {
    /// The smallest: a page, the least that file systems free.
    pub const MIN: Self = Self(4 << 10);
    /// The largest: more would hold back a guest write for too long.
    pub const MAX: Self = Self(16 << 20);

    /// A cluster size of `bytes`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidClusterSize`] unless it is a power of two within the limits.
    pub fn new(bytes: u64) -> Result<Self> {
        let size = Self(bytes);
        if bytes.is_power_of_two() && (Self::MIN..=Self::MAX).contains(&size) {
            return Ok(size);
        }
        Err(Error::new(ErrorKind::InvalidClusterSize).because(format!(
            "{bytes} is not a power of two from 4 KiB to 16 MiB"
        )))
    }

    /// This, or the alignment of a target if that is larger.
    pub(super) fn raised_to(self, alignment: u64) -> Self {
        Self::new(alignment).map_or(self, |aligned| self.max(aligned))
    }

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// How many whole clusters fit into `bytes`.
    pub(super) fn whole_in(self, bytes: u64) -> u64 {
        bytes >> self.0.trailing_zeros()
    }

    /// How many clusters it takes to hold `bytes`.
    pub(super) fn covering(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.0)
    }
}

impl Default for ClusterSize {
    /// 64 KiB, the cluster of the VMA format.
    fn default() -> Self {
        Self(64 << 10)
    }
}
