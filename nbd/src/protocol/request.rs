//! Requests (proto.md, sections "Request message" and "Request types").

use nom::bytes::complete::tag;
use nom::number::complete::{be_u16, be_u32, be_u64};
use nom::sequence::preceded;

use super::{REQUEST_MAGIC, whole};
use crate::error::Error;

pub(crate) const READ: u16 = 0;
pub(crate) const WRITE: u16 = 1;
pub(crate) const DISCONNECT: u16 = 2;
pub(crate) const FLUSH: u16 = 3;
pub(crate) const TRIM: u16 = 4;
pub(crate) const WRITE_ZEROES: u16 = 6;
pub(crate) const BLOCK_STATUS: u16 = 7;

/// Flag of any request: what it wrote is on stable storage before the reply.
pub(crate) const FLAG_FUA: u16 = 1 << 0;
/// Flag of `WRITE_ZEROES`: the area stays allocated.
pub(crate) const FLAG_NO_HOLE: u16 = 1 << 1;
/// Flag of `READ`: one chunk of data only.
pub(crate) const FLAG_DF: u16 = 1 << 2;
/// Flag of `BLOCK_STATUS`: one extent only.
pub(crate) const FLAG_REQ_ONE: u16 = 1 << 3;
/// Flag of `WRITE_ZEROES`: rather fail than be as slow as writing.
pub(crate) const FLAG_FAST_ZERO: u16 = 1 << 4;

/// Bytes of a request without its payload.
pub(crate) const REQUEST_SIZE: usize = 28;

/// A request without the data that follows a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestHeader {
    pub(crate) flags: u16,
    pub(crate) command: u16,
    pub(crate) cookie: u64,
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

impl RequestHeader {
    pub(crate) fn new(command: u16, cookie: u64, offset: u64, length: u32) -> Self {
        Self {
            flags: 0,
            command,
            cookie,
            offset,
            length,
        }
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(REQUEST_SIZE);
        bytes.extend(REQUEST_MAGIC.to_be_bytes());
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(self.command.to_be_bytes());
        bytes.extend(self.cookie.to_be_bytes());
        bytes.extend(self.offset.to_be_bytes());
        bytes.extend(self.length.to_be_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let magic = REQUEST_MAGIC.to_be_bytes();
        let fields = preceded(tag(&magic[..]), (be_u16, be_u16, be_u64, be_u64, be_u32));
        let (flags, command, cookie, offset, length) = whole(fields, bytes)
            .ok_or_else(|| Error::protocol("not the magic number of a request"))?;
        Ok(Self {
            flags,
            command,
            cookie,
            offset,
            length,
        })
    }
}
