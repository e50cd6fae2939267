//! The handshake as a client sees it: options out, replies in.
//!
//! proto.md, sections "Newstyle negotiation", "Fixed newstyle negotiation", "Option types" and
//! "Option reply types".

use nom::Parser;
use nom::bytes::complete::tag;
use nom::combinator::{all_consuming, rest};
use nom::multi::length_data;
use nom::number::complete::{be_u16, be_u32, be_u64};

use super::{
    BASE_ALLOCATION, GREETING_MAGIC, MAX_STRING, OLDSTYLE_MAGIC, OPTION_MAGIC, OPTION_REPLY_MAGIC,
    display_text, handshake_flag, info,
};
use crate::error::{Error, ErrorKind};

/// Bytes of the server's greeting.
pub(crate) const GREETING_SIZE: usize = 18;
/// Bytes of the header of a reply to an option.
pub(crate) const OPTION_REPLY_SIZE: usize = 20;
/// Bytes of the answer to the option `EXPORT_NAME`, without its zeroes.
pub(crate) const EXPORT_NAME_REPLY_SIZE: usize = 10;
/// Bytes of zeroes after it, unless their omission was agreed on.
pub(crate) const EXPORT_NAME_ZEROES: usize = 124;

/// Longest reply to an option: a name and a description of an export, each a string of at most
/// [`MAX_STRING`] bytes, and the length of the name.
pub(crate) const MAX_OPTION_REPLY: usize = 4 + 2 * MAX_STRING;

/// One piece of information about an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Info {
    Export {
        size: u64,
        flags: u16,
    },
    BlockSize {
        minimum: u32,
        preferred: u32,
        maximum: u32,
    },
    /// Something that we did not ask for and do not need.
    Other,
}

/// The server's handshake flags. Refuses everything but the fixed newstyle handshake.
pub(crate) fn parse_greeting(bytes: &[u8]) -> Result<u16, Error> {
    let unsupported = |what| Err(Error::new(ErrorKind::Unsupported, what));
    let (_, (magic, style, flags)) = (be_u64::<_, nom::error::Error<_>>, be_u64, be_u16)
        .parse(bytes)
        .map_err(|_| not_nbd())?;
    match (magic, style) {
        (GREETING_MAGIC, OPTION_MAGIC) if flags & handshake_flag::FIXED_NEWSTYLE != 0 => Ok(flags),
        (GREETING_MAGIC, OPTION_MAGIC) => unsupported(
            "the NBD server only has the unfixed newstyle handshake, which cannot report errors",
        ),
        (GREETING_MAGIC, OLDSTYLE_MAGIC) => {
            unsupported("the NBD server uses the oldstyle handshake of before 2010")
        }
        _ => Err(not_nbd()),
    }
}

fn not_nbd() -> Error {
    Error::protocol("what answers there is not an NBD server")
}

/// The client's answer to the greeting.
pub(crate) fn client_flags(server_flags: u16) -> [u8; 4] {
    let ours = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;
    u32::from(server_flags & ours).to_be_bytes()
}

/// An option with its payload.
pub(crate) fn option_request(option: u32, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(payload.len().saturating_add(16));
    bytes.extend(OPTION_MAGIC.to_be_bytes());
    bytes.extend(option.to_be_bytes());
    put_string(&mut bytes, payload)?;
    Ok(bytes)
}

/// Payload of `GO`: the export, and the wish to hear its block sizes.
pub(crate) fn go_payload(export: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    put_name(&mut bytes, export)?;
    bytes.extend(1u16.to_be_bytes());
    bytes.extend(info::BLOCK_SIZE.to_be_bytes());
    Ok(bytes)
}

/// Payload of `SET_META_CONTEXT`: the export, and `base:allocation` as the only query.
pub(crate) fn base_allocation_payload(export: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    put_name(&mut bytes, export)?;
    bytes.extend(1u32.to_be_bytes());
    put_string(&mut bytes, BASE_ALLOCATION.as_bytes())?;
    Ok(bytes)
}

/// Header of a reply to `option`: its kind, and the length of its payload, which is bounded by
/// [`MAX_OPTION_REPLY`].
pub(crate) fn parse_option_reply(option: u32, bytes: &[u8]) -> Result<(u32, usize), Error> {
    let magic = OPTION_REPLY_MAGIC.to_be_bytes();
    let (_, (_, for_option, kind, length)) = all_consuming((
        tag::<_, _, nom::error::Error<_>>(&magic[..]),
        be_u32,
        be_u32,
        be_u32,
    ))
    .parse(bytes)
    .map_err(|_| Error::protocol("not the magic number of a reply to an option"))?;
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
pub(crate) fn parse_info(bytes: &[u8]) -> Result<Info, Error> {
    let malformed = |_| Error::protocol("a malformed piece of information about the export");
    let (payload, kind) = be_u16::<_, nom::error::Error<_>>(bytes).map_err(malformed)?;
    match kind {
        info::EXPORT => all_consuming((be_u64, be_u16))
            .parse(payload)
            .map(|(_, (size, flags))| Info::Export { size, flags })
            .map_err(malformed),
        info::BLOCK_SIZE => all_consuming((be_u32, be_u32, be_u32))
            .parse(payload)
            .map(|(_, (minimum, preferred, maximum))| Info::BlockSize {
                minimum,
                preferred,
                maximum,
            })
            .map_err(malformed),
        _ => Ok(Info::Other),
    }
}

/// Payload of a `META_CONTEXT` reply: the context's id and name.
pub(crate) fn parse_meta_context(bytes: &[u8]) -> Result<(u32, &[u8]), Error> {
    let (_, context) = (be_u32::<_, nom::error::Error<_>>, rest)
        .parse(bytes)
        .map_err(|_| Error::protocol("a malformed metadata context"))?;
    Ok(context)
}

/// Payload of a `SERVER` reply to `LIST`: the export's name.
pub(crate) fn parse_server(bytes: &[u8]) -> Result<String, Error> {
    let (_, name) = length_data(be_u32::<_, nom::error::Error<_>>)
        .parse(bytes)
        .map_err(|_| Error::protocol("a malformed entry in the list of exports"))?;
    Ok(display_text(name))
}

/// Answer to `EXPORT_NAME`: size and transmission flags.
pub(crate) fn parse_export_name_reply(bytes: &[u8]) -> Result<(u64, u16), Error> {
    let (_, reply) = (be_u64::<_, nom::error::Error<_>>, be_u16)
        .parse(bytes)
        .map_err(|_| Error::protocol("a short answer to EXPORT_NAME"))?;
    Ok(reply)
}

fn put_name(bytes: &mut Vec<u8>, name: &str) -> Result<(), Error> {
    if name.len() > MAX_STRING {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            format!(
                "an export name of {} bytes; the protocol allows {MAX_STRING}",
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
