//! The checksum of one cluster.

use super::algorithm::Algorithm;

/// The checksum of one cluster's stored blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sum {
    Crc(u32),
    Leaf(Algorithm, [u8; 16]),
}

impl Sum {
    /// Whether these are the blocks that it was computed from.
    pub(super) fn fits(&self, blocks: &[u8]) -> bool {
        match self {
            Self::Crc(crc) => crc32fast::hash(blocks) == *crc,
            Self::Leaf(algorithm, leaf) => algorithm.leaf(blocks) == *leaf,
        }
    }

    /// Whether these are the blocks that it was computed from, without any others to compare them with: 32 bits are too few.
    pub(crate) fn proves(&self, blocks: &[u8]) -> bool {
        matches!(self, Self::Leaf(..)) && self.fits(blocks)
    }
}
