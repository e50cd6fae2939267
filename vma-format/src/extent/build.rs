//! Filling an extent, cluster by cluster.

use super::{ClusterEntry, Extent, encode};
use crate::known::Known;
use crate::layout::{BLOCK_SIZE, CLUSTER_SIZE, EXTENT_HEADER_SIZE};

impl Extent {
    /// Empties it for a new extent of the archive `uuid`.
    pub(crate) fn begin(&mut self, uuid: [u8; 16]) {
        self.header.begin(uuid);
        self.known.clear();
        self.buffer.reset(EXTENT_HEADER_SIZE);
    }

    /// Adds a cluster: those blocks of `data` that the entry's mask names.
    pub(crate) fn push(&mut self, entry: ClusterEntry, data: &[u8]) {
        if entry.mask() == u16::MAX && data.len() == CLUSTER_SIZE {
            self.buffer.push(data);
        } else {
            for (block, bit) in data.chunks(BLOCK_SIZE).zip(0..) {
                if entry.mask().wrapping_shr(bit) & 1 == 1 {
                    self.buffer.push(block);
                    self.buffer
                        .push_zeroes(BLOCK_SIZE.saturating_sub(block.len()));
                }
            }
        }
        self.header.entries.push(entry);
    }

    /// Adds a cluster whose payload is in an older archive.
    pub(crate) fn push_known(&mut self, entry: ClusterEntry, known: Known) {
        self.known.push((self.header.entries.len(), known));
        self.header.entries.push(entry);
    }

    /// Puts the header in front of what has been added.
    pub(crate) fn seal(&mut self) {
        encode(&self.header, self.buffer.head(EXTENT_HEADER_SIZE));
    }
}
