//! Where each cluster of each device is stored.

#[cfg(feature = "zstd")]
use crate::aligned;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::run::Run;
use crate::header::Header;
use crate::layout::{
    BLOCK_SIZE, CLUSTER_SIZE, DeviceId, EXTENT_HEADER_SIZE, cluster_length, cluster_offset,
};
use crate::tally::Tally;

/// The units as 64-bit numbers.
const CLUSTER: u64 = CLUSTER_SIZE as u64;
const BLOCK: u64 = BLOCK_SIZE as u64;

/// The clusters of all devices, as runs.
#[derive(Debug)]
pub(super) struct ClusterMap {
    devices: Vec<DeviceMap>,
    /// How many more runs there may be.
    room: usize,
}

/// The most runs that are kept track of, at 16 bytes each: 24 MiB. Archives in order have one for
/// each extent and two for each cluster of which only a part is stored: that is up to 5 TiB of disks,
/// and 250 GiB where every fifth cluster is partly zero. Extents of a hostile archive can make a run
/// with each 8 bytes.
const MAX_RUNS: usize = 3 << 19;

#[derive(Debug)]
struct DeviceMap {
    id: DeviceId,
    name: String,
    size: u64,
    vmstate: bool,
    runs: Vec<Placed>,
}

/// A run of clusters with equal masks, and where its payload begins in the archive.
#[derive(Debug, Clone, Copy)]
struct Placed {
    first: u32,
    count: u8,
    mask: u16,
    place: u64,
}

/// What is at some place of a device, and for how many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Zero { length: u64 },
    Data { length: u64, place: u64 },
}

impl Piece {
    pub(super) const fn length(&self) -> u64 {
        match *self {
            Self::Zero { length } | Self::Data { length, .. } => length,
        }
    }
}

impl Placed {
    const fn first(&self) -> u64 {
        self.first as u64
    }

    const fn end(&self) -> u64 {
        (self.first as u64).saturating_add(self.count as u64)
    }

    const fn stored(&self) -> u64 {
        (self.mask.count_ones() as u64).saturating_mul(BLOCK)
    }
}

impl ClusterMap {
    pub(super) fn new(header: &Header) -> Self {
        let device = |device: &crate::header::Device| DeviceMap {
            id: device.id(),
            name: device.name().to_owned(),
            size: device.size(),
            vmstate: device.is_vmstate(),
            runs: Vec::new(),
        };
        Self {
            devices: header.devices().iter().map(device).collect(),
            room: MAX_RUNS,
        }
    }

    /// Adds the extent that begins at `offset`.
    pub(super) fn extent(&mut self, offset: u64, runs: &[Run]) -> Result<()> {
        let mut place = offset.saturating_add(EXTENT_HEADER_SIZE as u64);
        for run in runs {
            let unknown = || {
                let detail = format!("got wrong dev id {}", run.device());
                Error::new(ErrorKind::UnknownDevice, detail)
            };
            let device = self
                .devices
                .iter_mut()
                .find(|device| device.id == run.device());
            let device = device.ok_or_else(unknown)?;
            self.room = self.room.checked_sub(1).ok_or_else(too_scattered)?;
            device.add(run, place)?;
            place = place.saturating_add(run.stored().saturating_mul(run.count()));
        }
        Ok(())
    }

    /// Sorts what has come, and checks that every cluster is there once. Says whether it all was
    /// in order.
    pub(super) fn finish(&mut self) -> Result<bool> {
        let mut in_order = true;
        for device in &mut self.devices {
            in_order &= device.finish()?;
        }
        Ok(in_order)
    }

    pub(super) fn stored(&self, id: DeviceId) -> u64 {
        let runs = self
            .devices
            .iter()
            .filter(|device| device.id == id)
            .flat_map(|d| &d.runs);
        runs.map(|run| run.stored().saturating_mul(u64::from(run.count)))
            .sum()
    }

