//! The seek table of seekable zstd: a skippable frame at the end of the file that tells the size
//! of every frame, compressed and not.
//!
//! Specified in zstd's `contrib/seekable_format/zstd_seekable_compression_format.md`: skippable
//! magic `0x184D2A5E`, entries of two little-endian `u32` (and a checksum, if the descriptor's top
//! bit says so), then the number of entries, a descriptor byte and the magic `0x8F92EAB1`.
//!
//! Skippable frames of ours are listed, too, with a decompressed size of 0, so that the compressed
//! sizes always add up to the table's own offset.

use std::io;

use nom::combinator::verify;
use nom::number::complete::{le_u8, le_u32};
use nom::{IResult, Parser};

use super::Container;
use super::damage::damaged;
use crate::error::cannot_read;
use crate::error::{Error, ErrorKind, Result};
use crate::read_at::ReadAt;

/// The magic of the skippable frame that holds the table.
const SEEK_TABLE_MAGIC: u32 = 0x184D_2A5E;

/// The last four bytes of a seekable file.
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;

/// The size of the table's end: number of entries, descriptor, magic.
const FOOTER_SIZE: usize = 9;

/// The size of magic and length in front of a skippable frame's data.
pub(super) const SKIPPABLE_HEADER_SIZE: usize = 8;

/// The most frames that a table may have, as in the specification.
const MAX_FRAMES: usize = 0x800_0000;

/// The sizes of all frames of a file that is being written, in order.
#[derive(Debug, Default)]
pub(super) struct SeekTable {
    frames: Vec<FrameSize>,
}

/// The sizes of one frame in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameSize {
    /// As it stands in the file.
    pub(super) compressed: u32,
    /// What it decompresses to; 0 for a skippable frame.
    pub(super) plain: u32,
}

/// A frame of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FramePlace {
    /// Where it begins.
    pub(crate) at: u64,
    pub(in crate::container) size: FrameSize,
}

impl SeekTable {
    pub(super) fn push(&mut self, compressed: usize, plain: usize) -> Result<()> {
        let too_large = |_| {
            Error::new(
                ErrorKind::Unsupported,
                "a frame of 4 GiB cannot be in a seek table",
            )
        };
        let compressed = u32::try_from(compressed).map_err(too_large)?;
        let plain = u32::try_from(plain).map_err(too_large)?;
        self.frames.push(FrameSize { compressed, plain });
        Ok(())
    }

