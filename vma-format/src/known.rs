//! What is known of a cluster that nobody has read.

use crate::index::Sum;
use crate::layout::BLOCK_SIZE;

/// What an index knows of a cluster with payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Which blocks are stored, and where they begin in the archive.
    pub(crate) mask: u16,
    pub(crate) place: u64,
    /// Their checksum.
    pub(crate) sum: Sum,
}

impl Known {
    /// How many bytes of payload it has.
    #[must_use]
    pub const fn stored(&self) -> usize {
        (self.mask.count_ones() as usize).saturating_mul(BLOCK_SIZE)
    }
}
