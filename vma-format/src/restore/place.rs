//! From clusters to writes.

use std::io;
use std::ops::Range;

use super::{Target, Targets};
use crate::error::{Error, Result};
use crate::extent::{Cluster, ClusterEntry, clusters};
use crate::header::{Device, Header};
use crate::layout::{CLUSTER_SIZE, DeviceId};

/// Writes clusters whose payload follows each other, neighbours at once.
pub(super) fn write_clusters(
    entries: &[ClusterEntry],
    payload: &[u8],
    header: &Header,
    targets: &Targets<'_>,
) -> Result<()> {
    let mut run: Option<Run<'_>> = None;
    let mut place = 0_usize;
    for cluster in clusters(entries, payload) {
        let entry = cluster.entry();
        let start = place;
        place = place.saturating_add(entry.stored());
        let Some(target) = targets.get(&entry.device()) else {
            continue;
        };
        let size = bound(header, entry.device());
        if !run
            .as_mut()
            .is_some_and(|run| run.extend(&cluster, start, place))
        {
            flush(run.take(), payload, header)?;
            if cluster.is_zero() || cluster.full().is_some() {
                run = Some(Run {
                    device: entry.device(),
                    target: &**target,
                    size,
                    offset: entry.offset(),
                    end: entry.offset().saturating_add(CLUSTER_SIZE as u64),
                    bytes: start..place,
                });
            } else {
                write_cluster(&cluster, header, targets)?;
            }
        }
    }
    flush(run, payload, header)
}

/// Writes one cluster to its device's target, if it has one.
pub(crate) fn write_cluster(
    cluster: &Cluster<'_>,
    header: &Header,
    targets: &Targets<'_>,
) -> Result<()> {
    let entry = cluster.entry();
    let Some(target) = targets.get(&entry.device()) else {
        return Ok(());
    };
    write_blocks(cluster, &**target, bound(header, entry.device()))
        .map_err(|e| cannot_write(header, entry.device(), entry.offset(), e))
}

/// Zeroes one cluster of its device's target, if it has one that needs it.
pub(crate) fn write_zero_cluster(
    entry: &ClusterEntry,
    header: &Header,
    targets: &Targets<'_>,
) -> Result<()> {
    let target = targets
        .get(&entry.device())
        .filter(|target| target.zeroes_needed());
    let Some(target) = target else { return Ok(()) };
    let end = bound(header, entry.device()).saturating_sub(entry.offset());
    target
        .zero_at(entry.offset(), end.min(CLUSTER_SIZE as u64))
        .map_err(|e| cannot_write(header, entry.device(), entry.offset(), e))
}

/// Where a device ends; a RAM state stream does not.
pub(super) fn bound(header: &Header, id: DeviceId) -> u64 {
    let disk = header.device(id).filter(|device| !device.is_vmstate());
    disk.map_or(u64::MAX, Device::size)
}

/// Neighbouring clusters, all whole or all zero.
struct Run<'a> {
    device: DeviceId,
    target: &'a dyn Target,
    size: u64,
    offset: u64,
    end: u64,
    bytes: Range<usize>,
}

impl Run<'_> {
    /// Takes a cluster in if it continues the run on the device and in the extent.
    fn extend(&mut self, cluster: &Cluster<'_>, start: usize, end: usize) -> bool {
        let entry = cluster.entry();
        let same_kind = if self.bytes.is_empty() {
            cluster.is_zero()
        } else {
            cluster.full().is_some()
        };
        let fits = same_kind
            && entry.device() == self.device
            && entry.offset() == self.end
            && (self.bytes.is_empty() || self.bytes.end == start);
        if fits {
            self.end = self.end.saturating_add(CLUSTER_SIZE as u64);
            self.bytes.end = if self.bytes.is_empty() {
                self.bytes.end
            } else {
                end
            };
        }
        fits
    }
}

fn flush(run: Option<Run<'_>>, payload: &[u8], header: &Header) -> Result<()> {
    let Some(run) = run else { return Ok(()) };
    let end = run.end.min(run.size);
    let length = end.saturating_sub(run.offset);
    let done = if !run.bytes.is_empty() {
        let data = payload.get(run.bytes.clone()).unwrap_or_default();
        let data = usize::try_from(length)
            .ok()
            .and_then(|length| data.get(..length))
            .unwrap_or(data);
        run.target.write_at(run.offset, data)
    } else if run.target.zeroes_needed() {
        run.target.zero_at(run.offset, length)
    } else {
        Ok(())
    };
    done.map_err(|e| cannot_write(header, run.device, run.offset, e))
}

/// Writes a cluster of which only some blocks are stored.
fn write_blocks(cluster: &Cluster<'_>, target: &dyn Target, size: u64) -> io::Result<()> {
    let base = cluster.entry().offset();
    let mut zero_from = base;
    for (offset, data) in cluster.runs() {
        let at = base.saturating_add(offset as u64);
        if target.zeroes_needed() && zero_from < at {
            target.zero_at(zero_from, at.saturating_sub(zero_from))?;
        }
        let room = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX);
        target.write_at(at, data.get(..room).unwrap_or(data))?;
        zero_from = at.saturating_add(data.len() as u64);
    }
    let end = base.saturating_add(CLUSTER_SIZE as u64).min(size);
    if target.zeroes_needed() && zero_from < end {
        target.zero_at(zero_from, end.saturating_sub(zero_from))?;
    }
    Ok(())
}

pub(super) fn cannot_write(
    header: &Header,
    device: DeviceId,
    offset: u64,
    error: io::Error,
) -> Error {
    let name = header.device(device).map_or("?", |device| device.name());
    Error::io(format!("cannot write device {name} at {offset}"), error)
}
