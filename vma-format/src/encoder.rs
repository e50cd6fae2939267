//! From clusters to extents, without any I/O.

use std::ops::Range;

use crate::aligned::{self, Padding};
use crate::coverage::Coverage;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::run::Run;
use crate::extent::{ClusterEntry, Extent, block_mask};
use crate::header::{Device, Header};
use crate::known::Known;
use crate::layout::{CLUSTER_SIZE, DeviceId, EXTENT_CLUSTERS, cluster_length};

/// Packs clusters into extents.
///
/// Clusters may come in any order and from any device, each exactly once. Whenever an extent is
/// full, the call that needs room for the next one returns it; it is complete, checksum included,
/// and owns its buffer, so it can travel to another thread. Give it back with
/// [`recycle`](Self::recycle) when it is written, and no memory is allocated any more.
///
/// In front of the extents of an [aligned](crate::HeaderBuilder::aligned) archive there is padding, which
/// [`ExtentWriter`](crate::ExtentWriter) and [`ArchiveWriter`](crate::ArchiveWriter) write.
///
/// ```
/// # fn main() -> fleece_vma_format::Result<()> {
/// use fleece_vma_format::{CLUSTER_SIZE, Encoder, HeaderBuilder};
///
/// let mut builder = HeaderBuilder::new([0; 16], 0);
/// let disk = builder.add_device("drive-scsi0", 3 * CLUSTER_SIZE as u64)?;
/// let header = builder.build()?;
/// let mut archive = header.as_bytes().to_vec();
///
/// let mut encoder = Encoder::new(&header);
/// for index in 0..3 {
///     if let Some(extent) = encoder.cluster(disk, index, &[1; CLUSTER_SIZE])? {
///         archive.extend_from_slice(extent.as_bytes());
///         encoder.recycle(extent);
///     }
/// }
/// let (last, summary) = encoder.finish()?;
/// archive.extend(last.iter().flat_map(|extent| extent.as_bytes()));
/// assert_eq!(summary.bytes(), archive.len() as u64);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Encoder {
    uuid: [u8; 16],
    coverage: Coverage,
    current: Extent,
    spare: Vec<Extent>,
    /// Knows where the current extent will begin in the archive.
    padding: Padding,
    extents: u64,
    devices: Vec<DeviceSummary>,
}

/// How many returned buffers are kept; more are given back to the system.
const MAX_SPARE: usize = 8;

impl Encoder {
    /// An encoder for the archive that begins with `header`.
    #[must_use]
    pub fn new(header: &Header) -> Self {
        let mut encoder = Self {
            uuid: *header.uuid(),
            coverage: Coverage::new(header),
            current: Extent::default(),
            spare: Vec::new(),
            padding: Padding::new(header),
            extents: 0,
            devices: DeviceSummary::all(header),
        };
        encoder.current.begin(encoder.uuid);
        encoder
    }

    /// Adds a cluster: `data` is exactly what the device holds there, 64 KiB or, at its end, less.
    /// Zero blocks are found and left out.
    ///
    /// Returns the extent that has become full before this cluster, if any.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownDevice`], [`ErrorKind::ClusterOutOfRange`],
    /// [`ErrorKind::DuplicateCluster`], and [`ErrorKind::ClusterLength`] if `data` is shorter or
    /// longer than the device's cluster.
    pub fn cluster(&mut self, device: DeviceId, index: u64, data: &[u8]) -> Result<Option<Extent>> {
        self.add(device, index, data, block_mask(data))
    }

    /// Adds a cluster that is known to be zero.
    ///
    /// # Errors
    /// As [`cluster`](Self::cluster).
    pub fn zero_cluster(&mut self, device: DeviceId, index: u64) -> Result<Option<Extent>> {
        self.add(device, index, &[], 0)
    }

