//! Replies to options (proto.md, section "Option reply types").

use fleece_plain_text::words_of;
use nom::Parser;
use nom::bytes::complete::tag;
use nom::combinator::{map_opt, rest};
use nom::multi::length_data;
use nom::number::complete::{be_u16, be_u32, be_u64};
use nom::sequence::preceded;

use super::{MAX_STRING, OPTION_REPLY_MAGIC, info, whole};
use crate::error::Error;
use crate::sizes::BlockSizes;

pub(crate) const ACK: u32 = 1;
pub(crate) const SERVER: u32 = 2;
pub(crate) const INFO: u32 = 3;
pub(crate) const META_CONTEXT: u32 = 4;
/// Set in every reply that means failure.
pub(crate) const ERROR_BIT: u32 = 1 << 31;
pub(crate) const ERR_UNSUP: u32 = ERROR_BIT | 1;
pub(crate) const ERR_POLICY: u32 = ERROR_BIT | 2;
pub(crate) const ERR_INVALID: u32 = ERROR_BIT | 3;
pub(crate) const ERR_TLS_REQD: u32 = ERROR_BIT | 5;
pub(crate) const ERR_UNKNOWN: u32 = ERROR_BIT | 6;
pub(crate) const ERR_SHUTDOWN: u32 = ERROR_BIT | 7;
pub(crate) const ERR_BLOCK_SIZE_REQD: u32 = ERROR_BIT | 8;
pub(crate) const ERR_TOO_BIG: u32 = ERROR_BIT | 9;

/// Bytes of a reply without its payload.
pub(crate) const OPTION_REPLY_SIZE: usize = 20;
/// Bytes of the answer to the option `EXPORT_NAME`, which has a form of its own.
pub(crate) const EXPORT_NAME_REPLY_SIZE: usize = 10;
/// Bytes of zeroes after it, unless their omission was agreed on.
pub(crate) const EXPORT_NAME_ZEROES: usize = 124;

/// Longest reply that a client reads: a name and a description of an export, each as long as a
/// string may be, and the length of the name.
const MAX_OPTION_REPLY: usize = 4 + 2 * MAX_STRING;

/// One piece of information about an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Info {
    Export {
        size: u64,
        flags: u16,
    },
    BlockSize(BlockSizes),
    /// Something that we did not ask for and do not need.
    Other,
}

/// A reply with its payload, which is short: names, numbers and texts of our own.
pub(crate) fn option_reply(option: u32, kind: u32, payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..MAX_OPTION_REPLY).unwrap_or(payload);
    let length = u32::try_from(payload.len()).unwrap_or(0);
    let mut bytes = OPTION_REPLY_MAGIC.to_be_bytes().to_vec();
    bytes.extend(option.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Payload of an `INFO` reply with the export's size and transmission flags.
pub(crate) fn export_info(size: u64, flags: u16) -> Vec<u8> {
    let mut bytes = info::EXPORT.to_be_bytes().to_vec();
    bytes.extend(export_name_reply(size, flags));
    bytes
}

/// Payload of an `INFO` reply with the export's block sizes.
pub(crate) fn block_size_info(sizes: BlockSizes) -> Vec<u8> {
    let mut bytes = info::BLOCK_SIZE.to_be_bytes().to_vec();
    for size in [sizes.minimum, sizes.preferred, sizes.max_payload] {
        bytes.extend(size.to_be_bytes());
    }
    bytes
}

/// Payload of an `INFO` reply with the export's name.
pub(crate) fn name_info(name: &str) -> Vec<u8> {
    [&info::NAME.to_be_bytes(), name.as_bytes()].concat()
}

/// Payload of a `SERVER` reply to `LIST`.
pub(crate) fn server(name: &str) -> Vec<u8> {
    let length = u32::try_from(name.len()).unwrap_or(0);
    [&length.to_be_bytes(), name.as_bytes()].concat()
}

/// Payload of a `META_CONTEXT` reply.
pub(crate) fn meta_context(id: u32, name: &str) -> Vec<u8> {
    [&id.to_be_bytes(), name.as_bytes()].concat()
}

/// Answer to `EXPORT_NAME`, without its zeroes.
pub(crate) fn export_name_reply(size: u64, flags: u16) -> Vec<u8> {
    [&size.to_be_bytes()[..], &flags.to_be_bytes()].concat()
}

/// Header of a reply to `option`: its kind, and the length of its payload, which is bounded.
pub(crate) fn parse_option_reply(option: u32, bytes: &[u8]) -> Result<(u32, usize), Error> {
    let magic = OPTION_REPLY_MAGIC.to_be_bytes();
    let (for_option, kind, length) =
        whole(preceded(tag(&magic[..]), (be_u32, be_u32, be_u32)), bytes)
            .ok_or_else(|| Error::protocol("not the magic number of a reply to an option"))?;
    if for_option != option {
        return Err(Error::protocol(format!(
            "a reply to option {for_option} instead of {option}"
        )));
    }
    match usize::try_from(length) {
        Ok(length) if length <= MAX_OPTION_REPLY => Ok((kind, length)),
        _ => Err(Error::protocol(format!(
            "a reply of {length} bytes to option {option}"
        ))),
    }
}

/// Payload of an `INFO` reply.
pub(crate) fn parse_info(payload: &[u8]) -> Result<Info, Error> {
    let export = (be_u64, be_u16).map(|(size, flags)| Info::Export { size, flags });
    let block_size = map_opt(
        (be_u32, be_u32, be_u32),
        |(minimum, preferred, max_payload)| {
            BlockSizes::new(minimum, preferred, max_payload).map(Info::BlockSize)
        },
    );
    let parsed = match whole((be_u16, rest), payload) {
        Some((info::EXPORT, payload)) => whole(export, payload),
        Some((info::BLOCK_SIZE, payload)) => whole(block_size, payload),
        Some(_) => Some(Info::Other),
        None => None,
    };
    parsed.ok_or_else(|| Error::protocol("a malformed piece of information about the export"))
}

/// Payload of a `META_CONTEXT` reply: the context's id and name.
pub(crate) fn parse_meta_context(payload: &[u8]) -> Result<(u32, &[u8]), Error> {
    whole((be_u32, rest), payload).ok_or_else(|| Error::protocol("a malformed metadata context"))
}

/// Payload of a `SERVER` reply to `LIST`: the export's name, fit to be shown.
pub(crate) fn parse_server(payload: &[u8]) -> Result<String, Error> {
    whole((length_data(be_u32), rest), payload)
        .map(|(name, _description)| words_of(name))
        .ok_or_else(|| Error::protocol("a malformed entry in the list of exports"))
}

/// Answer to `EXPORT_NAME`: size and transmission flags.
pub(crate) fn parse_export_name_reply(bytes: &[u8]) -> Result<(u64, u16), Error> {
    whole((be_u64, be_u16), bytes).ok_or_else(|| Error::protocol("a short answer to EXPORT_NAME"))
}