    /// The skippable frame that goes to the end of the file.
    pub(super) fn encode(self) -> Result<Vec<u8>> {
        let too_many = |_| Error::new(ErrorKind::Unsupported, "too many frames for a seek table");
        let frames = self.frames.len();
        let entries = frames.saturating_mul(8);
        let data = u32::try_from(entries.saturating_add(FOOTER_SIZE)).map_err(too_many)?;
        let size = SKIPPABLE_HEADER_SIZE.saturating_add(data as usize);
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(&SEEK_TABLE_MAGIC.to_le_bytes());
        bytes.extend_from_slice(&data.to_le_bytes());
        for frame in self.frames {
            bytes.extend_from_slice(&frame.compressed.to_le_bytes());
            bytes.extend_from_slice(&frame.plain.to_le_bytes());
        }
        let frames = u32::try_from(frames).map_err(too_many)?;
        bytes.extend_from_slice(&frames.to_le_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
        Ok(bytes)
    }
}

/// Appends a skippable frame to `out`.
pub(super) fn skippable(out: &mut Vec<u8>, magic: u32, data: &[u8]) -> Result<()> {
    let too_large = |_| Error::new(ErrorKind::Unsupported, "too much for a skippable frame");
    let length = u32::try_from(data.len()).map_err(too_large)?;
    out.extend_from_slice(&magic.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(data);
    Ok(())
}

/// Reads a table entry by entry: nobody needs to hold all of it.
#[derive(Debug)]
pub(super) struct Entries {
    /// Where the next entry is, and how many are left behind those that have been read.
    at: u64,
    left: u32,
    /// How many bytes an entry has.
    size: u32,
    read: std::vec::IntoIter<FrameSize>,
}

/// How many entries are read at a time.
const READ_ENTRIES: u32 = 8192;

impl Entries {
    /// Finds the table at the end of `source`, and where it begins; `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Container`] if there is something wrong with it, [`ErrorKind::Io`].
    pub(super) fn find(source: &impl ReadAt) -> Result<Option<(Self, u64)>> {
        // The last bytes of anything else are whatever a guest has written.
        let mut start = [0; 4];
        let size = source.size().map_err(cannot_read)?;
        let Some(footer_at) = size.checked_sub(FOOTER_SIZE as u64) else {
            return Ok(None);
        };
        source.read_exact_at(&mut start, 0).map_err(cannot_read)?;
        if Container::detect(&start) != Container::Zstd {
            return Ok(None);
        }
        let mut bytes = [0; FOOTER_SIZE];
        source
            .read_exact_at(&mut bytes, footer_at)
            .map_err(cannot_read)?;
        let Ok((_, (frames, entry))) = footer(&bytes) else {
            return Ok(None);
        };
        let length = u64::from(frames).saturating_mul(u64::from(entry));
        let head = SKIPPABLE_HEADER_SIZE as u64;
        let Some(at) = footer_at.checked_sub(length).filter(|&at| at >= head) else {
            return Err(damaged(footer_at, "the seek table is larger than the file"));
        };
        let begin = at.saturating_sub(head);
        let mut bytes = [0; SKIPPABLE_HEADER_SIZE];
        source
            .read_exact_at(&mut bytes, begin)
            .map_err(cannot_read)?;
        let data = length.saturating_add(FOOTER_SIZE as u64);
        match (le_u32::<_, ()>, le_u32).parse(&bytes[..]) {
            Ok((_, (SEEK_TABLE_MAGIC, told))) if u64::from(told) == data => {}
            _ => return Err(damaged(begin, "wrong seek table")),
        }
        let entries = Self {
            at,
            left: frames,
            size: entry,
            read: Vec::new().into_iter(),
        };
        Ok(Some((entries, begin)))
    }

    /// How many entries there are still.
    pub(super) fn len(&self) -> usize {
        self.read.len().saturating_add(self.left as usize)
    }

    /// The next frame.
    pub(super) fn next(&mut self, source: &impl ReadAt) -> io::Result<Option<FrameSize>> {
        if self.read.len() == 0 && self.left > 0 {
            let now = self.left.min(READ_ENTRIES);
            let mut bytes = vec![0; now.saturating_mul(self.size) as usize];
            source.read_exact_at(&mut bytes, self.at)?;
            self.at = self.at.saturating_add(bytes.len() as u64);
            self.left = self.left.saturating_sub(now);
            let frames: Vec<_> = bytes
                .chunks_exact(self.size as usize)
                .filter_map(|entry| (le_u32::<_, ()>, le_u32).parse(entry).ok())
                .map(|(_checksum, (compressed, plain))| FrameSize { compressed, plain })
                .collect();
            self.read = frames.into_iter();
        }
        Ok(self.read.next())
    }
}

/// Number of frames, and bytes in an entry.
fn footer(input: &[u8]) -> IResult<&[u8], (u32, u32)> {
    let few = |frames: &u32| *frames as usize <= MAX_FRAMES;
    let (input, frames) = verify(le_u32, few).parse(input)?;
    let (input, descriptor) = verify(le_u8, |descriptor| descriptor & 0x7c == 0).parse(input)?;
    let (input, _) = verify(le_u32, |magic| *magic == SEEKABLE_MAGIC).parse(input)?;
    let checksums = descriptor & 0x80 != 0;
    Ok((input, (frames, if checksums { 12 } else { 8 })))
}
