//! Receives replies straight into the buffers of the requests.

use std::io::Read;
use std::ops::Range;

use super::requests::{Operation, Request, Requests};
use crate::error::{Errno, Error, ErrorKind};
use crate::protocol::chunk;
use crate::protocol::reply::{
    self, CHUNK_SIZE, ChunkHeader, HOLE_SIZE, MAGIC_SIZE, MAX_ERROR_PAYLOAD, OFFSET_SIZE,
    ReplyStyle, SIMPLE_SIZE,
};

/// Largest block status chunk: a context id, and 8 bytes for each of 2 Mi extents.
///
/// QEMU sends at most 1 MiB of extents, nbdkit at most 1 Mi extents; the protocol has no limit.
const MAX_STATUS_PAYLOAD: u32 = 4 + 8 * (2 << 20);

/// Receives replies until the connection ends, and returns why it did.
pub(crate) fn receive_all(mut input: impl Read, requests: &Requests) -> Error {
    loop {
        if let Err(error) = receive_one(&mut input, requests) {
            return error;
        }
    }
}

/// Receives one simple reply or one chunk of a structured reply.
fn receive_one(input: &mut impl Read, requests: &Requests) -> Result<(), Error> {
    let mut magic = [0; MAGIC_SIZE];
    read_exact(input, &mut magic)?;
    match reply::parse_magic(&magic)? {
        ReplyStyle::Simple => receive_simple(input, requests),
        ReplyStyle::Structured => receive_chunk(input, requests),
    }
}

fn receive_simple(input: &mut impl Read, requests: &Requests) -> Result<(), Error> {
    let mut header = [0; SIMPLE_SIZE];
    read_exact(input, &mut header)?;
    let simple = reply::parse_simple(&header)?;
    let mut request = requests.take(simple.cookie)?;
    if let Some(errno) = simple.errno {
        request.finish(Err(server_error(errno, "")));
        return Ok(());
    }
    let received = match &mut request.operation {
        Operation::Read { buffer, filled, .. } => {
            read_exact(input, buffer).and_then(|()| filled.add(0..buffer.len()))
        }
        Operation::NoData => Ok(()),
        Operation::Status { .. } => {
            Err(Error::protocol("a simple reply to a block status request"))
        }
    };
    finish_or_fail(request, received)
}

fn receive_chunk(input: &mut impl Read, requests: &Requests) -> Result<(), Error> {
    let mut header = [0; CHUNK_SIZE];
    read_exact(input, &mut header)?;
    let header = reply::parse_chunk(&header)?;
    let mut request = requests.take(header.cookie)?;
    let received = receive_payload(input, &header, &mut request);
    match received {
        Ok(()) if !header.done => {
            requests.put_back(header.cookie, request);
            Ok(())
        }
        Ok(()) => {
            let complete = check_complete(&request);
            finish_or_fail(request, complete)
        }
        Err(error) => finish_or_fail(request, Err(error)),
    }
}

/// Ends a request; an error here means that the stream of replies cannot be followed any more.
fn finish_or_fail(request: Request, received: Result<(), Error>) -> Result<(), Error> {
    request.finish(received.clone());
    received
}

fn receive_payload(
    input: &mut impl Read,
    header: &ChunkHeader,
    request: &mut Request,
) -> Result<(), Error> {
    match (header.kind, &mut request.operation) {
        (chunk::NONE, _) if header.done && header.length == 0 => Ok(()),
        (
            chunk::OFFSET_DATA,
            Operation::Read {
                offset,
                buffer,
                filled,
            },
        ) => {
            let length = header.length.checked_sub(OFFSET_SIZE).ok_or_else(outside)?;
            let mut at = [0; OFFSET_SIZE as usize];
            read_exact(input, &mut at)?;
            let range = range_within(*offset, buffer, reply::parse_offset(&at)?, length)?;
            filled.add(range.clone())?;
            read_exact(input, buffer.get_mut(range).ok_or_else(outside)?)
        }
        (
            chunk::OFFSET_HOLE,
            Operation::Read {
                offset,
                buffer,
                filled,
            },
        ) => {
            let hole = reply::parse_hole(&read_payload(input, header, HOLE_SIZE)?)?;
            let range = range_within(*offset, buffer, hole.offset, hole.length)?;
            filled.add(range.clone())?;
            buffer.get_mut(range).ok_or_else(outside)?.fill(0);
            Ok(())
        }
        (chunk::BLOCK_STATUS, Operation::Status { context, extents }) => {
            let (id, descriptors) =
                reply::parse_status(&read_payload(input, header, MAX_STATUS_PAYLOAD)?)?;
            if Some(id) != *context || !extents.is_empty() {
                return Err(Error::protocol(
                    "a block status chunk that was not asked for",
                ));
            }
            *extents = descriptors;
            Ok(())
        }
        (kind, _) if kind & chunk::ERROR_BIT != 0 => {
            let (errno, message) =
                reply::parse_error(kind, &read_payload(input, header, MAX_ERROR_PAYLOAD)?)?;
            request
                .error
                .get_or_insert_with(|| server_error(errno, &message));
            Ok(())
        }
        (kind, _) => Err(Error::protocol(format!(
            "an unexpected chunk of type {kind}"
        ))),
    }
}

/// A successful reply must have brought all that was asked for.
fn check_complete(request: &Request) -> Result<(), Error> {
    let complete = match &request.operation {
        Operation::Read { buffer, filled, .. } => filled.is_complete(buffer.len()),
        Operation::NoData => true,
        Operation::Status { extents, .. } => !extents.is_empty(),
    };
    if complete || request.error.is_some() {
        Ok(())
    } else {
        Err(Error::protocol(
            "the server ended a reply that is not complete",
        ))
    }
}

/// Where in the buffer of a read at `start` a chunk belongs.
fn range_within(
    start: u64,
    buffer: &[u8],
    offset: u64,
    length: u32,
) -> Result<Range<usize>, Error> {
    let from = offset
        .checked_sub(start)
        .and_then(|from| usize::try_from(from).ok());
    let to = from.and_then(|from| from.checked_add(usize::try_from(length).ok()?));
    match (from, to) {
        (Some(from), Some(to)) if length > 0 && to <= buffer.len() => Ok(from..to),
        _ => Err(outside()),
    }
}

fn outside() -> Error {
    Error::protocol("a chunk of data outside the range that was asked for")
}

/// Reads the payload of a chunk that may have up to `limit` bytes.
fn read_payload(input: &mut impl Read, header: &ChunkHeader, limit: u32) -> Result<Vec<u8>, Error> {
    if header.length > limit {
        let context = format!(
            "a chunk of type {} with {} bytes",
            header.kind, header.length
        );
        return Err(Error::protocol(context));
    }
    let mut payload = Vec::new();
    let read = input.take(header.length.into()).read_to_end(&mut payload);
    match read {
        Ok(count) if u64::try_from(count) == Ok(header.length.into()) => Ok(payload),
        Ok(_) => Err(connection_error(std::io::ErrorKind::UnexpectedEof.into())),
        Err(error) => Err(connection_error(error)),
    }
}

fn read_exact(input: &mut impl Read, buffer: &mut [u8]) -> Result<(), Error> {
    input.read_exact(buffer).map_err(connection_error)
}

fn connection_error(error: std::io::Error) -> Error {
    Error::connection("waiting for replies", error)
}

fn server_error(errno: Errno, message: &str) -> Error {
    let context = if message.is_empty() {
        format!("the NBD server answered {errno}")
    } else {
        format!("the NBD server answered {errno}: {message}")
    };
    Error::new(ErrorKind::Server(errno), context)
}

#[cfg(test)]
mod tests;
