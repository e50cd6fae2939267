//! Counting what an archive holds.

use crate::extent::run::{Run, runs};
use crate::extent::{ClusterEntry, ExtentHeader};
use crate::header::Header;
use crate::layout::{BLOCK_SIZE, CLUSTER_SIZE, DeviceId, cluster_length};

/// How much of an archive's devices is data, and how much is zero.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    devices: Vec<Counted>,
}

/// The count for one device.
#[derive(Debug, Clone)]
struct Counted {
    id: DeviceId,
    size: Option<u64>,
    clusters: u64,
    zero_clusters: u64,
    zero_in_clusters: u64,
}

impl Tally {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(header: &Header) -> Self {
        let device = |device: &crate::header::Device| Counted {
            id: device.id(),
            size: (!device.is_vmstate()).then(|| device.size()),
            clusters: 0,
            zero_clusters: 0,
            zero_in_clusters: 0,
        };
        Self {
            devices: header.devices().iter().map(device).collect(),
        }
    }

    /// Counts a cluster.
    pub fn add(&mut self, entry: &ClusterEntry) {
        self.add_clusters(entry.device(), entry.index(), 1, entry.mask());
    }

    /// Counts clusters that follow each other.
    pub(crate) fn add_run(&mut self, run: &Run) {
        self.add_clusters(run.device, run.first(), run.count(), run.mask);
    }

    /// Counts those clusters of an extent that are of a `wanted` device.
    pub(crate) fn add_extent(&mut self, extent: &ExtentHeader, wanted: impl Fn(DeviceId) -> bool) {
        runs(extent.entries())
            .filter(|run| wanted(run.device))
            .for_each(|run| self.add_run(&run));
    }

    /// Counts `count` clusters with the same mask.
    pub(crate) fn add_clusters(&mut self, device: DeviceId, first: u64, count: u64, mask: u16) {
        let Some(counted) = self.devices.iter_mut().find(|counted| counted.id == device) else {
            return;
        };
        counted.clusters = counted.clusters.saturating_add(count);
        let last = first.saturating_add(count).saturating_sub(1);
        let tail = counted
            .size
            .map_or(CLUSTER_SIZE, |size| cluster_length(size, last));
        let whole = zero_bytes(mask, CLUSTER_SIZE).saturating_mul(count.saturating_sub(1));
        let zero = whole.saturating_add(zero_bytes(mask, tail));
        let sum = if mask == 0 {
            &mut counted.zero_clusters
        } else {
            &mut counted.zero_in_clusters
        };
        *sum = sum.saturating_add(zero);
    }

    /// The count of some devices only.
    #[must_use]
    pub fn of(&self, wanted: impl Fn(DeviceId) -> bool) -> Self {
        let devices = self.devices.iter().filter(|counted| wanted(counted.id));
        Self {
            devices: devices.cloned().collect(),
        }
    }

    /// Clusters times 64 KiB: what the reference calls bytes read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sum(|counted| counted.clusters)
            .saturating_mul(CLUSTER_SIZE as u64)
    }

    /// Zero blocks within the devices, in bytes.
    #[must_use]
    pub fn sparse(&self) -> u64 {
        self.sum(|counted| counted.zero_clusters)
            .saturating_add(self.zero_in_clusters())
    }

    /// Those of them that are in clusters with data.
    #[must_use]
    pub fn zero_in_clusters(&self) -> u64 {
        self.sum(|counted| counted.zero_in_clusters)
    }

    fn sum(&self, field: impl Fn(&Counted) -> u64) -> u64 {
        self.devices.iter().map(field).fold(0, u64::saturating_add)
    }
}

/// How many of a cluster's `length` bytes are in blocks that are not stored.
fn zero_bytes(mask: u16, length: usize) -> u64 {
    let blocks = u32::try_from(length.div_ceil(BLOCK_SIZE)).map_or(16, |blocks| blocks.min(16));
    let zero = !u64::from(mask) & 1_u64.wrapping_shl(blocks).saturating_sub(1);
    let bytes = u64::from(zero.count_ones()).saturating_mul(BLOCK_SIZE as u64);
    // The last block ends where the device does.
    let is_last_zero = zero.wrapping_shl(1).wrapping_shr(blocks) == 1;
    let missing = length.next_multiple_of(BLOCK_SIZE).saturating_sub(length);
    bytes.saturating_sub(if is_last_zero { missing as u64 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_bytes_are_those_of_each_block_that_is_not_stored() {
        let block = |mask: u16, length: usize, number: usize| match mask >> number & 1 {
            0 => length.saturating_sub(number * BLOCK_SIZE).min(BLOCK_SIZE) as u64,
            _ => 0,
        };
        for mask in (0..u16::MAX).step_by(37).chain([u16::MAX, 1, 1 << 15]) {
            for length in (512..=CLUSTER_SIZE).step_by(512) {
                let sum: u64 = (0..16).map(|number| block(mask, length, number)).sum();
                assert_eq!(zero_bytes(mask, length), sum, "{mask:#x} {length}");
            }
        }
    }
}
