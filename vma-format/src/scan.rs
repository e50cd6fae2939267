//! Reading an archive that may be damaged: what is whole is found, whatever lies between.

use std::io::Read;

use crate::error::{Error, ErrorKind, Result};
use crate::extent::{self, Extent, ExtentHeader};
use crate::header::Header;
use crate::layout::EXTENT_HEADER_SIZE;
use crate::reader::fill;

/// Finds extents by their magic, checksum and uuid.
pub(crate) struct Scanner<R> {
    input: Input<R>,
    uuid: [u8; 16],
    offset: u64,
    /// The 512 bytes at `offset`, or fewer at the end of the input.
    head: Vec<u8>,
    begun: bool,
    spare: Vec<Extent>,
}

/// What the scanner comes upon.
pub(crate) enum Found {
    /// An extent with all of its payload.
    Extent(Extent),
    /// An extent that the end of the input cuts: its clusters that are whole, and the error.
    Cut(Extent, Error),
    /// Bytes that are no extent, or an extent that misses some of its own.
    Junk(Junk),
}

/// Bytes that are lost.
pub(crate) struct Junk {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) error: Error,
    /// The header in front of them, if it is whole.
    pub(crate) header: Option<ExtentHeader>,
}

/// How much is searched at a time when the next extent has to be found.
const SEARCH: usize = 1 << 20;

impl<R: Read> Scanner<R> {
    /// Scans what follows the header, from which nothing else must have been read.
    pub(crate) fn new(input: R, header: &Header) -> Self {
        Self {
            input: Input {
                pushed: Vec::new(),
                taken: 0,
                inner: input,
            },
            uuid: *header.uuid(),
            offset: header.size(),
            head: Vec::new(),
            begun: false,
            spare: Vec::new(),
        }
    }

    pub(crate) fn recycle(&mut self, extent: Extent) {
        if self.spare.len() < 8 {
            self.spare.push(extent);
        }
    }

