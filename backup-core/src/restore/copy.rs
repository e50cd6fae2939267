//! The part of a restore that takes long: the archive is read once, and its disks are written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fleece_storage::block::{self, WriteAt};
use fleece_vma_format::restore::{Targets, from_stream};
use fleece_vma_format::{CLUSTER_SIZE, Device, DeviceId, Tally};

use super::input::Input;
use super::target::DiskTarget;
use crate::cancel::CancelToken;
use crate::meter::Meter;
use crate::rate::RateLimit;
use crate::report::{Counters, Event, Reporter};
use crate::{Error, ErrorKind};

/// A device of the archive and the disk that it is written to.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) id: DeviceId,
    pub(super) device: Arc<dyn WriteAt>,
    /// Whether the disk may hold something else than zeroes.
    pub(super) zeroes_needed: bool,
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

/// Writes all `disks`, and waits until they are on stable storage. Every byte of the archive is read
/// and checked, whatever is skipped.
pub(super) fn copy(
    input: Input,
    disks: &[Disk],
    bwlimit: Option<u64>,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Copied, Error> {
    let mut reader = input.reader;
    let limit = bwlimit.map(|rate| Arc::new(RateLimit::new(rate)));
    let targets: Targets<'_> = disks
        .iter()
        .map(|disk| {
            let target = DiskTarget::new(Arc::clone(&disk.device), disk.zeroes_needed)
                .limited(limit.clone())
                .cancelled_by(cancel);
            (disk.id, Box::new(target) as _)
        })
        .collect();
    let devices = reader.header().devices();
    let clusters: u64 = devices.iter().map(Device::clusters).sum();
    let begun = Instant::now();
    let mut meter = Meter::new(clusters.saturating_mul(CLUSTER_SIZE as u64), begun);
    let counters = Counters::default();
    let mut last = begun;
    let mut report = |now| reporter.report(&Event::Progress(meter.read(&counters, now)));
    let mut progress = |tally: &Tally| {
        count(&counters, tally);
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
    from_stream(&mut reader, &targets, &mut progress)
        .map_err(|error| archive_error(error, cancel))?;
    for disk in disks {
        disk.device.flush().map_err(target_error)?;
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

fn cancelled(reason: crate::CancelReason) -> fleece_vma_format::Error {
    fleece_vma_format::Error::io("cancelled", io::Error::other(reason.to_string()))
}

/// An error of the archive, or of a disk met while it was read.
pub(super) fn archive_error(error: fleece_vma_format::Error, cancel: &CancelToken) -> Error {
    if let Some(reason) = cancel.reason() {
        return Error::cancelled(reason);
    }
    if error.kind().is_damage() {
        let message = "the archive is damaged, or is none; nothing of it was restored";
        return Error::caused(ErrorKind::Damage, message, error);
    }
    match on_disk(&error) {
        Some(block::ErrorKind::NoSpace) => Error::caused(ErrorKind::Target, FULL, error),
        Some(_) => Error::caused(ErrorKind::Target, FAILS, error),
        None => Error::caused(ErrorKind::Archive, "cannot read the archive", error),
    }
}

const FULL: &str = "the storage is full; free space there, or restore to another";
const FAILS: &str = "the storage fails";

/// An error of a disk.
pub(super) fn target_error(error: block::Error) -> Error {
    let message = match error.kind() {
        block::ErrorKind::NoSpace => FULL,
        _ => FAILS,
    };
    Error::caused(ErrorKind::Target, message, error)
}

/// The kind of the disk's error among the causes. What [`io::Error::other`] wraps is not among its
/// sources, so that it is looked for within.
fn on_disk(error: &fleece_vma_format::Error) -> Option<block::ErrorKind> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).find_map(|error| {
        let within = error.downcast_ref::<io::Error>()?.get_ref()?;
        Some(within.downcast_ref::<block::Error>()?.kind())
    })
}