    /// Counts the clusters that begin in a range of bytes.
    pub(super) fn tally(&self, id: DeviceId, from: u64, to: u64, tally: &mut Tally) {
        let Some(device) = self.devices.iter().find(|device| device.id == id) else {
            return;
        };
        let (first, end) = (from.div_ceil(CLUSTER), to.div_ceil(CLUSTER));
        let start = device.runs.partition_point(|run| run.end() <= first);
        let inside = device
            .runs
            .iter()
            .skip(start)
            .take_while(|run| run.first() < end);
        for run in inside {
            let low = run.first().max(first);
            let count = run.end().min(end).saturating_sub(low);
            tally.add_clusters(id, low, count, run.mask);
        }
    }

    /// Whether all payload is on boundaries of blocks: a cluster's is a multiple of them.
    pub(super) fn is_aligned(&self) -> bool {
        let mut runs = self.devices.iter().flat_map(|device| &device.runs);
        runs.all(|run| run.mask == 0 || run.place.is_multiple_of(BLOCK))
    }

    /// Whether the payload of each part of a device is in one piece of which `is` says yes.
    #[cfg(feature = "zstd")]
    pub(super) fn all_parts(&self, is: &mut dyn FnMut(u64, u64) -> bool) -> bool {
        self.devices.iter().all(|device| device.all_parts(is))
    }

    pub(super) fn clusters(&self, id: DeviceId) -> u64 {
        let device = self.devices.iter().find(|device| device.id == id);
        device
            .and_then(|device| device.runs.last())
            .map_or(0, Placed::end)
    }

    /// Mask and place of a cluster with payload.
    pub(super) fn stored_at(&self, id: DeviceId, cluster: u64) -> Option<(u16, u64)> {
        let device = self.devices.iter().find(|device| device.id == id)?;
        let after = device.runs.partition_point(|run| run.first() <= cluster);
        let run = device.runs.get(after.checked_sub(1)?)?;
        let before = cluster.saturating_sub(run.first());
        let place = run
            .place
            .saturating_add(before.saturating_mul(run.stored()));
        (cluster < run.end() && run.mask != 0).then_some((run.mask, place))
    }

    /// What is at `offset` of a device, up to the end of its run at most.
    pub(super) fn piece(&self, id: DeviceId, offset: u64) -> Option<Piece> {
        let device = self.devices.iter().find(|device| device.id == id)?;
        let cluster = offset / CLUSTER;
        let after = device.runs.partition_point(|run| run.first() <= cluster);
        let run = device.runs.get(after.checked_sub(1)?)?;
        if cluster >= run.end() {
            return None;
        }
        let into_run = offset.saturating_sub(cluster_offset(run.first()));
        let left = cluster_offset(run.end()).saturating_sub(offset);
        Some(match run.mask {
            0 => Piece::Zero { length: left },
            u16::MAX => Piece::Data {
                length: left,
                place: run.place.saturating_add(into_run),
            },
            mask => {
                let before = cluster
                    .saturating_sub(run.first())
                    .saturating_mul(run.stored());
                let place = run.place.saturating_add(before);
                blocks(mask, offset % CLUSTER, place)
            }
        })
    }
}

impl DeviceMap {
    #[cfg(feature = "zstd")]
    fn all_parts(&self, is: &mut dyn FnMut(u64, u64) -> bool) -> bool {
        // Number, place and length of the part that was begun last.
        let mut open: Option<(u64, u64, u64)> = None;
        let stored = self.runs.iter().filter(|run| run.mask != 0);
        for run in stored {
            let mut place = run.place;
            for cluster in run.first()..run.end() {
                let number = aligned::part(cluster);
                match &mut open {
                    Some((part, start, length)) if *part == number => {
                        if start.saturating_add(*length) != place {
                            return false;
                        }
                        *length = length.saturating_add(run.stored());
                    }
                    other => {
                        let ended = other.replace((number, place, run.stored()));
                        if ended.is_some_and(|(_, place, length)| !is(place, length)) {
                            return false;
                        }
                    }
                }
                place = place.saturating_add(run.stored());
            }
        }
        open.is_none_or(|(_, place, length)| is(place, length))
    }