    /// Adds clusters that are known to be zero, all those of a hole at once, and returns the extents that have become full
    /// meanwhile, in order.
    ///
    /// # Errors
    /// As [`cluster`](Self::cluster), for the first that is wrong; those before it have been added.
    pub fn zero_clusters(&mut self, device: DeviceId, clusters: Range<u64>) -> Result<Vec<Extent>> {
        let mut full = Vec::new();
        let mut next = clusters.start;
        while next < clusters.end {
            let first = entry(device, next, 0)?;
            let room = self.room(&first);
            let count = clusters.end.saturating_sub(next).min(room).max(1);
            let run = Run {
                // Fits: an extent has no more clusters than that.
                count: u8::try_from(count).unwrap_or(u8::MAX),
                ..Run::of(&first)
            };
            if room > 0 && self.coverage.add_run(&run) {
                DeviceSummary::account(&mut self.devices, &run);
                self.current.header.entries.extend(run.entries());
            } else {
                // Begins the next extent, or finds out what is wrong.
                full.extend(self.zero_cluster(device, next)?);
                next = next.saturating_add(1);
                continue;
            }
            next = next.saturating_add(count);
        }
        Ok(full)
    }

    /// Adds a cluster of which a [`Base`](crate::Base) has the payload. The extent that it comes into goes to an
    /// [`Output`](crate::Output) that takes over of this base.
    ///
    /// # Errors
    /// As [`cluster`](Self::cluster).
    pub fn known_cluster(
        &mut self,
        device: DeviceId,
        index: u64,
        known: Known,
    ) -> Result<Option<Extent>> {
        let entry = entry(device, index, known.mask)?;
        let full = self.begin(&entry)?;
        self.current.push_known(entry, known);
        Ok(full)
    }

    fn add(
        &mut self,
        device: DeviceId,
        index: u64,
        data: &[u8],
        mask: u16,
    ) -> Result<Option<Extent>> {
        let entry = entry(device, index, mask)?;
        self.check_length(&entry, data)?;
        let full = self.begin(&entry)?;
        self.current.push(entry, data);
        Ok(full)
    }

    /// Takes account of a cluster, and gives the extent that has no room for it.
    fn begin(&mut self, entry: &ClusterEntry) -> Result<Option<Extent>> {
        self.coverage.add(entry)?;
        DeviceSummary::account(&mut self.devices, &Run::of(entry));
        Ok(self.is_full(entry).then(|| self.take()))
    }

    /// A buffer of an extent that is not needed any more.
    pub fn recycle(&mut self, extent: Extent) {
        if self.spare.len() < MAX_SPARE {
            self.spare.push(extent);
        }
    }

    /// How much of each device has come so far, in header order.
    #[must_use]
    pub fn devices(&self) -> &[DeviceSummary] {
        &self.devices
    }

    /// The last extent, and the account of the whole.
    ///
    /// # Errors
    /// [`ErrorKind::MissingCluster`] if any cluster has not come.
    pub fn finish(mut self) -> Result<(Option<Extent>, Summary)> {
        self.coverage.complete()?;
        // An archive without any cluster has one empty extent, as the reference's has.
        let pending = !self.current.header.entries.is_empty() || self.extents == 0;
        let last = pending.then(|| self.take());
        let bytes = self.padding.offset();
        Ok((last, Summary::new(bytes, self.extents, self.devices)))
    }

    /// Whether the current extent takes no such cluster any more.
    fn is_full(&self, next: &ClusterEntry) -> bool {
        let entries = &self.current.header.entries;
        let apart = |first: &ClusterEntry| !aligned::together(first, next);
        entries.len() >= EXTENT_CLUSTERS
            || self.padding.is_aligned() && entries.first().is_some_and(apart)
    }

    /// How many clusters from this one on the current extent still takes.
    fn room(&self, next: &ClusterEntry) -> u64 {
        if self.is_full(next) {
            return 0;
        }
        let most = EXTENT_CLUSTERS.saturating_sub(self.current.header.entries.len()) as u64;
        match self.padding.is_aligned() {
            true => most.min(aligned::left(next)),
            false => most,
        }
    }

