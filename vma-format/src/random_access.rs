//! Any device of an archive at any offset, from many threads.

mod clusters;
#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]
mod tests;

use std::io;

use clusters::{ClusterMap, Piece};

use crate::error::{Error, ErrorKind, Result, cannot_read};
use crate::extent::run::runs;
use crate::extent::{self, ExtentHeader};
use crate::header::Header;
use crate::index::Checks;
use crate::known::Known;
use crate::layout::{BLOCK_SIZE, CLUSTER_SIZE, DeviceId, EXTENT_HEADER_SIZE, cluster_offset};
use crate::read_at::{Cursor, ReadAt};
use crate::reader::read_header;
use crate::tally::Tally;
use crate::zero::is_zero;

/// Random access to the devices of a complete archive.
///
/// It needs 16 bytes of memory for each run of clusters (for an archive in order, one for each
/// extent), and at most 24 MiB; to check what it reads against an index, 12 MiB more.
#[derive(Debug)]
pub struct RandomAccess<S, I = S> {
    source: S,
    checks: Option<Checks<I>>,
    header: Header,
    map: ClusterMap,
    size: u64,
    in_order: bool,
    extents: u64,
}

/// What a stretch of a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stretch {
    /// How long it is in bytes.
    pub length: u64,
    /// Whether it is stored; what is not reads as zeroes.
    pub data: bool,
}

impl Stretch {
    /// So many stored bytes.
    #[must_use]
    pub const fn data(length: u64) -> Self {
        Self { length, data: true }
    }

    /// So many that read as zeroes.
    #[must_use]
    pub const fn zeroes(length: u64) -> Self {
        Self {
            length,
            data: false,
        }
    }
}

impl<S: ReadAt> RandomAccess<S> {
    /// Opens an uncompressed archive (or [`Seekable`](crate::container::Seekable) contents) by
    /// hopping from extent header to extent header.
    ///
    /// # Errors
    /// All that [`Reader`](crate::reader::Reader) finds, from the headers alone;
    /// [`ErrorKind::Unsupported`] for an archive whose clusters are too scattered to keep track of.
    pub fn open(source: S) -> Result<Self> {
        let header = header(&source)?;
        let size = source.size().map_err(cannot_read)?;
        let mut map = ClusterMap::new(&header);
        let mut offset = header.size();
        let mut extents = 0_u64;
        while offset < size {
            let parsed = next_extent(&source, &header, offset, size)?;
            map.extent(offset, &runs(parsed.entries()).collect::<Vec<_>>())
                .map_err(|e| e.at(offset))?;
            offset = offset.saturating_add(parsed.size() as u64);
            extents = extents.saturating_add(1);
        }
        Self::new(source, None, header, map, extents)
    }
}

impl<S: ReadAt, I: ReadAt> RandomAccess<S, I> {
    /// Opens an archive with its index, touching nothing but the header of the archive itself. All that is read
    /// later is checked against the index.
    ///
    /// # Errors
    /// [`ErrorKind::Index`], [`ErrorKind::IndexMismatch`], [`ErrorKind::Truncated`] if the archive
    /// has not the size that the index says, and all that [`open`](Self::open) finds.
    #[cfg(feature = "index")]
    pub fn open_with_index(source: S, index: I) -> Result<Self> {
        let header = header(&source)?;
        let mut map = ClusterMap::new(&header);
        let mut extents = 0_u64;
        let (checks, expected) = Checks::read(index, &header, &mut |offset, runs| {
            extents = extents.saturating_add(1);
            map.extent(offset, runs).map_err(|e| e.at(offset))
        })?;
        let size = source.size().map_err(cannot_read)?;
        if size != expected {
            let detail = format!("the archive has {size} bytes, its index knows {expected}");
            return Err(Error::new(ErrorKind::Truncated, detail));
        }
        Self::new(source, Some(checks), header, map, extents)
    }

    fn new(
        source: S,
        checks: Option<Checks<I>>,
        header: Header,
        mut map: ClusterMap,
        extents: u64,
    ) -> Result<Self> {
        let in_order = map.finish()?;
        let size = source.size().map_err(cannot_read)?;
        Ok(Self {
            source,
            checks,
            header,
            map,
            size,
            in_order,
            extents,
        })
    }

    /// The archive's header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The size of the (uncompressed) archive in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// How many extents it has.
    #[must_use]
    pub const fn extents(&self) -> u64 {
        self.extents
    }

    /// Whether what is read is checked against an index.
    #[must_use]
    pub const fn is_checked(&self) -> bool {
        self.checks.is_some()
    }

    /// Whether every device's clusters stand in ascending order.
    #[must_use]
    pub const fn in_order(&self) -> bool {
        self.in_order
    }

    /// How many bytes of a device's clusters are stored.
    #[must_use]
    pub fn stored(&self, device: DeviceId) -> u64 {
        self.map.stored(device)
    }