    fn add(&mut self, run: &Run, place: u64) -> Result<()> {
        let end = run.first().saturating_add(run.count());
        let clusters = self.size.div_ceil(CLUSTER);
        if !self.vmstate {
            if end > clusters {
                let detail = format!(
                    "cluster {} lies behind the end of device {}",
                    end.saturating_sub(1),
                    self.name
                );
                return Err(Error::new(ErrorKind::ClusterOutOfRange, detail));
            }
            let last = cluster_length(self.size, end.saturating_sub(1)).div_ceil(BLOCK_SIZE);
            if u32::from(run.mask()).wrapping_shr(u32::try_from(last).unwrap_or(16)) != 0 {
                let detail = format!(
                    "cluster {} has blocks behind the end of device {}",
                    end.saturating_sub(1),
                    self.name
                );
                return Err(Error::new(ErrorKind::BlockOutOfRange, detail));
            }
        }
        let first = u32::try_from(run.first()).unwrap_or(u32::MAX);
        let count = u8::try_from(run.count()).unwrap_or(u8::MAX);
        self.runs.push(Placed {
            first,
            count,
            mask: run.mask(),
            place,
        });
        Ok(())
    }

    fn finish(&mut self) -> Result<bool> {
        let in_order = self.runs.is_sorted_by_key(|run| run.first);
        if !in_order && self.vmstate {
            return Err(Error::new(
                ErrorKind::VmstateOrder,
                "found out of order vmstate data",
            ));
        }
        // Not the stable sort, which takes memory of its own.
        self.runs.sort_unstable_by_key(|run| run.first);
        let mut next = 0_u64;
        for run in &self.runs {
            if run.first() < next {
                let detail = format!(
                    "found duplicated cluster {} for device {}",
                    run.first, self.name
                );
                return Err(Error::new(ErrorKind::DuplicateCluster, detail).at(run.place));
            }
            if run.first() > next {
                return Err(self.missing(next));
            }
            next = run.end();
        }
        if !self.vmstate && next < self.size.div_ceil(CLUSTER) {
            return Err(self.missing(next));
        }
        self.runs.shrink_to_fit();
        Ok(in_order)
    }

    fn missing(&self, cluster: u64) -> Error {
        let detail = format!(
            "detected missing cluster {cluster} for device {}: the archive is not complete",
            self.name
        );
        Error::new(ErrorKind::MissingCluster, detail)
    }
}

fn too_scattered() -> Error {
    let detail = "the archive's clusters are too scattered for reading at any place";
    Error::new(ErrorKind::Unsupported, detail)
}

/// What is at `offset` within a partly stored cluster whose payload begins at `place`.
fn blocks(mask: u16, offset: u64, place: u64) -> Piece {
    let block = u32::try_from(offset / BLOCK).unwrap_or(15);
    let within = offset % BLOCK;
    // Above the mask's 16 bits nothing is stored, and nothing is asked for.
    let ahead = u32::from(mask).wrapping_shr(block);
    let data = ahead & 1 == 1;
    let run = if data {
        ahead.trailing_ones()
    } else {
        ahead.trailing_zeros().min(16_u32.saturating_sub(block))
    };
    let length = u64::from(run).saturating_mul(BLOCK).saturating_sub(within);
    if !data {
        return Piece::Zero { length };
    }
    let below = u32::from(mask) & 1_u32.wrapping_shl(block).wrapping_sub(1);
    let before = u64::from(below.count_ones()).saturating_mul(BLOCK);
    Piece::Data {
        length,
        place: place.saturating_add(before).saturating_add(within),
    }
}
