//! What an older archive of the same disks has already, taken over instead of written again.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::container::Contents;
use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::header::Header;
use crate::index::ExtentDigest;
use crate::layout::{BLOCK_SIZE, DeviceId, EXTENT_HEADER_SIZE};
use crate::random_access::RandomAccess;
#[cfg(feature = "index")]
use crate::read_at::ReadAt;

/// The unit of what file systems share, in bytes.
const BLOCK: u64 = BLOCK_SIZE as u64;

/// An older archive with its index, which must be of version 2.
///
/// What the index says leads to what may be equal. That it is equal is for [`TakeOver`] to see to, as an index may
/// be wrong, or the archive damaged since.
#[derive(Debug, Clone)]
pub struct Base {
    archive: Arc<RandomAccess<Contents<'static>>>,
}

impl Base {
    /// Reads the index of an archive, and nothing of the archive but its header.
    ///
    /// # Errors
    /// Those of [`RandomAccess::open_with_index`].
    #[cfg(feature = "index")]
    pub fn open(archive: impl ReadAt + 'static, index: impl ReadAt + 'static) -> Result<Self> {
        let (archive, index): (Contents<'static>, Contents<'static>) =
            (Arc::new(archive), Arc::new(index));
        let archive = RandomAccess::open_with_index(archive, index)?;
        Ok(Self {
            archive: Arc::new(archive),
        })
    }

    /// The archive.
    #[must_use]
    pub fn archive(&self) -> &RandomAccess<Contents<'static>> {
        &self.archive
    }
}

/// Puts parts of the base at the end of an archive's output.
pub trait TakeOver<W>: Send {
    /// Puts `bytes` at the end of `out`. The base has the same, by its index, from `place` on, a multiple of 4096,
    /// in its file: they can be shared if that is true, or must be written.
    ///
    /// # Errors
    /// Those of writing.
    fn take_over(&mut self, out: &mut W, place: u64, bytes: &[u8]) -> io::Result<()>;
}

/// A base in use.
pub(crate) struct Reuse<W> {
    base: Base,
    /// The device of the base with the name of each of the new archive.
    devices: Vec<(DeviceId, DeviceId)>,
    take_over: Box<dyn TakeOver<W>>,
}

/// Bytes of an extent that the base has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Where they are in the extent.
    start: usize,
    length: usize,
    /// Where they are in the base.
    place: u64,
}

impl Part {
    const fn end(&self) -> usize {
        self.start.saturating_add(self.length)
    }
}

impl<W> Reuse<W> {
    pub(crate) fn new(base: Base, take_over: Box<dyn TakeOver<W>>) -> Self {
        Self {
            base,
            devices: Vec::new(),
            take_over,
        }
    }

    /// Begins the archive with this header.
    pub(crate) fn begin(&mut self, header: &Header) {
        if !header.is_aligned() {
            return;
        }
        let known = self.base.archive.header();
        let same = header.devices().iter().filter_map(|device| {
            let old = known.device_named(device.name())?;
            Some((device.id(), old.id()))
        });
        self.devices = same.collect();
    }

    /// What the base's index says it has of an extent.
    pub(crate) fn parts(&self, extent: &Extent, digest: &ExtentDigest) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let mut start = EXTENT_HEADER_SIZE;
        let stored = extent
            .header()
            .entries()
            .iter()
            .filter(|entry| entry.mask() != 0);
        for (entry, sum) in stored.zip(digest.sums()) {
            let length = entry.stored();
            let of = |(new, old): &(DeviceId, DeviceId)| (*new == entry.device()).then_some(*old);
            let found = self.devices.iter().find_map(of).and_then(|device| {
                let known = self.base.archive.known(device, entry.index())?;
                (known.mask == entry.mask() && known.sum == sum).then_some(known.place)
            });
            if let Some(place) = found.filter(|place| place.is_multiple_of(BLOCK)) {
                let follows = |part: &&mut Part| {
                    part.end() == start && part.place.saturating_add(part.length as u64) == place
                };
                match parts.last_mut().filter(follows) {
                    Some(part) => part.length = part.length.saturating_add(length),
                    None => parts.push(Part {
                        start,
                        length,
                        place,
                    }),
                }
            }
            start = start.saturating_add(length);
        }
        parts
    }

    /// Puts a part of an extent at the end of `out`.
    pub(crate) fn take_over(&mut self, out: &mut W, part: Part, extent: &[u8]) -> Result<()> {
        let bytes = extent.get(part.start..part.end()).unwrap_or_default();
        self.take_over
            .take_over(out, part.place, bytes)
            .map_err(|e| Error::io("cannot write the archive", e))
    }
}

/// The stretches of an extent in order: what the base has, and what is between.
pub(crate) fn stretches(
    extent: &[u8],
    parts: &[Part],
) -> impl Iterator<Item = (Option<Part>, Range<usize>)> {
    let mut from = 0;
    let both = parts.iter().flat_map(move |part| {
        let before = from..part.start;
        from = part.end();
        [(None, before), (Some(*part), part.start..part.end())]
    });
    let rest = parts.last().map_or(0, Part::end)..extent.len();
    let all = both.chain([(None, rest)]);
    all.filter(|(_, range)| !range.is_empty())
}
