//! Writing an archive's devices to where they are to be.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::archive::Archive;
use crate::container::default_threads;
use crate::extent::{Cluster, ClusterEntry, Extent};
use crate::header::Header;
use crate::layout::{CLUSTER_SIZE, DeviceId};
use crate::read_at::ReadAt;
use crate::reader::Reader;
use crate::tally::Tally;
use crate::{Error, Result};

/// Something that a device can be written to.
pub trait Target: Send + Sync {
    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    /// Whatever the target says.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes `length` bytes from `offset` on read as zeroes. Called only if
    /// [`zeroes_needed`](Self::zeroes_needed).
    ///
    /// # Errors
    /// Whatever the target says.
    fn zero_at(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Whether zeroes must be written, because the target may hold something else.
    fn zeroes_needed(&self) -> bool;
}

impl<T: Target + ?Sized> Target for Arc<T> {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, data)
    }

    fn zero_at(&self, offset: u64, length: u64) -> io::Result<()> {
        (**self).zero_at(offset, length)
    }

    fn zeroes_needed(&self) -> bool {
        (**self).zeroes_needed()
    }
}

/// Where each device goes; devices without a target are skipped.
pub type Targets<'a> = BTreeMap<DeviceId, Box<dyn Target + 'a>>;

/// Called with what has been done so far; its error ends the restore.
pub type Progress<'a> = &'a mut dyn FnMut(&Tally) -> Result<()>;

/// How many extents may wait for the threads that write.
const EXTENTS_AHEAD: usize = 4;

/// How much of a device one thread copies at a time, in bytes.
const PART: u64 = 16 << 20;

/// The longest single read, in bytes.
const MAX_READ: u64 = 4 << 20;

/// Restores from a stream: every byte of the archive is read and checked, skipped devices as well.
///
/// # Errors
/// All that [`Reader::next_extent`] finds, and the first error of a target.
pub fn from_stream<R: Read>(
    reader: &mut Reader<R>,
    targets: &Targets<'_>,
    progress: Progress<'_>,
) -> Result<()> {
    let header = reader.header().clone();
    let mut tally = Tally::new(&header);
    let failure = Failure::default();
    let (jobs_in, jobs) = bounded::<Extent>(EXTENTS_AHEAD);
    let (spare_in, spare) = unbounded::<Extent>();
    let ended = thread::scope(|scope| {
        for _ in 0..default_threads().min(4) {
            let (jobs, spare_in) = (jobs.clone(), spare_in.clone());
            let (header, failure) = (&header, &failure);
            spawn(scope, move || {
                write_extents(&jobs, &spare_in, header, targets, failure)
            })?;
        }
        drop((jobs, spare_in));
        while let Some(extent) = reader.next_extent()? {
            for entry in extent.header().entries() {
                tally.add(entry);
            }
            if failure.happened() || jobs_in.send(extent).is_err() {
                break;
            }
            spare.try_iter().for_each(|extent| reader.recycle(extent));
            progress(&tally)?;
        }
        // Closes the queue, so that the threads end.
        drop(jobs_in);
        Ok(())
    });
    // A target's error comes before what the reader found afterwards.
    failure.first().map_or(ended, Err)
}

/// Restores from an archive that can be read anywhere, touching only what the targets need.
///
/// # Errors
/// The first error of the archive or of a target.
pub fn from_archive<S: ReadAt>(
    archive: &Archive<S>,
    targets: &Targets<'_>,
    progress: Progress<'_>,
) -> Result<()> {
    let mut parts = Vec::new();
    for &device in targets.keys() {
        let size = archive.device_size(device).unwrap_or(0);
        let mut offset = 0_u64;
        while offset < size {
            let end = offset.saturating_add(PART).min(size);
            parts.push((device, offset, end));
            offset = end;
        }
    }
    let next = AtomicU64::new(0);
    let failure = Failure::default();
    let (done_in, done) = unbounded::<Result<(DeviceId, u64, u64)>>();
    let mut tally = Tally::new(archive.header());
    thread::scope(|scope| {
        for _ in 0..default_threads() {
            let (done_in, parts, next, failure) = (done_in.clone(), &parts, &next, &failure);
            spawn(scope, move || {
                let mut buffer = Vec::new();
                let take = || usize::try_from(next.fetch_add(1, Ordering::Relaxed)).ok();
                while let Some(&(device, from, to)) = take().and_then(|number| parts.get(number)) {
                    if failure.happened() {
                        return;
                    }
                    let Some(target) = targets.get(&device) else {
                        continue;
                    };
                    let copied = copy(archive, device, from, to, &**target, &mut buffer);
                    let result = copied.map(|()| (device, from, to));
                    if done_in.send(result).is_err() {
                        return;
                    }
                }
            })?;
        }
        drop(done_in);
        for result in &done {
            let told = result.and_then(|(device, from, to)| {
                archive.tally(device, from, to, &mut tally);
                progress(&tally)
            });
            if let Err(error) = told {
                failure.set(error);
            }
        }
        Ok(())
    })?;
    failure.first().map_or(Ok(()), Err)
}