    /// How many bytes of a RAM state stream there are; the declared size of other devices.
    #[must_use]
    pub fn device_size(&self, device: DeviceId) -> Option<u64> {
        let known = self.header.device(device)?;
        Some(if known.is_vmstate() {
            cluster_offset(self.map.clusters(device))
        } else {
            known.size()
        })
    }

    /// Fills `buffer` with what the device holds from `offset` on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown device, [`ErrorKind::Io`] (also behind the device's
    /// end), [`ErrorKind::Container`] for damage met in a compressed archive, [`ErrorKind::Payload`] for a cluster
    /// that is not what the index knows.
    pub fn read_at(&self, device: DeviceId, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check_range(device, offset, buffer.len() as u64)?;
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let piece = self.map.piece(device, at).ok_or_else(behind_end)?;
            let length = usize::try_from(piece.length())
                .unwrap_or(usize::MAX)
                .min(rest.len());
            let (part, behind) = rest.split_at_mut_checked(length).ok_or_else(behind_end)?;
            match piece {
                Piece::Zero { .. } => part.fill(0),
                Piece::Data { place, .. } => match &self.checks {
                    Some(checks) => checks.read_exact_at(&self.source, place, part)?,
                    None => {
                        let read = self.source.read_exact_at(part, place);
                        read.map_err(cannot_read)?;
                    }
                },
            }
            at = at.saturating_add(length as u64);
            rest = behind;
        }
        Ok(())
    }

    /// What the device is from `offset` on, and for how long; at most up to its end.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown device or a place behind its end.
    pub fn stretch_at(&self, device: DeviceId, offset: u64) -> Result<Stretch> {
        self.check_range(device, offset, 1)?;
        let end = self.device_size(device).ok_or_else(behind_end)?;
        let mut length = 0_u64;
        let mut data = None;
        while let Some(piece) = self.map.piece(device, offset.saturating_add(length)) {
            let this = matches!(piece, Piece::Data { .. });
            if *data.get_or_insert(this) != this {
                break;
            }
            length = length.saturating_add(piece.length());
            if offset.saturating_add(length) >= end || length >= MAX_STRETCH {
                break;
            }
        }
        let length = length.min(end.saturating_sub(offset));
        Ok(Stretch {
            length,
            data: data.unwrap_or(false),
        })
    }

    /// What the device is from `offset` on, stretch by stretch: for `length` bytes, or for `most` stretches, and up to its
    /// end. There is at least one.
    ///
    /// # Errors
    /// As [`stretch_at`](Self::stretch_at).
    pub fn stretches_at(
        &self,
        device: DeviceId,
        offset: u64,
        length: u64,
        most: usize,
    ) -> Result<Vec<Stretch>> {
        let size = self.device_size(device).unwrap_or(0);
        let end = offset.saturating_add(length).min(size);
        let mut stretches = Vec::new();
        let mut at = offset;
        while stretches.is_empty() || at < end && stretches.len() < most {
            let mut stretch = self.stretch_at(device, at)?;
            stretch.length = stretch.length.min(end.saturating_sub(at).max(1));
            at = at.saturating_add(stretch.length);
            stretches.push(stretch);
        }
        Ok(stretches)
    }

    /// What the index knows of a cluster with payload.
    pub(crate) fn known(&self, device: DeviceId, cluster: u64) -> Option<Known> {
        let (mask, place) = self.map.stored_at(device, cluster)?;
        let sum = self.checks.as_ref()?.sum_at(place)?;
        Some(Known { mask, place, sum })
    }

    /// Whether `bytes`, all that a device has of a cluster, are what the archive has there, as far as its index can tell:
    /// not without one, nor with one of version 1, whose checksums of clusters are too short for that.
    pub(crate) fn is_there(&self, device: DeviceId, cluster: u64, bytes: &[u8]) -> bool {
        let Some((mask, place)) = self.map.stored_at(device, cluster) else {
            return is_zero(bytes);
        };
        let sum = self.checks.as_ref().and_then(|checks| checks.sum_at(place));
        let Some(sum) = sum else { return false };
        if mask == u16::MAX && bytes.len() == CLUSTER_SIZE {
            return sum.proves(bytes);
        }
        let mut stored = Vec::with_capacity(CLUSTER_SIZE);
        for (number, block) in bytes.chunks(BLOCK_SIZE).enumerate() {
            let bit = u32::try_from(number).unwrap_or(u32::MAX);
            if mask.checked_shr(bit).unwrap_or(0) & 1 == 0 {
                if !is_zero(block) {
                    return false;
                }
                continue;
            }
            stored.extend_from_slice(block);
            // A disk may end within a block.
            stored.resize(stored.len().next_multiple_of(BLOCK_SIZE), 0);
        }
        sum.proves(&stored)
    }

    /// Whether the payload of every cluster begins on a boundary of blocks.
    pub(crate) fn is_aligned(&self) -> bool {
        self.map.is_aligned()
    }

    /// Whether the payload of each [part](crate::aligned::part) of a device is in one piece of which `is` says yes: it
    /// gets place and length.
    #[cfg(feature = "zstd")]
    pub(crate) fn all_parts(&self, is: &mut dyn FnMut(u64, u64) -> bool) -> bool {
        self.map.all_parts(is)
    }

    /// Whether the index has checksums of the kind that new ones get.
    #[cfg(feature = "index")]
    pub(crate) fn has_current_sums(&self) -> bool {
        self.checks.as_ref().is_some_and(Checks::are_current)
    }

    /// Fills `buffer` with payload from `place` in the archive on, which the index must know.
    ///
    /// # Errors
    /// [`ErrorKind::Payload`] if it is not what the index knows; [`ErrorKind::Io`].
    pub(crate) fn payload_at(&self, place: u64, buffer: &mut [u8]) -> Result<()> {
        match &self.checks {
            Some(checks) => checks.read_exact_at(&self.source, place, buffer),
            None => self
                .source
                .read_exact_at(buffer, place)
                .map_err(cannot_read),
        }
    }

    /// Compares the header of each extent with the index, which payload alone cannot: equal clusters at other places have
    /// equal checksums.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] if the archive has other clusters than the index says; what reading says.
    pub fn check_headers(&self) -> Result<()> {
        let Some(checks) = &self.checks else {
            return Ok(());
        };
        checks.extents(&mut |offset, expected| {
            let parsed = next_extent(&self.source, &self.header, offset, self.size)?;
            match runs(parsed.entries()).eq(expected.iter().copied()) {
                true => Ok(()),
                false => {
                    let detail = "the archive has other clusters there than its index says";
                    Err(Error::new(ErrorKind::Index, detail).at(offset))
                }
            }
        })
    }

    /// Counts the clusters of a device that begin in a range of bytes.
    pub(crate) fn tally(&self, device: DeviceId, from: u64, to: u64, tally: &mut Tally) {
        self.map.tally(device, from, to, tally);
    }

    /// A reader over one whole device.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown device.
    pub fn device(&self, device: DeviceId) -> Result<impl ReadAt + '_> {
        self.check_range(device, 0, 0)?;
        Ok(DeviceView {
            archive: self,
            device,
        })
    }

    fn check_range(&self, device: DeviceId, offset: u64, length: u64) -> Result<()> {
        let Some(size) = self.device_size(device) else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("the archive has no device {device}"),
            ));
        };
        match offset.checked_add(length) {
            Some(end) if end <= size => Ok(()),
            _ => Err(behind_end()),
        }
    }
}

