//! The store: writes finished extents, and their index, to the output.

use std::io::{self, Write};

use crossbeam_channel::{Receiver, Sender};
use fleece_fleecing::Step;
use fleece_vma_format::{Extent, ExtentWriter, Header, Output, Summary};

use super::Shared;
use crate::report::error::{Error, ErrorKind};

/// What the encoder hands over.
pub(super) enum Part {
    /// The next extents, in their order.
    Extents(Vec<Extent>),
    /// Nothing more will come.
    End(Summary),
}

/// Returns the output and the archive's summary if everything was written.
pub(super) fn run<W: Write>(
    shared: &Shared,
    header: &Header,
    output: Output<W>,
    parts: &Receiver<Part>,
    written: &Sender<Extent>,
) -> Option<(W, Summary)> {
    write(shared, header, output, parts, written).unwrap_or_else(|error| {
        shared.fail(Error::caused(ErrorKind::Target, advice(&error), error));
        None
    })
}

fn write<W: Write>(
    shared: &Shared,
    header: &Header,
    output: Output<W>,
    parts: &Receiver<Part>,
    written: &Sender<Extent>,
) -> fleece_vma_format::Result<Option<(W, Summary)>> {
    let mut recycle = |extent| {
        let _ = written.try_send(extent);
    };
    let mut writer = ExtentWriter::new(header, output)?;
    while !shared.is_stopped() {
        match parts.recv() {
            Ok(Part::Extents(extents)) => {
                for extent in extents {
                    writer.write(extent, &mut recycle)?;
                }
                Step::Stored.reached();
            }
            Ok(Part::End(summary)) => {
                let (output, _) = writer.finish(&mut recycle)?;
                return Ok(Some((output, summary)));
            }
            // Hung up without an end: the encoder has failed, and its error is the one that counts.
            Err(_) => break,
        }
    }
    Ok(None)
}

fn advice(error: &fleece_vma_format::Error) -> &'static str {
    match io_kind(error) {
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            "the backup target is full; free space there or prune old backups"
        }
        Some(io::ErrorKind::BrokenPipe) => "the reader of the pipe has closed it",
        _ => "the backup target fails",
    }
}

/// What the system said, somewhere among the causes.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref::<io::Error>())
        .map(io::Error::kind)
}
