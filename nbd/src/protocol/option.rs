//! Options: what a client asks for before it reads and writes (proto.md, section "Option types").

use nom::bytes::complete::tag;
use nom::multi::{length_count, length_data};
use nom::number::complete::{be_u16, be_u32};
use nom::sequence::preceded;

use super::{MAX_STRING, OPTION_MAGIC, info, whole};
use crate::error::{Error, ErrorKind};

pub(crate) const EXPORT_NAME: u32 = 1;
pub(crate) const ABORT: u32 = 2;
pub(crate) const LIST: u32 = 3;
pub(crate) const INFO: u32 = 6;
pub(crate) const GO: u32 = 7;
pub(crate) const STRUCTURED_REPLY: u32 = 8;
pub(crate) const LIST_META_CONTEXT: u32 = 9;
pub(crate) const SET_META_CONTEXT: u32 = 10;

/// Bytes of an option without its payload.
pub(crate) const OPTION_SIZE: usize = 16;

/// Longest payload of an option that a server reads: an export's name and a dozen queries for
/// metadata contexts, each as long as a string may be. Clients in the field send 100 bytes.
pub(crate) const MAX_OPTION: usize = 64 << 10;

/// What `INFO` and `GO` ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InfoRequest<'a> {
    pub(crate) export: &'a str,
    /// Pieces of information that the client would like.
    pub(crate) wanted: Vec<u16>,
}

/// What `LIST_META_CONTEXT` and `SET_META_CONTEXT` ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ContextRequest<'a> {
    pub(crate) export: &'a str,
    pub(crate) queries: Vec<&'a [u8]>,
}

/// An option with its payload.
pub(crate) fn option(option: u32, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(payload.len().saturating_add(OPTION_SIZE));
    bytes.extend(OPTION_MAGIC.to_be_bytes());
    bytes.extend(option.to_be_bytes());
    put_string(&mut bytes, payload)?;
    Ok(bytes)
}

/// Payload of `INFO` or `GO`: the export, and the wish to hear its block sizes.
pub(crate) fn info_request(export: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    put_name(&mut bytes, export)?;
    bytes.extend(1u16.to_be_bytes());
    bytes.extend(info::BLOCK_SIZE.to_be_bytes());
    Ok(bytes)
}

/// Payload of `SET_META_CONTEXT`: the export, and the name of one context as the only query.
pub(crate) fn context_request(export: &str, context: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    put_name(&mut bytes, export)?;
    bytes.extend(1u32.to_be_bytes());
    put_name(&mut bytes, context)?;
    Ok(bytes)
}

/// An option's number, and the length of the payload that follows.
pub(crate) fn parse_option(bytes: &[u8]) -> Result<(u32, u32), Error> {
    let magic = OPTION_MAGIC.to_be_bytes();
    whole(preceded(tag(&magic[..]), (be_u32, be_u32)), bytes)
        .ok_or_else(|| Error::protocol("not the magic number of an option"))
}

/// Payload of `INFO` and `GO`. `None` if it is malformed.
pub(crate) fn parse_info_request(payload: &[u8]) -> Option<InfoRequest<'_>> {
    let (name, wanted) = whole((length_data(be_u32), length_count(be_u16, be_u16)), payload)?;
    Some(InfoRequest {
        export: parse_name(name)?,
        wanted,
    })
}

/// Payload of `LIST_META_CONTEXT` and `SET_META_CONTEXT`. `None` if it is malformed.
pub(crate) fn parse_context_request(payload: &[u8]) -> Option<ContextRequest<'_>> {
    let queries = length_count(be_u32, length_data(be_u32));
    let (name, queries) = whole((length_data(be_u32), queries), payload)?;
    let sound = queries
        .iter()
        .all(|query: &&[u8]| query.len() <= MAX_STRING);
    sound.then_some(ContextRequest {
        export: parse_name(name)?,
        queries,
    })
}

/// The name of an export. `None` if it is not one.
pub(crate) fn parse_name(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name)
        .ok()
        .filter(|name| name.len() <= MAX_STRING)
}

fn put_name(bytes: &mut Vec<u8>, name: &str) -> Result<(), Error> {
    if name.len() > MAX_STRING {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            format!(
                "a name of {} bytes; the protocol allows {MAX_STRING}",
                name.len()
            ),
        ));
    }
    put_string(bytes, name.as_bytes())
}

fn put_string(bytes: &mut Vec<u8>, string: &[u8]) -> Result<(), Error> {
    let length = u32::try_from(string.len())
        .map_err(|_| Error::new(ErrorKind::InvalidRequest, "an option of more than 4 GiB"))?;
    bytes.extend(length.to_be_bytes());
    bytes.extend(string);
    Ok(())
}
