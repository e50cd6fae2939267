//! A reader: fills chunks, one at a time, when the gate lets it in, in pieces as large as the pace.

use std::time::Instant;

use crossbeam_channel::Receiver;
use fleece_fleecing::Step;

use super::{Read, Shared};
use crate::pace::gate::Permit;
use crate::pipeline::source::Source;
use crate::report::Counters;
use crate::report::error::Error;

pub(super) fn run(shared: &Shared, reads: &Receiver<Read>) {
    let mut piece = Vec::new();
    // The place behind the gate is taken before the read, so that with few places the reads are
    // done in order and the encoder gets what it waits for first.
    while let Some(permit) = shared.gate.enter() {
        let Ok(Read {
            source,
            offset,
            buffer,
            reply,
        }) = reads.recv()
        else {
            return;
        };
        let length = buffer.len() as u64;
        let filled =
            fill(source.as_ref(), offset, buffer, &permit, &mut piece).and_then(|buffer| {
                // The bytes are ours now: the source need not keep them.
                source.release(offset, length)?;
                Ok(buffer)
            });
        drop(permit);
        match filled {
            Ok(buffer) => {
                Step::Read.reached();
                Counters::add(&shared.counters.read, length);
                let _ = reply.send(buffer);
            }
            Err(error) => return shared.fail(error),
        }
    }
}

/// Reads all of `buffer`, resting after each piece.
fn fill(
    source: &dyn Source,
    offset: u64,
    mut buffer: Vec<u8>,
    permit: &Permit<'_>,
    piece: &mut Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let length = buffer.len();
    let mut done = 0;
    while done < length {
        let next = permit.piece().clamp(1, length.saturating_sub(done));
        let start = Instant::now();
        if next == length {
            buffer = source.read(offset, buffer)?;
        } else {
            piece.resize(next, 0);
            *piece = source.read(offset.saturating_add(done as u64), std::mem::take(piece))?;
            let part = buffer.get_mut(done..done.saturating_add(next));
            if let (Some(part), Some(read)) = (part, piece.get(..next)) {
                part.copy_from_slice(read);
            }
        }
        done = done.saturating_add(next);
        permit.rest(next, start.elapsed());
    }
    Ok(buffer)
}
