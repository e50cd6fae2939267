//! Archives whose payload is on 4 KiB boundaries of the file.
//!
//! The header is a multiple of 4 KiB, its extra bytes behind the blob table, and in front of each extent with payload
//! there are as many empty extents, of 512 bytes each, as bring the payload to a boundary. Both are legal everywhere.

#[cfg(feature = "zstd")]
use std::ops::Range;

use crate::extent::{ClusterEntry, Extent};
use crate::header::Header;
use crate::layout::{BLOCK_SIZE, EXTENT_CLUSTERS, EXTENT_HEADER_SIZE};

/// The units as 64-bit numbers.
const BLOCK: u64 = BLOCK_SIZE as u64;
const HEADER: u64 = EXTENT_HEADER_SIZE as u64;
const CLUSTERS: u64 = EXTENT_CLUSTERS as u64;

/// How many empty extents precede an extent with payload that would begin at `offset` in an aligned archive: at
/// most 7.
const fn count(offset: u64) -> u64 {
    let payload = offset.saturating_add(HEADER);
    payload.next_multiple_of(BLOCK).saturating_sub(payload) / HEADER
}

/// Whether two clusters may be in one extent of an aligned archive.
pub(crate) fn together(one: &ClusterEntry, other: &ClusterEntry) -> bool {
    let group = |entry: &ClusterEntry| entry.index() / CLUSTERS;
    one.device() == other.device() && group(one) == group(other)
}

/// How many clusters from this one on may be in one extent of an aligned archive.
pub(crate) const fn left(first: &ClusterEntry) -> u64 {
    CLUSTERS.saturating_sub(first.index() % CLUSTERS)
}

/// How many clusters are in one frame of a compressed archive at most. Few, since a frame is taken over only if none of
/// them has changed; not fewer, since each frame is padded.
#[cfg(feature = "zstd")]
const PART: u64 = 15;

/// How many parts an extent has.
#[cfg(feature = "zstd")]
const PARTS: u64 = CLUSTERS.div_ceil(PART);

/// The part of its device that a cluster is in: in a compressed archive, its payload is a frame.
#[cfg(feature = "zstd")]
pub(crate) const fn part(cluster: u64) -> u64 {
    let within = (cluster % CLUSTERS) / PART;
    (cluster / CLUSTERS)
        .saturating_mul(PARTS)
        .saturating_add(within)
}

/// The clusters that are in one part with this one.
#[cfg(feature = "zstd")]
pub(crate) fn part_around(cluster: u64) -> Range<u64> {
    let extent = cluster.saturating_sub(cluster % CLUSTERS);
    let within = (cluster % CLUSTERS) / PART;
    let start = extent.saturating_add(within.saturating_mul(PART));
    let end = start
        .saturating_add(PART)
        .min(extent.saturating_add(CLUSTERS));
    start..end
}

/// The empty extents of one archive, and where they go.
#[derive(Debug, Clone)]
pub(crate) struct Padding {
    /// `None`: the archive is not aligned.
    empty: Option<Extent>,
    /// Where the next extent begins.
    offset: u64,
}

impl Padding {
    /// Of the archive that begins with `header`.
    pub(crate) fn new(header: &Header) -> Self {
        let empty = || {
            let mut extent = Extent::default();
            extent.begin(*header.uuid());
            extent.seal();
            extent
        };
        Self {
            empty: header.is_aligned().then(empty),
            offset: header.size(),
        }
    }

    /// Whether there can be any.
    pub(crate) const fn is_aligned(&self) -> bool {
        self.empty.is_some()
    }

    /// Counts an extent that comes next. Gives the empty one that precedes it, and how often it does.
    pub(crate) fn before(&mut self, extent: &Extent) -> Option<(&Extent, u64)> {
        let number = match extent.has_payload() {
            true if self.is_aligned() => count(self.offset),
            _ => 0,
        };
        let padding = number.saturating_mul(HEADER);
        let size = extent.size() as u64;
        self.offset = self.offset.saturating_add(padding).saturating_add(size);
        self.empty.as_ref().map(|empty| (empty, number))
    }

    /// Where the next extent would begin, were it not preceded by any.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_within_an_extent() {
        for cluster in 0..300 {
            let around = part_around(cluster);
            assert!(around.contains(&cluster) && around.end - around.start <= PART);
            for other in 0..300 {
                assert_eq!(part(other) == part(cluster), around.contains(&other));
            }
            assert_eq!(around.start / CLUSTERS, (around.end - 1) / CLUSTERS);
        }
    }

    #[test]
    fn padding_brings_payload_to_the_next_boundary() {
        for (offset, padding) in [(0, 7), (512, 6), (3584, 0), (4096, 7), (12288 + 1024, 5)] {
            assert_eq!(count(offset), padding, "{offset}");
        }
    }
}
