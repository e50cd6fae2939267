//! Random access to zstd with a seek table.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use super::damaged;
use super::seek_table::{FOOTER_SIZE, SKIPPABLE_HEADER_SIZE, SeekTable};
use super::zstd::MAX_PARALLEL_FRAME;
use crate::index::INDEX_FRAME_MAGIC;
use crate::read_at::{Cursor, ReadAt};
use crate::{Error, ErrorKind, Result};

/// The decompressed contents of a seekable zstd file, at any offset.
///
/// Each read decompresses the frames it touches; the last few are kept.
#[derive(Debug)]
pub struct Seekable<S> {
    source: S,
    frames: Vec<Place>,
    size: u64,
    recent: Mutex<VecDeque<(usize, Arc<Vec<u8>>)>>,
    forgiving: bool,
}

/// Where a frame with data is: in the file and in its contents.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: u64,
    plain_at: u64,
    compressed: u32,
    plain: u32,
}

/// How many decompressed frames are kept.
const KEPT_FRAMES: usize = 8;

/// The largest seek table that is read, in bytes: frames of 1 MiB for 5 TiB.
const MAX_TABLE_SIZE: u64 = 64 << 20;

impl<S: ReadAt> Seekable<S> {
    /// Opens `source` if it ends with a seek table whose frames are small enough to be kept; gives
    /// it back otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::Container`] if the table is wrong, [`ErrorKind::Io`].
    pub fn open(source: S) -> Result<Result<Self, S>> {
        let Some((table, end)) = table(&source)? else {
            return Ok(Err(source));
        };
        let mut frames = Vec::new();
        let (mut at, mut plain_at) = (0_u64, 0_u64);
        for frame in table.frames() {
            if frame.plain as usize > MAX_PARALLEL_FRAME {
                return Ok(Err(source));
            }
            if frame.plain > 0 {
                let (compressed, plain) = (frame.compressed, frame.plain);
                frames.push(Place {
                    at,
                    plain_at,
                    compressed,
                    plain,
                });
            }
            at = at.saturating_add(u64::from(frame.compressed));
            plain_at = plain_at.saturating_add(u64::from(frame.plain));
        }
        if at != end {
            return Err(damaged(end, "the seek table does not fit the file"));
        }
        Ok(Ok(Self {
            source,
            frames,
            size: plain_at,
            recent: Mutex::default(),
            forgiving: false,
        }))
    }

    /// Reads zeroes where a frame is damaged, for recovery.
    #[must_use]
    pub fn forgiving(mut self) -> Self {
        self.forgiving = true;
        self
    }

    /// A sequential reader over the contents.
    pub fn reader(&self) -> impl Read + Send + '_ {
        Cursor::new(self, 0, self.size)
    }

    fn frame(&self, number: usize) -> io::Result<Arc<Vec<u8>>> {
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, plain)) = recent().iter().find(|(kept, _)| *kept == number) {
            return Ok(Arc::clone(plain));
        }
        let place = self
            .frames
            .get(number)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let plain = match self.decompress(place) {
            Err(_) if self.forgiving => vec![0; place.plain as usize],
            other => other?,
        };
        let plain = Arc::new(plain);
        let mut recent = recent();
        if recent.len() >= KEPT_FRAMES {
            recent.pop_front();
        }
        recent.push_back((number, Arc::clone(&plain)));
        Ok(plain)
    }

    fn decompress(&self, place: &Place) -> io::Result<Vec<u8>> {
        let size = place.plain as usize;
        let compressed = place.compressed as usize;
        if compressed > zstd::zstd_safe::compress_bound(size).saturating_add(1024) {
            return Err(damaged(place.at, "a frame is larger than any of its size can be").into());
        }
        let mut bytes = vec![0; compressed];
        self.source.read_exact_at(&mut bytes, place.at)?;
        let mut plain = Vec::with_capacity(size);
        let done = zstd::bulk::Decompressor::new()?.decompress_to_buffer(&bytes, &mut plain);
        done.map_err(|e| damaged(place.at, &e).caused_by(e))?;
        if plain.len() != size {
            return Err(damaged(
                place.at,
                "a frame has not the size that the seek table says",
            )
            .into());
        }
        Ok(plain)
    }
}