    /// What comes next; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Found>> {
        if !self.begun {
            self.begun = true;
            self.read_head()?;
        }
        if self.head.is_empty() {
            return Ok(None);
        }
        match self.parse(&self.head) {
            Ok(header) => self.extent(header).map(Some),
            Err(error) => self.resynchronise(error).map(Some),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<ExtentHeader> {
        let Some((head, _)) = bytes.split_first_chunk::<EXTENT_HEADER_SIZE>() else {
            let detail = format!(
                "read short extent ({} bytes): the archive is cut",
                bytes.len()
            );
            return Err(Error::new(ErrorKind::Truncated, detail));
        };
        let header = extent::parse(head)?;
        if *header.uuid() == self.uuid {
            return Ok(header);
        }
        let detail = "wrong vma extent uuid: it belongs to another archive";
        Err(Error::new(ErrorKind::ExtentUuid, detail))
    }

    /// Reads the extent whose header is in `head`, and the head of the next.
    fn extent(&mut self, header: ExtentHeader) -> Result<Found> {
        let mut extent = self.spare.pop().unwrap_or_default();
        let (offset, size) = (self.offset, header.size());
        let whole = extent.buffer.reset(size);
        let (start, payload) = whole
            .split_at_mut_checked(EXTENT_HEADER_SIZE)
            .unwrap_or_default();
        start.copy_from_slice(&self.head);
        let wanted = payload.len();
        let got = self.input.fill(payload)?;
        extent.header = header;
        extent.offset = offset;
        if got == wanted {
            self.offset = offset.saturating_add(size as u64);
            self.read_head()?;
            if self.head.is_empty() || self.parse(&self.head).is_ok() {
                return Ok(Found::Extent(extent));
            }
        } else {
            self.head.clear();
        }
        // Something is wrong behind it. If another extent begins within its payload, it is this
        // one that misses bytes.
        let mut bytes = extent
            .as_bytes()
            .get(..got.saturating_add(EXTENT_HEADER_SIZE))
            .unwrap_or_default()
            .to_vec();
        bytes.extend_from_slice(&self.head);
        if let Some(place) = self.search(&bytes, EXTENT_HEADER_SIZE, size) {
            let detail = "vma extent misses some of its blocks: the next one begins within it";
            let error = Error::new(ErrorKind::Truncated, detail).at(offset);
            self.input.push(bytes.get(place..).unwrap_or_default());
            self.offset = offset.saturating_add(place as u64);
            self.read_head()?;
            let length = place as u64;
            return Ok(Found::Junk(Junk {
                offset,
                length,
                error,
                header: Some(extent.header),
            }));
        }
        if got == wanted {
            return Ok(Found::Extent(extent));
        }
        let have = got.saturating_add(EXTENT_HEADER_SIZE);
        let detail = format!("short vma extent ({have} < {size}): the archive is cut");
        let error = Error::new(ErrorKind::Truncated, detail).at(offset);
        let mut left = got;
        extent.header.entries.retain(|entry| {
            let rest = left.checked_sub(entry.stored());
            left = rest.unwrap_or(0);
            rest.is_some()
        });
        Ok(Found::Cut(extent, error))
    }

    /// Skips what is no extent up to the next one.
    fn resynchronise(&mut self, error: Error) -> Result<Found> {
        let offset = self.offset;
        let mut skipped = 0_u64;
        let mut window = std::mem::take(&mut self.head);
        // What is at the start has already been found wanting.
        let mut from = 1;
        loop {
            let start = window.len();
            window.resize(start.saturating_add(SEARCH), 0);
            let got = self
                .input
                .fill(window.get_mut(start..).unwrap_or_default())?;
            window.truncate(start.saturating_add(got));
            if let Some(place) = self.search(&window, from, window.len()) {
                self.input.push(window.get(place..).unwrap_or_default());
                skipped = skipped.saturating_add(place as u64);
                break;
            }
            if got == 0 {
                skipped = skipped.saturating_add(window.len() as u64);
                break;
            }
            // The next extent may begin within the last bytes.
            let keep = window.len().saturating_sub(EXTENT_HEADER_SIZE);
            window.drain(..keep);
            skipped = skipped.saturating_add(keep as u64);
            from = usize::from(keep == 0);
        }
        self.offset = offset.saturating_add(skipped);
        self.read_head()?;
        Ok(Found::Junk(Junk {
            offset,
            length: skipped,
            error: error.at(offset),
            header: None,
        }))
    }

    /// Where in `bytes`, from `from` on and before `to`, an extent of this archive begins.
    fn search(&self, bytes: &[u8], from: usize, to: usize) -> Option<usize> {
        let mut place = from;
        while place < to {
            let rest = bytes.get(place..)?;
            let hit = rest.windows(4).position(|window| window == extent::MAGIC)?;
            place = place.saturating_add(hit);
            if place < to && self.parse(bytes.get(place..)?).is_ok() {
                return Some(place);
            }
            place = place.saturating_add(1);
        }
        None
    }

    fn read_head(&mut self) -> Result<()> {
        self.head.resize(EXTENT_HEADER_SIZE, 0);
        let got = self.input.fill(&mut self.head)?;
        self.head.truncate(got);
        Ok(())
    }
}

/// An input into which bytes can be pushed back.
struct Input<R> {
    pushed: Vec<u8>,
    taken: usize,
    inner: R,
}

impl<R: Read> Input<R> {
    fn push(&mut self, bytes: &[u8]) {
        let mut all = bytes.to_vec();
        all.extend_from_slice(self.pushed.get(self.taken..).unwrap_or_default());
        self.pushed = all;
        self.taken = 0;
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let failed = |e| Error::io("cannot read the vma archive", e);
        let pushed = self.pushed.get(self.taken..).unwrap_or_default();
        let length = pushed.len().min(buffer.len());
        let (first, rest) = buffer.split_at_mut_checked(length).unwrap_or_default();
        first.copy_from_slice(pushed.get(..length).unwrap_or_default());
        self.taken = self.taken.saturating_add(length);
        if self.taken >= self.pushed.len() {
            self.pushed = Vec::new();
            self.taken = 0;
        }
        Ok(length.saturating_add(fill(&mut self.inner, rest).map_err(failed)?))
    }
}
