//! What an older archive of the same disks has already, taken over instead of written again.

use std::ops::Range;
use std::sync::Arc;

#[cfg(feature = "index")]
use crate::advice::Advice;
#[cfg(feature = "zstd")]
use crate::aligned;
use crate::container::Contents;
#[cfg(feature = "zstd")]
use crate::container::{FramePlace, Seekable};
use crate::error::Result;
#[cfg(any(feature = "index", feature = "zstd"))]
use crate::error::{Error, ErrorKind};
use crate::extent::{ClusterEntry, Extent, Stored};
use crate::header::Header;
use crate::index::ExtentDigest;
use crate::known::Known;
use crate::layout::{BLOCK_SIZE, DeviceId, EXTENT_HEADER_SIZE};
use crate::random_access::RandomAccess;
#[cfg(feature = "index")]
use crate::read_at::ReadAt;

/// The unit of what file systems share, in bytes.
const BLOCK: u64 = BLOCK_SIZE as u64;

/// An older archive with its index, which must be of version 2.
///
/// What the index says leads to what may be equal. That it is equal is for [`TakeOver`](crate::TakeOver) to see to, as an index may
/// be wrong, or the archive damaged since.
#[derive(Debug, Clone)]
pub struct Base {
    archive: Arc<RandomAccess<Contents<'static>>>,
    /// If it is compressed.
    #[cfg(feature = "zstd")]
    frames: Option<Arc<Seekable<Contents<'static>>>>,
}

impl Base {
    /// Reads the index of an archive, and nothing of the archive but its header.
    ///
    /// # Errors
    /// Those of [`RandomAccess::open_with_index`]; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an index
    /// with checksums of an older kind, which would never be those of a new one.
    #[cfg(feature = "index")]
    pub fn open(archive: impl ReadAt + 'static, index: impl ReadAt + 'static) -> Result<Self> {
        let (archive, index): (Contents<'static>, Contents<'static>) =
            (Arc::new(archive), Arc::new(index));
        let archive = RandomAccess::open_with_index(archive, index)?;
        if !archive.has_current_sums() {
            let detail = "its index has checksums of an older kind";
            return Err(Error::new(ErrorKind::Unsupported, detail).advise(Advice::MakeIndex));
        }
        Ok(Self {
            archive: Arc::new(archive),
            #[cfg(feature = "zstd")]
            frames: None,
        })
    }

    /// The same of a compressed archive.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[cfg(all(feature = "index", feature = "zstd"))]
    pub fn open_compressed(
        archive: Seekable<Contents<'static>>,
        index: impl ReadAt + 'static,
    ) -> Result<Self> {
        let archive = Arc::new(archive);
        let base = Self::open(Arc::clone(&archive), index)?;
        Ok(Self {
            frames: Some(archive),
            ..base
        })
    }

    /// The archive.
    #[must_use]
    pub fn archive(&self) -> &RandomAccess<Contents<'static>> {
        &self.archive
    }

    /// Whether each of its clusters can be [taken over](Self::known) unread: its payload is aligned, in frames of its own
    /// if it is compressed.
    #[must_use]
    pub fn is_known(&self) -> bool {
        #[cfg(feature = "zstd")]
        if self.frames.is_some() {
            let is_frame = &mut |place, length| self.frame(place, length).is_some();
            return self.archive.all_parts(is_frame);
        }
        self.archive.is_aligned()
    }

    /// The clusters around one, itself included, that can only be taken over together.
    #[must_use]
    pub fn together(&self, cluster: u64) -> Range<u64> {
        #[cfg(feature = "zstd")]
        if self.frames.is_some() {
            return aligned::part_around(cluster);
        }
        cluster..cluster.saturating_add(1)
    }

    /// The frame that has so many bytes of the archive from `place` on, if it is one that can be shared.
    #[cfg(feature = "zstd")]
    fn frame(&self, place: u64, length: u64) -> Option<FramePlace> {
        let frame = self.frames.as_ref()?.frame_of(place, length)?;
        frame.at.is_multiple_of(BLOCK).then_some(frame)
    }

    /// What a new archive needs to [take over](crate::Encoder::known_cluster) a cluster of this base; `None` if it has
    /// no payload, or cannot be taken over.
    #[must_use]
    pub fn known(&self, device: DeviceId, cluster: u64) -> Option<Known> {
        let known = self.archive.known(device, cluster)?;
        known.place.is_multiple_of(BLOCK).then_some(known)
    }

    /// Fills `buffer` with payload from `place` on, which must be what the index knows.
    ///
    /// # Errors
    /// [`ErrorKind::Payload`](crate::ErrorKind::Payload) if it is not; [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn read_at(&self, place: u64, buffer: &mut [u8]) -> Result<()> {
        self.archive.payload_at(place, buffer)
    }
}

/// A base in use.
pub(crate) struct Reuse {
    base: Base,
    /// The device of the base with the name of each of the new archive.
    devices: Vec<(DeviceId, DeviceId)>,
}

/// A stretch of an extent in the making, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stretch {
    /// Here.
    Here(Range<usize>),
    /// Here, and by its index in the base at `place`.
    Both(Range<usize>, u64),
    /// In the base alone.
    There { place: u64, length: u64 },
}

