//! The rules that hold across extents: each cluster of each device exactly once.

use std::ops::Range;

use crate::cluster_set::{ClusterSet, MAX_PIECES};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::run::{Run, runs};
use crate::extent::{ClusterEntry, ExtentHeader};
use crate::header::{Device, Header};
use crate::layout::{BLOCK_SIZE, DeviceId, cluster_length};

/// Keeps account of the clusters of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Coverage {
    devices: Vec<Seen>,
    /// Position in `devices` plus one by device id; 0 for none.
    by_id: [u8; 256],
    /// How many more pieces of cluster sets there may be.
    room: usize,
}

#[derive(Debug, Clone)]
struct Seen {
    device: Device,
    vmstate: bool,
    clusters: ClusterSet,
}

impl Coverage {
    pub(crate) fn new(header: &Header) -> Self {
        let mut by_id = [0; 256];
        for (device, position) in header.devices().iter().zip(1..) {
            if let Some(slot) = by_id.get_mut(usize::from(device.id().get())) {
                *slot = position;
            }
        }
        let seen = |device: &Device| Seen {
            device: device.clone(),
            vmstate: device.is_vmstate(),
            clusters: ClusterSet::default(),
        };
        Self {
            devices: header.devices().iter().map(seen).collect(),
            by_id,
            room: MAX_PIECES,
        }
    }

    /// A device, and the room that all share.
    fn seen(&mut self, id: DeviceId) -> Result<(&mut Seen, &mut usize)> {
        let position = self
            .by_id
            .get(usize::from(id.get()))
            .copied()
            .map_or(0, usize::from);
        let found = position
            .checked_sub(1)
            .and_then(|position| self.devices.get_mut(position));
        let unknown = || Error::new(ErrorKind::UnknownDevice, format!("got wrong dev id {id}"));
        Ok((found.ok_or_else(unknown)?, &mut self.room))
    }

    /// Accounts for a cluster.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownDevice`], `ClusterOutOfRange`, `BlockOutOfRange`, `VmstateOrder`,
    /// `DuplicateCluster`.
    pub(crate) fn add(&mut self, entry: &ClusterEntry) -> Result<()> {
        let (seen, room) = self.seen(entry.device())?;
        seen.check(entry)?;
        let (index, name) = (entry.index(), seen.device.name());
        if !seen.clusters.insert(index, room)? {
            let detail = format!("found duplicated cluster {index} for device {name}");
            return Err(Error::new(ErrorKind::DuplicateCluster, detail));
        }
        Ok(())
    }

    /// Accounts for all clusters of an extent.
    ///
    /// # Errors
    /// As [`add`](Self::add), for the first that is wrong.
    pub(crate) fn add_extent(&mut self, extent: &ExtentHeader) -> Result<()> {
        for run in runs(extent.entries()) {
            if !self.add_run(&run) {
                run.entries().try_for_each(|entry| self.add(&entry))?;
            }
        }
        Ok(())
    }

    /// Accounts for clusters that follow each other, at once. `false`: nothing has changed, and they must be
    /// [added](Self::add) one by one, to see what is wrong with which.
    pub(crate) fn add_run(&mut self, run: &Run) -> bool {
        let Ok((seen, room)) = self.seen(run.device) else {
            return false;
        };
        // What holds for the last one holds for those before it.
        let fits = run.last().is_some_and(|last| seen.check(&last).is_ok());
        fits && !seen.vmstate && seen.clusters.insert_run(run.clusters(), room)
    }

    /// Whether a cluster that can be where it says has not come yet.
    pub(crate) fn lacks(&mut self, entry: &ClusterEntry) -> bool {
        self.seen(entry.device()).is_ok_and(|(seen, _)| {
            seen.check(entry).is_ok() && !seen.clusters.contains(entry.index())
        })
    }

    /// Which clusters never came, per device. A RAM state stream has no known length.
    pub(crate) fn missing(&self) -> impl Iterator<Item = (&Device, Range<u64>)> {
        self.devices
            .iter()
            .filter(|seen| !seen.vmstate)
            .flat_map(|seen| {
                let ranges = seen.clusters.missing(seen.device.clusters());
                ranges.map(|range| (&seen.device, range))
            })
    }

    /// That every cluster has come.
    ///
    /// # Errors
    /// [`ErrorKind::MissingCluster`] for the first that has not.
    pub(crate) fn complete(&self) -> Result<()> {
        match self.missing().next() {
            None => Ok(()),
            Some((device, range)) => {
                let detail = format!(
                    "detected missing cluster {} for device {}: the archive is not complete",
                    range.start,
                    device.name()
                );
                Err(Error::new(ErrorKind::MissingCluster, detail))
            }
        }
    }
}

impl Seen {
    /// That a cluster can be where it says.
    fn check(&self, entry: &ClusterEntry) -> Result<()> {
        let (index, name) = (entry.index(), self.device.name());
        if self.vmstate {
            if index != self.clusters.len() {
                let detail = format!("found out of order vmstate data: cluster {index}");
                return Err(Error::new(ErrorKind::VmstateOrder, detail));
            }
            return Ok(());
        }
        if index >= self.device.clusters() {
            let detail = format!("cluster {index} lies behind the end of device {name}");
            return Err(Error::new(ErrorKind::ClusterOutOfRange, detail));
        }
        let blocks = cluster_length(self.device.size(), index).div_ceil(BLOCK_SIZE);
        let behind = u32::from(entry.mask()).wrapping_shr(u32::try_from(blocks).unwrap_or(16));
        if behind != 0 {
            let detail = format!("cluster {index} has blocks behind the end of device {name}");
            return Err(Error::new(ErrorKind::BlockOutOfRange, detail));
        }
        Ok(())
    }
}
