//! Extents: up to 59 clusters behind a header of 512 bytes.

mod build;
mod parse;
pub(crate) mod run;
#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]
mod tests;

pub(crate) use parse::{MAGIC, encode, parse};

use crate::known::Known;
use crate::layout::{
    BLOCK_SIZE, CLUSTER_SIZE, DeviceId, EXTENT_HEADER_SIZE, MAX_EXTENT_SIZE, cluster_offset,
};

/// One cluster's slot in an extent header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterEntry {
    device: DeviceId,
    index: u32,
    mask: u16,
}

impl ClusterEntry {
    pub(crate) const fn new(device: DeviceId, index: u32, mask: u16) -> Self {
        Self {
            device,
            index,
            mask,
        }
    }

    /// The device that it belongs to.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// Its place on the device, counted in clusters.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index as u64
    }

    /// Its place on the device in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        cluster_offset(self.index as u64)
    }

    /// Which of its 16 blocks are stored: bit 0 for the first. The others are zero.
    #[must_use]
    pub const fn mask(&self) -> u16 {
        self.mask
    }

    /// How many bytes of payload it has in the extent.
    #[must_use]
    pub const fn stored(&self) -> usize {
        (self.mask.count_ones() as usize).saturating_mul(BLOCK_SIZE)
    }
}

/// The parsed header of an extent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtentHeader {
    uuid: [u8; 16],
    pub(crate) entries: Vec<ClusterEntry>,
}

impl ExtentHeader {
    /// The archive that it belongs to.
    #[must_use]
    pub const fn uuid(&self) -> &[u8; 16] {
        &self.uuid
    }

    /// Empties it for a new extent of the archive `uuid`.
    pub(crate) fn begin(&mut self, uuid: [u8; 16]) {
        self.uuid = uuid;
        self.entries.clear();
    }

    /// Its clusters in the order of their payload.
    #[must_use]
    pub fn entries(&self) -> &[ClusterEntry] {
        &self.entries
    }

    /// The size of header and payload together, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let stored = |sum: usize, entry: &ClusterEntry| sum.saturating_add(entry.stored());
        self.entries.iter().fold(EXTENT_HEADER_SIZE, stored)
    }
}

/// A whole extent in a buffer of its own.
///
/// Give it back to the [`Reader`](crate::reader::Reader) or [`Encoder`](crate::encoder::Encoder) it came from
/// (`recycle`), and the buffer is used again.
#[derive(Debug, Clone, Default)]
pub struct Extent {
    pub(crate) offset: u64,
    pub(crate) header: ExtentHeader,
    /// Header and payload, but for that of `known` clusters.
    pub(crate) buffer: ExtentBuffer,
    /// Clusters whose payload is in an older archive, by the number of their slots, in order.
    pub(crate) known: Vec<(usize, Known)>,
}

/// Where the payload of a cluster is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stored<'a> {
    Here(&'a [u8]),
    Known(Known),
}

impl Extent {
    /// Where it begins in the archive, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Its header.
    #[must_use]
    pub const fn header(&self) -> &ExtentHeader {
        &self.header
    }

    /// Header and payload as they stand in the archive, without the payload of
    /// [known](crate::Encoder::known_cluster) clusters.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.filled()
    }

    /// How long it is in the archive, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let stored = self.known.iter().map(|(_, known)| known.stored());
        stored.fold(self.as_bytes().len(), usize::saturating_add)
    }

    /// Whether it stores any block, or is a header alone.
    #[must_use]
    pub fn has_payload(&self) -> bool {
        self.size() > EXTENT_HEADER_SIZE
    }

    /// Where the payload of each cluster is that has any.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (ClusterEntry, Stored<'_>)> {
        let mut payload = self
            .as_bytes()
            .get(EXTENT_HEADER_SIZE..)
            .unwrap_or_default();
        let mut known = self.known.iter().peekable();
        let entries = self.header.entries.iter().zip(0_usize..);
        let stored = entries.filter(|(entry, _)| entry.mask != 0);
        stored.map_while(move |(&entry, slot)| {
            if let Some((_, known)) = known.next_if(|(known, _)| *known == slot) {
                return Some((entry, Stored::Known(*known)));
            }
            let (blocks, rest) = payload.split_at_checked(entry.stored())?;
            payload = rest;
            Some((entry, Stored::Here(blocks)))
        })
    }

    /// Its clusters with their payload, if all of it is here.
    pub fn clusters(&self) -> impl Iterator<Item = Cluster<'_>> {
        let payload = self.as_bytes().get(EXTENT_HEADER_SIZE..);
        clusters(&self.header.entries, payload.unwrap_or_default())
    }
}

/// Clusters with their payload, which follow each other in `payload`.
pub(crate) fn clusters<'a>(
    entries: &'a [ClusterEntry],
    mut payload: &'a [u8],
) -> impl Iterator<Item = Cluster<'a>> {
    entries.iter().map_while(move |&entry| {
        let (blocks, rest) = payload.split_at_checked(entry.stored())?;
        payload = rest;
        Some(Cluster { entry, blocks })
    })
}