/// The longest stretch that is looked for, in bytes: 1 GiB.
const MAX_STRETCH: u64 = 1 << 30;

/// One device of an archive.
struct DeviceView<'a, S, I> {
    archive: &'a RandomAccess<S, I>,
    device: DeviceId,
}

impl<S: ReadAt, I: ReadAt> ReadAt for DeviceView<'_, S, I> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.archive.device_size(self.device).unwrap_or(0))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        Ok(self.archive.read_at(self.device, offset, buffer)?)
    }
}

/// Reads the header from the start of `source`.
pub(crate) fn header(source: &impl ReadAt) -> Result<Header> {
    let size = source.size().map_err(cannot_read)?;
    read_header(&mut Cursor::new(source, 0, size))
}

/// The header of the extent that begins at `offset` in an archive of `size` bytes, and has room in it.
pub(crate) fn next_extent(
    source: &impl ReadAt,
    header: &Header,
    offset: u64,
    size: u64,
) -> Result<ExtentHeader> {
    let mut head = [0; EXTENT_HEADER_SIZE];
    let left = size.saturating_sub(offset);
    if left < head.len() as u64 {
        let detail = format!("read short extent ({left} bytes): the archive is cut");
        return Err(Error::new(ErrorKind::Truncated, detail).at(offset));
    }
    source
        .read_exact_at(&mut head, offset)
        .map_err(cannot_read)?;
    let parsed = extent::parse(&head).map_err(|e| e.at(offset))?;
    if parsed.uuid() != header.uuid() {
        let detail = "wrong vma extent uuid: it belongs to another archive";
        return Err(Error::new(ErrorKind::ExtentUuid, detail).at(offset));
    }
    if left < parsed.size() as u64 {
        let size = parsed.size();
        let detail = format!("short vma extent ({left} < {size}): the archive is cut");
        return Err(Error::new(ErrorKind::Truncated, detail).at(offset));
    }
    Ok(parsed)
}

fn behind_end() -> Error {
    Error::new(ErrorKind::NotFound, "a place behind the end of the device")
}