fn copy<S: ReadAt>(
    archive: &Archive<S>,
    device: DeviceId,
    from: u64,
    to: u64,
    target: &dyn Target,
    buffer: &mut Vec<u8>,
) -> Result<()> {
    let mut at = from;
    while at < to {
        let stretch = archive.stretch_at(device, at)?;
        let most = if stretch.data { MAX_READ } else { u64::MAX };
        let length = stretch.length.min(to.saturating_sub(at)).min(most);
        if stretch.data {
            buffer.resize(usize::try_from(length).unwrap_or(0), 0);
            archive.read_at(device, at, buffer)?;
            target
                .write_at(at, buffer)
                .map_err(|e| cannot_write(archive.header(), device, at, e))?;
        } else if target.zeroes_needed() {
            target
                .zero_at(at, length)
                .map_err(|e| cannot_write(archive.header(), device, at, e))?;
        }
        at = at.saturating_add(length);
    }
    Ok(())
}

fn write_extents(
    jobs: &Receiver<Extent>,
    spare: &Sender<Extent>,
    header: &Header,
    targets: &Targets<'_>,
    failure: &Failure,
) {
    for extent in jobs {
        if !failure.happened()
            && let Err(error) = write_extent(&extent, header, targets)
        {
            failure.set(error);
        }
        // Keeps emptying the queue after a failure, so that nobody waits for room in it.
        let _ = spare.send(extent);
    }
}

/// Writes an extent's clusters, neighbours at once.
fn write_extent(extent: &Extent, header: &Header, targets: &Targets<'_>) -> Result<()> {
    let mut run: Option<Run<'_>> = None;
    let payload = extent.as_bytes();
    let mut place = crate::EXTENT_HEADER_SIZE;
    for cluster in extent.clusters() {
        let entry = cluster.entry();
        let start = place;
        place = place.saturating_add(entry.stored());
        let Some(target) = targets.get(&entry.device()) else {
            continue;
        };
        let failed = |offset| move |e| cannot_write(header, entry.device(), offset, e);
        let size = bound(header, entry.device());
        if !run
            .as_mut()
            .is_some_and(|run| run.extend(&cluster, start, place))
        {
            flush(run.take(), payload, header)?;
            if cluster.is_zero() || cluster.full().is_some() {
                run = Some(Run {
                    device: entry.device(),
                    target: &**target,
                    size,
                    offset: entry.offset(),
                    end: entry.offset().saturating_add(CLUSTER_SIZE as u64),
                    bytes: start..place,
                });
            } else {
                write_blocks(&cluster, &**target, size).map_err(failed(entry.offset()))?;
            }
        }
    }
    flush(run, payload, header)
}

/// Writes one cluster to its device's target, if it has one.
pub(crate) fn write_cluster(
    cluster: &Cluster<'_>,
    header: &Header,
    targets: &Targets<'_>,
) -> Result<()> {
    let entry = cluster.entry();
    let Some(target) = targets.get(&entry.device()) else {
        return Ok(());
    };
    write_blocks(cluster, &**target, bound(header, entry.device()))
        .map_err(|e| cannot_write(header, entry.device(), entry.offset(), e))
}