impl AsRef<[u8]> for Extent {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// One cluster of an extent.
#[derive(Debug, Clone, Copy)]
pub struct Cluster<'a> {
    entry: ClusterEntry,
    blocks: &'a [u8],
}

impl<'a> Cluster<'a> {
    /// Which cluster it is.
    #[must_use]
    pub const fn entry(&self) -> ClusterEntry {
        self.entry
    }

    /// Its stored blocks, as many as the mask has bits.
    #[must_use]
    pub const fn blocks(&self) -> &'a [u8] {
        self.blocks
    }

    /// Its contents, if all of its blocks are stored.
    #[must_use]
    pub fn full(&self) -> Option<&'a [u8]> {
        (self.entry.mask == u16::MAX).then_some(self.blocks)
    }

    /// Whether none of its blocks is stored.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.entry.mask == 0
    }

    /// Runs of stored blocks: offset within the cluster, and data.
    pub fn runs(&self) -> impl Iterator<Item = (usize, &'a [u8])> {
        let mut mask = u32::from(self.entry.mask);
        let mut at = 0_usize;
        let mut blocks = self.blocks;
        std::iter::from_fn(move || {
            if mask == 0 {
                return None;
            }
            let skip = mask.trailing_zeros();
            mask = mask.wrapping_shr(skip);
            let run = mask.trailing_ones();
            mask = mask.wrapping_shr(run);
            let offset = at.saturating_add((skip as usize).saturating_mul(BLOCK_SIZE));
            let length = (run as usize).saturating_mul(BLOCK_SIZE);
            at = offset.saturating_add(length);
            let (data, rest) = blocks.split_at_checked(length)?;
            blocks = rest;
            Some((offset, data))
        })
    }

    /// Fills `out` with its contents; `out` may be shorter than a cluster at a device's end.
    pub fn copy_to(&self, out: &mut [u8]) {
        if let Some(data) = self.full() {
            let length = data.len().min(out.len());
            if let (Some(out), Some(data)) = (out.get_mut(..length), data.get(..length)) {
                out.copy_from_slice(data);
            }
            return;
        }
        out.fill(0);
        for (offset, data) in self.runs() {
            let length = data.len().min(out.len().saturating_sub(offset));
            let end = offset.saturating_add(length);
            if let (Some(out), Some(data)) = (out.get_mut(offset..end), data.get(..length)) {
                out.copy_from_slice(data);
            }
        }
    }
}

/// Room for the largest extent, filled up to a length; allocated once and used again.
#[derive(Clone, Default)]
pub(crate) struct ExtentBuffer {
    bytes: Vec<u8>,
    len: usize,
}

impl ExtentBuffer {
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Empties the buffer and sets it to `len` bytes, whose contents are whatever was there.
    pub(crate) fn reset(&mut self, len: usize) -> &mut [u8] {
        self.make_room(len);
        self.len = len.min(self.bytes.len());
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// Memory for `len` bytes. What an extent without payload takes is its header; all others get the most at once.
    fn make_room(&mut self, len: usize) {
        if self.bytes.len() >= len {
            return;
        }
        let size = match len <= EXTENT_HEADER_SIZE {
            true => EXTENT_HEADER_SIZE,
            // Zeroed memory straight from the system costs nothing until it is touched.
            false => MAX_EXTENT_SIZE,
        };
        let mut bytes = vec![0; size];
        if let Some(head) = bytes.get_mut(..self.len) {
            head.copy_from_slice(self.filled());
        }
        self.bytes = bytes;
    }

    /// The first `len` bytes.
    pub(crate) fn head(&mut self, len: usize) -> &mut [u8] {
        self.bytes.get_mut(..len.min(self.len)).unwrap_or_default()
    }

    /// Appends `data`, which must fit.
    pub(crate) fn push(&mut self, data: &[u8]) {
        let end = self.len.saturating_add(data.len());
        self.make_room(end);
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(data);
            self.len = end;
        }
    }

    /// Appends `count` zero bytes, which must fit.
    pub(crate) fn push_zeroes(&mut self, count: usize) {
        let end = self.len.saturating_add(count);
        self.make_room(end);
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.fill(0);
            self.len = end;
        }
    }
}

impl std::fmt::Debug for ExtentBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

/// The mask of a cluster's data: which blocks are not zero. At most [`CLUSTER_SIZE`] bytes count.
#[must_use]
pub fn block_mask(data: &[u8]) -> u16 {
    debug_assert!(data.len() <= CLUSTER_SIZE);
    data.chunks(BLOCK_SIZE)
        .take(16)
        .zip(0..)
        .fold(0, |mask, (block, bit)| {
            let stored = u16::from(!crate::zero::is_zero(block));
            mask | stored.wrapping_shl(bit)
        })
}
