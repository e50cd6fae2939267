//! The part of a restore that takes long: the archive is read once, and its disks are written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fleece_storage::block::{BlockDevice, WriteAt};
use fleece_vma_format::{CLUSTER_SIZE, Device, Tally};

use super::extraction::Extraction;
use super::failure::{archive_error, target_error};
use super::opened::Opened;
use crate::job::cancel::CancelToken;
use crate::pace::rate::RateLimit;
use crate::report::error::{Error, ErrorKind};
use crate::report::meter::Meter;
use crate::report::{Counters, Event, Reporter};

/// A device of the archive and the disk that it is written to.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) device: Device,
    pub(super) to: To,
}

/// Where a device goes.
#[derive(Debug)]
pub(super) enum To {
    /// A new disk, which may hold something else than zeroes if they are needed.
    New {
        disk: Arc<dyn WriteAt>,
        zeroes_needed: bool,
    },
    /// One that holds something already, of which only what differs is written, and counted.
    Old {
        disk: Arc<dyn BlockDevice>,
        written: Arc<AtomicU64>,
    },
}

/// How much was copied.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Copied {
    pub(super) bytes: u64,
    pub(super) zero: u64,
    pub(super) took: Duration,
}

/// How often progress is reported.
const REPORT: Duration = Duration::from_secs(1);

/// Writes all `disks`, and waits until they are on stable storage. An archive that can be read anywhere is read no further
/// than is needed; blocks of one that lines up are shared with new disks where the file system can.
pub(super) fn copy(
    mut input: Opened,
    disks: &[Disk],
    bwlimit: Option<u64>,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Copied, Error> {
    let limit = bwlimit.map(|rate| Arc::new(RateLimit::new(rate)));
    let mut extraction = Extraction::new(false, cancel);
    for disk in disks {
        let limit = limit.clone();
        match &disk.to {
            To::New {
                disk: new,
                zeroes_needed,
            } => extraction.to_disk(&disk.device, Arc::clone(new), *zeroes_needed, limit),
            To::Old { disk: old, written } => {
                extraction.onto_disk(&disk.device, Arc::clone(old), written, limit);
            }
        }
    }
    if let Some(file) = input.file.take() {
        extraction.share_with(file);
    }
    // What is skipped is no progress, even if it is read.
    let is_wanted = |id| disks.iter().any(|disk| disk.device.id() == id);
    let clusters = disks.iter().map(|disk| disk.device.clusters());
    let clusters: u64 = clusters.sum();
    let begun = Instant::now();
    let mut meter = Meter::new(clusters.saturating_mul(CLUSTER_SIZE as u64), begun);
    let counters = Counters::default();
    let mut last = begun;
    let mut report = |now| reporter.report(&Event::Progress(meter.read(&counters, now)));
    let mut progress = |tally: &Tally| {
        count(&counters, &tally.of(is_wanted));
        let now = Instant::now();
        if now.saturating_duration_since(last) >= REPORT {
            last = now;
            report(now);
        }
        match cancel.reason() {
            Some(reason) => Err(cancelled(reason)),
            None => Ok(()),
        }
    };
    extraction
        .run(&mut input.archive, &mut progress)
        .map_err(|error| archive_error(error, cancel))?;
    if let Some(error) = input.archive.index_error() {
        let message = "the index of the archive is not used";
        let warning = Error::caused(
            ErrorKind::Archive,
            message,
            io::Error::other(error.to_string()),
        );
        reporter.report(&Event::Warning(warning.into()));
    }
    for disk in disks {
        let flushed = match &disk.to {
            To::New { disk, .. } => disk.flush(),
            To::Old { disk, .. } => disk.flush(),
        };
        flushed.map_err(target_error)?;
    }
    report(Instant::now());
    Ok(Copied {
        bytes: Counters::get(&counters.done),
        zero: Counters::get(&counters.zero),
        took: begun.elapsed(),
    })
}

fn count(counters: &Counters, tally: &Tally) {
    let (bytes, zero) = (tally.bytes(), tally.sparse());
    for (counter, value) in [
        (&counters.done, bytes),
        (&counters.read, bytes),
        (&counters.zero, zero),
        (&counters.written, bytes.saturating_sub(zero)),
    ] {
        counter.store(value, Ordering::Relaxed);
    }
}

fn cancelled(reason: crate::job::cancel::CancelReason) -> fleece_vma_format::Error {
    fleece_vma_format::Error::io("cancelled", io::Error::other(reason.to_string()))
}