/// Zeroes one cluster of its device's target, if it has one that needs it.
pub(crate) fn write_zero_cluster(
    entry: &ClusterEntry,
    header: &Header,
    targets: &Targets<'_>,
) -> Result<()> {
    let target = targets
        .get(&entry.device())
        .filter(|target| target.zeroes_needed());
    let Some(target) = target else { return Ok(()) };
    let end = bound(header, entry.device()).saturating_sub(entry.offset());
    target
        .zero_at(entry.offset(), end.min(CLUSTER_SIZE as u64))
        .map_err(|e| cannot_write(header, entry.device(), entry.offset(), e))
}

/// Where a device ends; a RAM state stream does not.
fn bound(header: &Header, id: DeviceId) -> u64 {
    let disk = header.device(id).filter(|device| !device.is_vmstate());
    disk.map_or(u64::MAX, crate::Device::size)
}

/// Neighbouring clusters, all whole or all zero.
struct Run<'a> {
    device: DeviceId,
    target: &'a dyn Target,
    size: u64,
    offset: u64,
    end: u64,
    bytes: std::ops::Range<usize>,
}

impl Run<'_> {
    /// Takes a cluster in if it continues the run on the device and in the extent.
    fn extend(&mut self, cluster: &Cluster<'_>, start: usize, end: usize) -> bool {
        let entry = cluster.entry();
        let same_kind = if self.bytes.is_empty() {
            cluster.is_zero()
        } else {
            cluster.full().is_some()
        };
        let fits = same_kind
            && entry.device() == self.device
            && entry.offset() == self.end
            && (self.bytes.is_empty() || self.bytes.end == start);
        if fits {
            self.end = self.end.saturating_add(CLUSTER_SIZE as u64);
            self.bytes.end = if self.bytes.is_empty() {
                self.bytes.end
            } else {
                end
            };
        }
        fits
    }
}

fn flush(run: Option<Run<'_>>, payload: &[u8], header: &Header) -> Result<()> {
    let Some(run) = run else { return Ok(()) };
    let end = run.end.min(run.size);
    let length = end.saturating_sub(run.offset);
    let done = if !run.bytes.is_empty() {
        let data = payload.get(run.bytes.clone()).unwrap_or_default();
        let data = usize::try_from(length)
            .ok()
            .and_then(|length| data.get(..length))
            .unwrap_or(data);
        run.target.write_at(run.offset, data)
    } else if run.target.zeroes_needed() {
        run.target.zero_at(run.offset, length)
    } else {
        Ok(())
    };
    done.map_err(|e| cannot_write(header, run.device, run.offset, e))
}

/// Writes a cluster of which only some blocks are stored.
fn write_blocks(cluster: &Cluster<'_>, target: &dyn Target, size: u64) -> io::Result<()> {
    let base = cluster.entry().offset();
    let mut zero_from = base;
    for (offset, data) in cluster.runs() {
        let at = base.saturating_add(offset as u64);
        if target.zeroes_needed() && zero_from < at {
            target.zero_at(zero_from, at.saturating_sub(zero_from))?;
        }
        let room = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX);
        target.write_at(at, data.get(..room).unwrap_or(data))?;
        zero_from = at.saturating_add(data.len() as u64);
    }
    let end = base.saturating_add(CLUSTER_SIZE as u64).min(size);
    if target.zeroes_needed() && zero_from < end {
        target.zero_at(zero_from, end.saturating_sub(zero_from))?;
    }
    Ok(())
}

/// The first error of any thread.
#[derive(Debug, Default)]
struct Failure(Mutex<Option<Error>>);

impl Failure {
    fn set(&self, error: Error) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
    }

    fn happened(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    fn first(self) -> Option<Error> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    run: impl FnOnce() + Send + 'scope,
) -> Result<()> {
    let thread = thread::Builder::new()
        .name("restore".into())
        .spawn_scoped(scope, run);
    thread
        .map(|_| ())
        .map_err(|e| Error::io("cannot start a thread", e))
}

fn cannot_write(header: &Header, device: DeviceId, offset: u64, error: io::Error) -> Error {
    let name = header.device(device).map_or("?", |device| device.name());
    Error::io(format!("cannot write device {name} at {offset}"), error)
}
