//! A reader: fills chunks, one at a time, when the gate lets it in, in pieces as large as the pace.

use std::time::Instant;

use crossbeam_channel::Receiver;
use fleece_fleecing::Step;

use super::{Kind, Read, Run, Shared};
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
            runs,
            buffer,
            reply,
        }) = reads.recv()
        else {
            return;
        };
        let length = buffer.len() as u64;
        let filled = fill(source.as_ref(), &runs, buffer, &permit, &mut piece);
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

/// Reads what is data of `runs`, resting after each piece.
fn fill(
    source: &dyn Source,
    runs: &[Run],
    mut buffer: Vec<u8>,
    permit: &Permit<'_>,
    piece: &mut Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let mut done = 0_usize;
    for run in runs.iter().filter(|run| run.kind == Kind::Data) {
        let mut rest = run.offset..run.offset.saturating_add(run.length);
        while !rest.is_empty() {
            let left = rest.end.saturating_sub(rest.start);
            let next = permit
                .piece()
                .clamp(1, usize::try_from(left).unwrap_or(usize::MAX));
            let start = Instant::now();
            if next == buffer.len() {
                buffer = source.read(rest.start, buffer)?;
            } else {
                piece.resize(next, 0);
                *piece = source.read(rest.start, std::mem::take(piece))?;
                let part = buffer.get_mut(done..done.saturating_add(next));
                if let (Some(part), Some(read)) = (part, piece.get(..next)) {
                    part.copy_from_slice(read);
                }
            }
            done = done.saturating_add(next);
            rest.start = rest.start.saturating_add(next as u64);
            permit.rest(next, start.elapsed());
        }
        // The bytes are ours now: the source need not keep them.
        source.release(run.offset, run.length)?;
    }
    Ok(buffer)
}