impl Stretch {
    /// Both together, if `next` follows in every respect.
    fn join(&self, next: &Self) -> Option<Self> {
        match (self, next) {
            (Self::Here(one), Self::Here(other)) => Some(Self::Here(one.start..other.end)),
            (Self::Both(one, place), Self::Both(other, next))
                if place.saturating_add(one.len() as u64) == *next =>
            {
                Some(Self::Both(one.start..other.end, *place))
            }
            (
                Self::There { place, length },
                Self::There {
                    place: next,
                    length: more,
                },
            ) if place.saturating_add(*length) == *next => Some(Self::There {
                place: *place,
                length: length.saturating_add(*more),
            }),
            _ => None,
        }
    }

    /// Appends it to others.
    fn add_to(self, stretches: &mut Vec<Self>) {
        match stretches.last().and_then(|last| last.join(&self)) {
            Some(joined) => {
                stretches.pop();
                stretches.push(joined);
            }
            None => stretches.push(self),
        }
    }
}

impl Reuse {
    pub(crate) const fn new(base: Base) -> Self {
        Self {
            base,
            devices: Vec::new(),
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

    /// Where the bytes of each cluster with payload are, in order.
    fn clusters<'a>(
        &'a self,
        extent: &'a Extent,
        digest: &'a ExtentDigest,
    ) -> impl Iterator<Item = (ClusterEntry, Stretch)> + 'a {
        let mut at = EXTENT_HEADER_SIZE;
        let stored = extent.stored().zip(digest.sums());
        stored.map(move |((entry, stored), sum)| {
            let stretch = match stored {
                Stored::Known(known) => Stretch::There {
                    place: known.place,
                    length: known.stored() as u64,
                },
                Stored::Here(blocks) => {
                    let range = at..at.saturating_add(blocks.len());
                    at = range.end;
                    let found = self.device(entry.device()).and_then(|device| {
                        let known = self.base.known(device, entry.index())?;
                        (known.mask == entry.mask() && known.sum == sum).then_some(known.place)
                    });
                    match found {
                        Some(place) => Stretch::Both(range, place),
                        None => Stretch::Here(range),
                    }
                }
            };
            (entry, stretch)
        })
    }

    fn device(&self, new: DeviceId) -> Option<DeviceId> {
        let found = self.devices.iter().find(|(known, _)| *known == new);
        found.map(|(_, old)| *old)
    }

    /// Where the bytes of an extent are, in order.
    pub(crate) fn stretches(&self, extent: &Extent, digest: &ExtentDigest) -> Vec<Stretch> {
        let mut stretches = vec![Stretch::Here(0..EXTENT_HEADER_SIZE)];
        for (_, stretch) in self.clusters(extent, digest) {
            stretch.add_to(&mut stretches);
        }
        stretches
    }

    /// The frames of an extent's payload, in order: bytes that go into a new one, or one of the base.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if only a part of what should be in a frame is known.
    #[cfg(feature = "zstd")]
    pub(crate) fn frames(&self, extent: &Extent, digest: &ExtentDigest) -> Result<Vec<Part>> {
        let clusters: Vec<_> = self.clusters(extent, digest).collect();
        let parts = clusters.chunk_by(|(one, _), (other, _)| {
            aligned::part(one.index()) == aligned::part(other.index())
        });
        let part = |clusters: &[(ClusterEntry, Stretch)]| {
            let mut stretches = Vec::new();
            for (_, stretch) in clusters {
                stretch.clone().add_to(&mut stretches);
            }
            let frame = match stretches.as_slice() {
                [Stretch::There { place, length }] => {
                    self.base.frame(*place, *length).map(Part::There)
                }
                [Stretch::Both(range, place)] => {
                    let bytes = extent.as_bytes().get(range.clone()).unwrap_or_default();
                    let frame = self.base.frame(*place, bytes.len() as u64);
                    frame.filter(|_| self.has(*place, bytes)).map(Part::There)
                }
                _ => None,
            };
            let ranges = stretches.iter().map(|stretch| match stretch {
                Stretch::Here(range) | Stretch::Both(range, _) => Some(range.clone()),
                Stretch::There { .. } => None,
            });
            let whole = |ranges: Vec<Range<usize>>| {
                let start = ranges.first().map_or(0, |range| range.start);
                Part::Here(start..ranges.last().map_or(0, |range| range.end))
            };
            let here = || ranges.collect::<Option<Vec<_>>>().map(whole);
            frame.or_else(here).ok_or_else(|| {
                let detail = "of a frame that is to be taken over, a part has changed";
                Error::new(ErrorKind::Unsupported, detail)
            })
        };
        parts.map(part).collect()
    }

    /// Whether the base has these bytes indeed.
    #[cfg(feature = "zstd")]
    fn has(&self, place: u64, bytes: &[u8]) -> bool {
        let mut there = vec![0; bytes.len()];
        self.base.read_at(place, &mut there).is_ok() && there == bytes
    }
}

/// What goes into one frame.
#[cfg(feature = "zstd")]
pub(crate) enum Part {
    Here(Range<usize>),
    There(FramePlace),
}

/// The parts of an extent's payload, each of which gets a frame, if there is no base.
#[cfg(feature = "zstd")]
pub(crate) fn parts(extent: &Extent) -> Vec<Range<usize>> {
    let mut end = EXTENT_HEADER_SIZE;
    let entries = extent.header().entries();
    let parts =
        entries.chunk_by(|one, other| aligned::part(one.index()) == aligned::part(other.index()));
    let ranges = parts.map(|entries| {
        let start = end;
        let stored = entries.iter().map(ClusterEntry::stored);
        end = stored.fold(start, usize::saturating_add);
        start..end
    });
    ranges.filter(|range| !range.is_empty()).collect()
}
