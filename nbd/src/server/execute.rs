//! One request on one export: from its bytes to the bytes of its reply.

use std::io;

use super::export::max_payload;
use super::negotiation::{Agreement, BASE_ALLOCATION_ID};
use crate::error::Errno;
use crate::extent::Extent;
use crate::protocol::chunk;
use crate::protocol::reply;
use crate::protocol::request::{self, RequestHeader};
use crate::zeroing::Zeroing;

/// Most extents in one reply; 128 KiB on the wire. The client asks again for the rest.
const MAX_EXTENTS: usize = 16 << 10;

/// Executes `request` and leaves the whole reply in `reply`, whose old contents do not matter
/// (a worker uses one buffer for all its replies). `data` is what followed a write.
pub(crate) fn execute(
    agreement: &Agreement,
    request: &RequestHeader,
    data: &[u8],
    reply: &mut Vec<u8>,
) {
    if let Err(failure) = try_execute(agreement, request, data, reply) {
        *reply = if agreement.structured {
            reply::error_chunk(request.cookie, failure.errno, &failure.message)
        } else {
            reply::simple(request.cookie, Some(failure.errno))
        };
    }
}

/// Why a request failed, for the client.
struct Failure {
    errno: Errno,
    message: String,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            errno: Errno::from_io(&error),
            message: error.to_string(),
        }
    }
}

fn refuse(errno: Errno, message: &str) -> Failure {
    Failure {
        errno,
        message: message.to_owned(),
    }
}

fn try_execute(
    agreement: &Agreement,
    request: &RequestHeader,
    data: &[u8],
    reply: &mut Vec<u8>,
) -> Result<(), Failure> {
    check(agreement, request)?;
    let export = &*agreement.export;
    let RequestHeader {
        flags,
        command,
        offset,
        length,
        ..
    } = *request;
    let length = u64::from(length);
    match command {
        request::READ => return read(agreement, request, reply),
        request::BLOCK_STATUS => return block_status(agreement, request, reply),
        request::WRITE => export.write_at(offset, data)?,
        request::TRIM => export.trim(offset, length)?,
        request::WRITE_ZEROES => {
            let zeroing = Zeroing::default()
                .with_keep_allocated(flags & request::FLAG_NO_HOLE != 0)
                .with_only_if_fast(flags & request::FLAG_FAST_ZERO != 0);
            export.write_zeroes(offset, length, zeroing)?;
        }
        _ => export.flush()?,
    }
    if flags & request::FLAG_FUA != 0 && command != request::FLUSH {
        export.flush()?;
    }
    *reply = if agreement.structured {
        reply::last_chunk(request.cookie, chunk::NONE, 0)
    } else {
        reply::simple(request.cookie, None)
    };
    Ok(())
}

fn read(
    agreement: &Agreement,
    request: &RequestHeader,
    reply: &mut Vec<u8>,
) -> Result<(), Failure> {
    let header = if agreement.structured {
        reply::data_chunk(request.cookie, request.offset, request.length)
    } else {
        reply::simple(request.cookie, None)
    };
    let total = usize::try_from(request.length)
        .ok()
        .and_then(|l| l.checked_add(header.len()));
    let too_long = || refuse(Errno::Overflow, "the read is too long");
    // What the buffer holds already need not be cleared: the export fills all of it.
    reply.resize(total.ok_or_else(too_long)?, 0);
    let (start, data) = reply
        .split_at_mut_checked(header.len())
        .ok_or_else(too_long)?;
    start.copy_from_slice(&header);
    Ok(agreement.export.read_at(request.offset, data)?)
}

fn block_status(
    agreement: &Agreement,
    request: &RequestHeader,
    reply: &mut Vec<u8>,
) -> Result<(), Failure> {
    let length = u64::from(request.length);
    let found = agreement.export.block_status(request.offset, length)?;
    let most = match request.flags & request::FLAG_REQ_ONE {
        0 => MAX_EXTENTS,
        _ => 1,
    };
    let mut extents = Vec::new();
    let mut rest = length;
    for extent in found.into_iter().take(most) {
        if rest == 0 {
            break;
        }
        let length = extent.length.min(rest);
        rest = rest.saturating_sub(length);
        extents.push(Extent { length, ..extent });
    }
    if extents.is_empty() || extents.iter().any(|extent| extent.length == 0) {
        return Err(refuse(
            Errno::Io,
            "the export cannot report its block status",
        ));
    }
    *reply = reply::status_chunk(request.cookie, BASE_ALLOCATION_ID, &extents);
    Ok(())
}

/// Refuses what a client must not ask for (proto.md, section "Error values").
fn check(agreement: &Agreement, request: &RequestHeader) -> Result<(), Failure> {
    let export = &*agreement.export;
    let RequestHeader {
        flags,
        command,
        offset,
        length,
        ..
    } = *request;
    let invalid = |why| Err(refuse(Errno::Invalid, why));

    let own_flags = match command {
        request::READ if agreement.structured => request::FLAG_DF,
        request::READ | request::WRITE | request::FLUSH | request::TRIM => 0,
        request::WRITE_ZEROES => request::FLAG_NO_HOLE | request::FLAG_FAST_ZERO,
        request::BLOCK_STATUS if agreement.base_allocation => request::FLAG_REQ_ONE,
        request::BLOCK_STATUS => return invalid("no metadata context was agreed on"),
        _ => return invalid("this server does not support the request"),
    };
    if flags & !(own_flags | request::FLAG_FUA) != 0 {
        return invalid("a flag that is not valid for the request");
    }
    if command == request::FLUSH {
        return Ok(());
    }

    let writes = matches!(command, request::WRITE | request::WRITE_ZEROES);
    if export.read_only() && (writes || command == request::TRIM) {
        return Err(refuse(Errno::Permission, "the export is read-only"));
    }
    let carries_data = matches!(command, request::READ | request::WRITE);
    if carries_data && length > max_payload(export) {
        return invalid("the range is longer than the maximum payload");
    }
    match offset.checked_add(length.into()) {
        _ if length == 0 => return invalid("the range is empty"),
        Some(end) if end <= export.size() => {}
        _ if writes => return Err(refuse(Errno::NoSpace, "the range ends after the export")),
        _ => return invalid("the range ends after the export"),
    }
    let minimum = u64::from(export.block_sizes().minimum);
    let aligned = |value: u64| value.checked_rem(minimum) == Some(0);
    if aligned(offset) && aligned(length.into()) {
        Ok(())
    } else {
        invalid("the range is not a multiple of the minimum block size")
    }
}

#[cfg(test)]
mod tests;
