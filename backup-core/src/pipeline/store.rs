//! The store: writes the header and finished extents to the output.

use std::io::Write;

use crossbeam_channel::{Receiver, Sender};
use fleece_vma_format::{Extent, Header, Summary};

use super::Shared;
use crate::{Error, ErrorKind};

/// What the encoder hands over.
pub(super) enum Part {
    Extent(Extent),
    /// Nothing more will come.
    End(Summary),
}

/// Returns the output and the archive's summary if everything was written.
pub(super) fn run<W: Write>(
    shared: &Shared,
    header: &Header,
    mut output: W,
    parts: &Receiver<Part>,
    written: &Sender<Extent>,
) -> Option<(W, Summary)> {
    let mut result = output.write_all(header.as_bytes());
    while result.is_ok() && !shared.is_stopped() {
        // Hung up without an end: the encoder has failed, and its error is the one that counts.
        match parts.recv().ok()? {
            Part::End(summary) => return Some((output, summary)),
            Part::Extent(extent) => {
                result = output.write_all(extent.as_bytes());
                let _ = written.try_send(extent);
            }
        }
    }
    if let Err(error) = result {
        shared.fail(Error::caused(ErrorKind::Target, advice(&error), error));
    }
    None
}

fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "the backup target is full; free space there or prune old backups"
        }
        std::io::ErrorKind::BrokenPipe => "whoever reads the archive from the pipe went away",
        _ => "cannot write the archive",
    }
}
