//! Reads a client's requests.

use std::io::{self, Read};

use super::export::{Export, max_payload};
use crate::error::Error;
use crate::protocol::request::{self, REQUEST_SIZE, RequestHeader};

/// Reads the next request without its data. `None` when the client has left.
pub(crate) fn read_header(input: &mut impl Read) -> Result<Option<RequestHeader>, Error> {
    let mut header = [0; REQUEST_SIZE];
    match input.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(broken(error)),
    }
    let request = RequestHeader::parse(&header)?;
    Ok((request.command != request::DISCONNECT).then_some(request))
}

/// Bytes of memory that the data of a request takes, be it read or written.
pub(super) fn data_length(request: &RequestHeader, export: &dyn Export) -> u64 {
    match request.command {
        // More than the maximum is refused without being kept.
        request::READ | request::WRITE if request.length <= max_payload(export) => {
            request.length.into()
        }
        _ => 0,
    }
}

/// Reads the data that belongs to a request, that of a write, into `data`, whose old contents do
/// not matter. Returns whether it all came; if not, the client has left.
pub(crate) fn read_data(
    input: &mut impl Read,
    request: &RequestHeader,
    export: &dyn Export,
    data: &mut Vec<u8>,
) -> Result<bool, Error> {
    if request.command != request::WRITE {
        data.clear();
        return Ok(true);
    }
    let length = u64::from(request.length);
    let kept = data_length(request, export);
    // What the buffer holds already need not be cleared: all of it is received.
    data.resize(usize::try_from(kept).unwrap_or(0), 0);
    let received = if kept == length {
        input.read_exact(data).map(|()| length)
    } else {
        // Too long: the client hears that after it has sent it.
        io::copy(&mut input.take(length), &mut io::sink())
    };
    match received {
        Ok(received) => Ok(received == length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(broken(error)),
    }
}

fn broken(error: io::Error) -> Error {
    Error::connection("reading an NBD client's requests", error)
}
