//! A reader: fills chunks, one at a time, when the gate lets it in.

use crossbeam_channel::Receiver;

use super::{Read, Shared};
use crate::report::Counters;

pub(super) fn run(shared: &Shared, reads: &Receiver<Read>) {
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
        let filled = source.read(offset, buffer).and_then(|buffer| {
            // The bytes are ours now: the source need not keep them.
            source.release(offset, length)?;
            Ok(buffer)
        });
        drop(permit);
        match filled {
            Ok(buffer) => {
                Counters::add(&shared.counters.read, length);
                let _ = reply.send(buffer);
            }
            Err(error) => return shared.fail(error),
        }
    }
}
