//! Replies in the transmission phase.
//!
//! proto.md, sections "Simple reply message", "Structured reply chunk message" and "Structured
//! reply types".

use fleece_plain_text::words_of;
use nom::IResult;
use nom::Parser;
use nom::bytes::complete::take;
use nom::multi::many1;
use nom::number::complete::{be_u16, be_u32, be_u64};
use nom::sequence::pair;

use super::{MAX_STRING, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC, chunk, state, whole};
use crate::error::{Errno, Error};
use crate::extent::Extent;

/// Bytes of a reply's magic, which tells how it goes on.
pub(crate) const MAGIC_SIZE: usize = 4;
/// Bytes of a simple reply after its magic.
pub(crate) const SIMPLE_SIZE: usize = 12;
/// Bytes of a chunk's header after its magic.
pub(crate) const CHUNK_SIZE: usize = 16;
/// Bytes of the offset at the start of a data chunk.
pub(crate) const OFFSET_SIZE: u32 = 8;
/// Bytes of the payload of a hole chunk.
pub(crate) const HOLE_SIZE: u32 = 12;
/// Largest payload of an error chunk: number, length of the message (16 bits), message, offset.
pub(crate) const MAX_ERROR_PAYLOAD: u32 = 4 + 2 + 0xffff + 8;

/// Which kind of reply begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyStyle {
    Simple,
    Structured,
}

/// A simple reply; the data of a read follows it if `errno` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SimpleReply {
    pub(crate) errno: Option<Errno>,
    pub(crate) cookie: u64,
}

/// The header of one chunk of a structured reply; `length` bytes of payload follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkHeader {
    pub(crate) done: bool,
    pub(crate) kind: u16,
    pub(crate) cookie: u64,
    pub(crate) length: u32,
}

/// An area that reads as zeroes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

/// A simple reply; the data of a read follows it.
pub(crate) fn simple(cookie: u64, errno: Option<Errno>) -> Vec<u8> {
    let mut bytes = SIMPLE_REPLY_MAGIC.to_be_bytes().to_vec();
    bytes.extend(errno.map_or(0, Errno::to_wire).to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes
}

/// The only or last chunk of a reply; `length` bytes of payload follow it.
pub(crate) fn last_chunk(cookie: u64, kind: u16, length: u32) -> Vec<u8> {
    let mut bytes = STRUCTURED_REPLY_MAGIC.to_be_bytes().to_vec();
    bytes.extend(chunk::FLAG_DONE.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

/// The only chunk of a reply that carries `length` bytes of data, which follow it.
pub(crate) fn data_chunk(cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut bytes = last_chunk(
        cookie,
        chunk::OFFSET_DATA,
        length.saturating_add(OFFSET_SIZE),
    );
    bytes.extend(offset.to_be_bytes());
    bytes
}

/// The only chunk of a reply that failed.
pub(crate) fn error_chunk(cookie: u64, errno: Errno, message: &str) -> Vec<u8> {
    let message = message.as_bytes();
    let message = message.get(..MAX_STRING).unwrap_or(message);
    let length = u16::try_from(message.len()).unwrap_or(0);
    let mut bytes = last_chunk(cookie, chunk::ERROR, u32::from(length).saturating_add(6));
    bytes.extend(errno.to_wire().to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(message);
    bytes
}

/// The only chunk of a reply to a block status request. No extent may exceed 32 bits.
pub(crate) fn status_chunk(cookie: u64, context: u32, extents: &[Extent]) -> Vec<u8> {
    let mut payload = context.to_be_bytes().to_vec();
    for extent in extents {
        let hole = if extent.hole { state::HOLE } else { 0 };
        let zero = if extent.zero { state::ZERO } else { 0 };
        payload.extend(
            u32::try_from(extent.length)
                .unwrap_or(u32::MAX)
                .to_be_bytes(),
        );
        payload.extend((hole | zero).to_be_bytes());
    }
    let length = u32::try_from(payload.len()).unwrap_or(0);
    let mut bytes = last_chunk(cookie, chunk::BLOCK_STATUS, length);
    bytes.extend(payload);
    bytes
}

pub(crate) fn parse_magic(bytes: &[u8]) -> Result<ReplyStyle, Error> {
    match whole(be_u32, bytes) {
        Some(SIMPLE_REPLY_MAGIC) => Ok(ReplyStyle::Simple),
        Some(STRUCTURED_REPLY_MAGIC) => Ok(ReplyStyle::Structured),
        _ => Err(Error::protocol(format!(
            "not the magic number of a reply: {bytes:02x?}"
        ))),
    }
}

pub(crate) fn parse_simple(bytes: &[u8]) -> Result<SimpleReply, Error> {
    let (error, cookie) = whole(pair(be_u32, be_u64), bytes)
        .ok_or_else(|| Error::protocol("a simple reply of the wrong length"))?;
    let errno = (error != 0).then(|| Errno::from_wire(error));
    Ok(SimpleReply { errno, cookie })
}

pub(crate) fn parse_chunk(bytes: &[u8]) -> Result<ChunkHeader, Error> {
    let (flags, kind, cookie, length) = whole((be_u16, be_u16, be_u64, be_u32), bytes)
        .ok_or_else(|| Error::protocol("a chunk header of the wrong length"))?;
    Ok(ChunkHeader {
        done: flags & chunk::FLAG_DONE != 0,
        kind,
        cookie,
        length,
    })
}

pub(crate) fn parse_offset(bytes: &[u8]) -> Result<u64, Error> {
    whole(be_u64, bytes).ok_or_else(|| Error::protocol("a data chunk without an offset"))
}

pub(crate) fn parse_hole(bytes: &[u8]) -> Result<Hole, Error> {
    let (offset, length) = whole(pair(be_u64, be_u32), bytes)
        .ok_or_else(|| Error::protocol("a hole chunk of the wrong length"))?;
    Ok(Hole { offset, length })
}

/// The error number and the server's message (empty if it sent none).
pub(crate) fn parse_error(kind: u16, bytes: &[u8]) -> Result<(Errno, String), Error> {
    let malformed = || Error::protocol("a malformed error chunk");
    let (after, (error, message)) = error_fields(bytes).map_err(|_| malformed())?;
    if kind == chunk::ERROR_OFFSET && after.len() != OFFSET_SIZE as usize {
        return Err(malformed());
    }
    Ok((Errno::from_wire(error), words_of(message)))
}

/// The id of the metadata context and its extents; there is at least one, and none is empty.
pub(crate) fn parse_status(bytes: &[u8]) -> Result<(u32, Vec<Extent>), Error> {
    let extent = pair(be_u32, be_u32).map(|(length, flags)| Extent {
        length: length.into(),
        hole: flags & state::HOLE != 0,
        zero: flags & state::ZERO != 0,
    });
    let (context, extents) = whole(pair(be_u32, many1(extent)), bytes)
        .ok_or_else(|| Error::protocol("a malformed block status chunk"))?;
    if extents.iter().any(|extent| extent.length == 0) {
        Err(Error::protocol("a block status extent of length 0"))
    } else {
        Ok((context, extents))
    }
}

fn error_fields(input: &[u8]) -> IResult<&[u8], (u32, &[u8])> {
    let (input, (error, length)) = pair(be_u32, be_u16).parse(input)?;
    let (input, message) = take(length).parse(input)?;
    Ok((input, (error, message)))
}
