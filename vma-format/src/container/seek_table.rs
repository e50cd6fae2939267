//! The seek table of seekable zstd: a skippable frame at the end of the file that tells the size
//! of every frame, compressed and not.
//!
//! Specified in zstd's `contrib/seekable_format/zstd_seekable_compression_format.md`: skippable
//! magic `0x184D2A5E`, entries of two little-endian `u32` (and a checksum, if the descriptor's top
//! bit says so), then the number of entries, a descriptor byte and the magic `0x8F92EAB1`.
//!
//! Skippable frames of ours are listed, too, with a decompressed size of 0, so that the compressed
//! sizes always add up to the table's own offset.

use nom::IResult;
use nom::Parser;
use nom::combinator::all_consuming;
use nom::multi::count;
use nom::number::complete::{le_u8, le_u32};

use super::damaged;
use crate::{Error, ErrorKind, Result};

/// The magic of the skippable frame that holds the table.
pub const SEEK_TABLE_MAGIC: u32 = 0x184D_2A5E;

/// The last four bytes of a seekable file.
pub const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;

/// The size of the table's end: number of entries, descriptor, magic.
pub const FOOTER_SIZE: usize = 9;

/// The size of magic and length in front of a skippable frame's data.
pub const SKIPPABLE_HEADER_SIZE: usize = 8;

/// The most frames that a table may have, as in the specification.
const MAX_FRAMES: usize = 0x800_0000;

/// The sizes of all frames of a file in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeekTable {
    frames: Vec<FrameSize>,
}

/// The sizes of one frame in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameSize {
    /// As it stands in the file.
    pub compressed: u32,
    /// What it decompresses to; 0 for a skippable frame.
    pub plain: u32,
}

impl SeekTable {
    /// The frames' sizes in file order.
    #[must_use]
    pub fn frames(&self) -> &[FrameSize] {
        &self.frames
    }

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
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let too_many = || Error::new(ErrorKind::Unsupported, "too many frames for a seek table");
        let frames = self.frames.len();
        if frames > MAX_FRAMES {
            return Err(too_many());
        }
        let mut data = Vec::with_capacity(frames.saturating_mul(8).saturating_add(FOOTER_SIZE));
        for frame in &self.frames {
            data.extend_from_slice(&frame.compressed.to_le_bytes());
            data.extend_from_slice(&frame.plain.to_le_bytes());
        }
        data.extend_from_slice(&u32::try_from(frames).map_err(|_| too_many())?.to_le_bytes());
        data.push(0);
        data.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
        let mut bytes = Vec::with_capacity(data.len().saturating_add(SKIPPABLE_HEADER_SIZE));
        skippable(&mut bytes, SEEK_TABLE_MAGIC, &data)?;
        Ok(bytes)
    }

    /// How many bytes the whole skippable frame has, told from a file's last [`FOOTER_SIZE`]
    /// bytes; `None` if the file has no seek table.
    #[must_use]
    pub fn size_from_footer(footer: &[u8]) -> Option<u64> {
        let (_, (frames, entry)) = all_consuming(end).parse(footer).ok()?;
        let entries = u64::from(frames).checked_mul(entry)?;
        entries.checked_add(SKIPPABLE_HEADER_SIZE.saturating_add(FOOTER_SIZE) as u64)
    }

    /// Parses a whole table frame, as many bytes as [`size_from_footer`](Self::size_from_footer)
    /// said.
    ///
    /// # Errors
    /// [`ErrorKind::Container`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (_, frames) = table(bytes).map_err(|_| damaged(0, "wrong seek table"))?;
        Ok(Self { frames })
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

/// Number of frames, and bytes in an entry.
fn end(input: &[u8]) -> IResult<&[u8], (u32, u64)> {
    let (input, frames) = le_u32(input)?;
    let (input, descriptor) = le_u8(input)?;
    let (rest, magic) = le_u32(input)?;
    let known = magic == SEEKABLE_MAGIC && descriptor & 0x7c == 0 && frames as usize <= MAX_FRAMES;
    if !known {
        return Err(nom::Err::Error(nom::error::Error::new(
            input,
            nom::error::ErrorKind::Verify,
        )));
    }
    Ok((rest, (frames, if descriptor & 0x80 == 0 { 8 } else { 12 })))
}

fn table(bytes: &[u8]) -> IResult<&[u8], Vec<FrameSize>> {
    let wrong = || nom::Err::Error(nom::error::Error::new(bytes, nom::error::ErrorKind::Verify));
    let split = bytes
        .len()
        .checked_sub(FOOTER_SIZE)
        .and_then(|at| bytes.split_at_checked(at));
    let (body, footer) = split.ok_or_else(wrong)?;
    let (_, (frames, entry)) = all_consuming(end).parse(footer)?;
    let (body, magic) = le_u32(body)?;
    let (body, length) = le_u32(body)?;
    let data = bytes.len().saturating_sub(SKIPPABLE_HEADER_SIZE);
    let expected = u64::from(frames).saturating_mul(entry);
    if magic != SEEK_TABLE_MAGIC || length as usize != data || body.len() as u64 != expected {
        return Err(wrong());
    }
    let frame = |input| {
        let (input, (compressed, plain)) = (le_u32, le_u32).parse(input)?;
        let (input, _) = nom::bytes::complete::take(entry.saturating_sub(8)).parse(input)?;
        Ok((input, FrameSize { compressed, plain }))
    };
    all_consuming(count(frame, frames as usize)).parse(body)
}