    fn check_length(&self, entry: &ClusterEntry, data: &[u8]) -> Result<()> {
        if data.is_empty() && entry.mask() == 0 {
            return Ok(());
        }
        let device = self
            .devices
            .iter()
            .find(|device| device.id() == entry.device());
        let expected = device.map_or(CLUSTER_SIZE, |device| device.cluster_length(entry.index()));
        if data.len() == expected || expected == 0 {
            return Ok(());
        }
        let detail = format!(
            "cluster {} of device {} has {expected} bytes, got {}",
            entry.index(),
            entry.device(),
            data.len()
        );
        Err(Error::new(ErrorKind::ClusterLength, detail))
    }

    /// Finishes the current extent and begins the next.
    fn take(&mut self) -> Extent {
        self.current.seal();
        let padding = self
            .padding
            .before(&self.current)
            .map_or(0, |(_, count)| count);
        self.extents = self.extents.saturating_add(padding).saturating_add(1);
        let next = self.spare.pop().unwrap_or_default();
        let mut done = std::mem::replace(&mut self.current, next);
        done.offset = self.padding.offset().saturating_sub(done.size() as u64);
        self.current.begin(self.uuid);
        done
    }
}

fn entry(device: DeviceId, index: u64, mask: u16) -> Result<ClusterEntry> {
    let out_of_range = |_| {
        Error::new(
            ErrorKind::ClusterOutOfRange,
            format!("cluster number {index} too big"),
        )
    };
    let index = u32::try_from(index).map_err(out_of_range)?;
    Ok(ClusterEntry::new(device, index, mask))
}

/// The account of a finished archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    bytes: u64,
    extents: u64,
    devices: Vec<DeviceSummary>,
}

impl Summary {
    pub(crate) const fn new(bytes: u64, extents: u64, devices: Vec<DeviceSummary>) -> Self {
        Self {
            bytes,
            extents,
            devices,
        }
    }

    /// The size of the (uncompressed) archive in bytes, header included.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many extents it has.
    #[must_use]
    pub const fn extents(&self) -> u64 {
        self.extents
    }

    /// The devices in header order.
    #[must_use]
    pub fn devices(&self) -> &[DeviceSummary] {
        &self.devices
    }
}

/// The account of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSummary {
    device: Device,
    bytes: u64,
    zero_bytes: u64,
}

impl DeviceSummary {
    /// An empty account for each device.
    pub(crate) fn all(header: &Header) -> Vec<Self> {
        let account = |device: &Device| Self {
            device: device.clone(),
            bytes: 0,
            zero_bytes: 0,
        };
        header.devices().iter().map(account).collect()
    }

    /// Adds clusters to the account of their device.
    pub(crate) fn account(devices: &mut [Self], run: &Run) {
        let device = devices
            .iter_mut()
            .find(|device| device.id() == run.device());
        if let Some(device) = device {
            device.add(run);
        }
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> DeviceId {
        self.device.id()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.device.name()
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.device.size()
    }

    /// How many of its bytes have been added, zero or not.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many of these were left out because their blocks are zero.
    #[must_use]
    pub const fn zero_bytes(&self) -> u64 {
        self.zero_bytes
    }

    /// How long a cluster is; those of the RAM state are whole.
    fn cluster_length(&self, index: u64) -> usize {
        if self.device.is_vmstate() {
            CLUSTER_SIZE
        } else {
            cluster_length(self.size(), index)
        }
    }

    fn add(&mut self, run: &Run) {
        let Some(last) = run.last() else { return };
        // Only the last cluster of a device can be shorter than the others.
        let whole = CLUSTER_SIZE as u64;
        let end = self.cluster_length(last.index()) as u64;
        let before = run.count().saturating_sub(1);
        // The stored end of a device is padded to a whole block, which is not part of the device.
        let zero = |length: u64| length.saturating_sub(run.stored());
        let bytes = before.saturating_mul(whole).saturating_add(end);
        let zeroes = before.saturating_mul(zero(whole)).saturating_add(zero(end));
        self.bytes = self.bytes.saturating_add(bytes);
        self.zero_bytes = self.zero_bytes.saturating_add(zeroes);
    }
}