impl<S: ReadAt> ReadAt for Seekable<S> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        let after = self
            .frames
            .partition_point(|frame| frame.plain_at <= offset);
        let mut number = after.saturating_sub(1);
        while !buffer.is_empty() {
            let place = self
                .frames
                .get(number)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            let plain = self.frame(number)?;
            let skip = usize::try_from(offset.saturating_sub(place.plain_at)).unwrap_or(usize::MAX);
            let part = plain.get(skip..).unwrap_or_default();
            let length = part.len().min(buffer.len());
            let (now, rest) = buffer.split_at_mut_checked(length).unwrap_or_default();
            now.copy_from_slice(part.get(..length).unwrap_or_default());
            buffer = rest;
            offset = offset.saturating_add(length as u64);
            number = number.saturating_add(1);
        }
        Ok(())
    }
}

/// The seek table at the end of `source`, and where it begins.
fn table(source: &(impl ReadAt + ?Sized)) -> Result<Option<(SeekTable, u64)>> {
    let failed = |e| Error::io("cannot read the archive", e);
    let size = source.size().map_err(failed)?;
    let Some(at) = size.checked_sub(FOOTER_SIZE as u64) else {
        return Ok(None);
    };
    let mut footer = [0; FOOTER_SIZE];
    source.read_exact_at(&mut footer, at).map_err(failed)?;
    let Some(length) = SeekTable::size_from_footer(&footer) else {
        return Ok(None);
    };
    let Some(start) = size.checked_sub(length) else {
        return Err(damaged(at, "the seek table is larger than the file"));
    };
    if length > MAX_TABLE_SIZE {
        let detail = "the seek table is too large; make one with larger frames: `vma reframe`";
        return Err(Error::new(ErrorKind::Unsupported, detail));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    source.read_exact_at(&mut bytes, start).map_err(failed)?;
    let table = SeekTable::parse(&bytes).map_err(|_| damaged(start, "wrong seek table"))?;
    Ok(Some((table, start)))
}

/// A reader over the index embedded in a seekable zstd file; `None` if there is none.
///
/// # Errors
/// [`ErrorKind::Container`] if the seek table is wrong, [`ErrorKind::Io`].
pub fn embedded_index<S: ReadAt>(source: S) -> Result<Option<EmbeddedIndex<S>>> {
    let Some((table, _)) = table(&source)? else {
        return Ok(None);
    };
    let mut places = Vec::new();
    let mut at = 0_u64;
    for frame in table.frames() {
        let next = at.saturating_add(u64::from(frame.compressed));
        let mut head = [0; SKIPPABLE_HEADER_SIZE];
        if frame.plain == 0 && frame.compressed as usize >= head.len() {
            let failed = |e| Error::io("cannot read the archive", e);
            source.read_exact_at(&mut head, at).map_err(failed)?;
            if head.starts_with(&INDEX_FRAME_MAGIC.to_le_bytes()) {
                places.push((at.saturating_add(head.len() as u64), next));
            }
        }
        at = next;
    }
    let index = EmbeddedIndex {
        source,
        places: places.into_iter(),
        current: (0, 0),
    };
    Ok((index.places.len() > 0).then_some(index))
}

/// The skippable frames of an index, one after the other.
#[derive(Debug)]
pub struct EmbeddedIndex<S> {
    source: S,
    places: std::vec::IntoIter<(u64, u64)>,
    current: (u64, u64),
}

impl<S: ReadAt> Read for EmbeddedIndex<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.0 >= self.current.1 {
            match self.places.next() {
                Some(place) => self.current = place,
                None => return Ok(0),
            }
        }
        let (start, end) = self.current;
        let got = Cursor::new(&self.source, start, end).read(buffer)?;
        self.current.0 = start.saturating_add(got as u64);
        Ok(got)
    }
}
