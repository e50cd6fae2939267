//! The part of a restore that takes long: the archive is read once, and its disks are written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fleece_storage::block::WriteAt;
use fleece_vma_format::restore::{Targets, from_stream};
use fleece_vma_format::{CLUSTER_SIZE, Device, DeviceId, Tally};

use super::failure::{archive_error, target_error};
use super::opened::Opened;
use super::target::DiskTarget;
use crate::job::cancel::CancelToken;
use crate::pace::rate::RateLimit;
use crate::report::error::Error;
use crate::report::meter::Meter;
use crate::report::{Counters, Event, Reporter};

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
    input: Opened,
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
    // What is skipped is read, and is no progress.
    let is_wanted = |id| disks.iter().any(|disk| disk.id == id);
    let devices = reader.header().devices().iter();
    let clusters = devices.filter(|device| is_wanted(device.id()));
    let clusters: u64 = clusters.map(Device::clusters).sum();
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

fn cancelled(reason: crate::job::cancel::CancelReason) -> fleece_vma_format::Error {
    fleece_vma_format::Error::io("cancelled", io::Error::other(reason.to_string()))
}
