//! Which clusters of two disks differ.

use std::ops::Range;

use crate::error::Result;
use crate::header::Device;
use crate::layout::CLUSTER_SIZE;
use crate::random_access::RandomAccess;
use crate::read_at::ReadAt;

/// The unit of comparison, in bytes.
const CLUSTER: u64 = CLUSTER_SIZE as u64;

/// How much is compared at a time, in bytes.
const PART: usize = 16 * CLUSTER_SIZE;

/// Ranges of clusters that differ between `one`, a device of `first`, and `other`, a device of `second`, within the
/// size that both have. What neither archive stores is not read.
///
/// # Errors
/// Those of reading either archive.
pub fn different_clusters<A: ReadAt, B: ReadAt>(
    (first, one): (&RandomAccess<A>, &Device),
    (second, other): (&RandomAccess<B>, &Device),
) -> Result<Vec<Range<u64>>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let size = one.size().min(other.size());
    let mut offset = 0_u64;
    while offset < size {
        let left = size.saturating_sub(offset);
        let here = first.stretch_at(one.id(), offset)?;
        let there = second.stretch_at(other.id(), offset)?;
        let skip = whole_clusters(here.length.min(there.length), left);
        if !here.data && !there.data && skip > 0 {
            offset = offset.saturating_add(skip);
            continue;
        }
        let length = usize::try_from(left).unwrap_or(PART).min(PART);
        a.resize(length, 0);
        b.resize(length, 0);
        first.read_at(one.id(), offset, &mut a)?;
        second.read_at(other.id(), offset, &mut b)?;
        let clusters = a.chunks(CLUSTER_SIZE).zip(b.chunks(CLUSTER_SIZE));
        for ((x, y), index) in clusters.zip(offset / CLUSTER..) {
            if x != y {
                let end = index.saturating_add(1);
                match ranges.last_mut().filter(|range| range.end == index) {
                    Some(range) => range.end = end,
                    None => ranges.push(index..end),
                }
            }
        }
        offset = offset.saturating_add(length as u64);
    }
    Ok(ranges)
}

/// `length` without the cluster that it ends in, or all that is left.
const fn whole_clusters(length: u64, left: u64) -> u64 {
    if length >= left {
        left
    } else {
        length.saturating_sub(length % CLUSTER)
    }
}
