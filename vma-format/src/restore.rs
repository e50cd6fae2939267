//! Writing an archive's devices to where they are to be.

mod extents;
mod place;
mod zeroes;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

pub use extents::from_file;
use place::{cannot_write, write_clusters};
pub(crate) use place::{write_cluster, write_zero_cluster};
use zeroes::Zeroes;

use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::extent::run::runs;
use crate::header::Header;
use crate::layout::{CLUSTER_SIZE, DeviceId, EXTENT_HEADER_SIZE};
use crate::random_access::RandomAccess;
use crate::read_at::ReadAt;
use crate::reader::Reader;
use crate::tally::Tally;
use crate::threads::default_threads;

/// Something that a device can be written to.
pub trait Target: Send + Sync {
    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    /// Whatever the target says.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Shares `length` bytes at `offset` with those of the archive's file from `place` on, so that nobody reads them. Of what
    /// cannot be shared, which `false` says, the bytes come instead.
    fn share_at(&self, _offset: u64, _place: u64, _length: u64) -> bool {
        false
    }

    /// Fills `buffer` with what is there already, so that what an index knows to be the same is not read of the archive.
    /// `false`: whatever is there is overwritten.
    ///
    /// # Errors
    /// Whatever the target says.
    fn old_at(&self, _offset: u64, _buffer: &mut [u8]) -> io::Result<bool> {
        Ok(false)
    }

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

    fn share_at(&self, offset: u64, place: u64, length: u64) -> bool {
        (**self).share_at(offset, place, length)
    }

    fn old_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
        (**self).old_at(offset, buffer)
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

/// How many extents may wait for the threads that write: each has up to 3.7 MiB.
const EXTENTS_AHEAD: usize = 1;

/// How many threads write what one has read.
const STREAM_WRITERS: usize = 2;

/// How many threads read and write: each may hold a frame of 4 MiB, compressed and not, and more of
/// them would wait for each other to write to one file.
const MAX_THREADS: usize = 6;

/// How much of a device one thread copies at a time, in bytes.
const PART: u64 = 16 << 20;

const CLUSTER: u64 = CLUSTER_SIZE as u64;

/// The longest single read, in bytes.
const MAX_READ: u64 = 1 << 20;

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
        for _ in 0..default_threads().min(STREAM_WRITERS) {
            let (jobs, spare_in) = (jobs.clone(), spare_in.clone());
            let (header, failure) = (&header, &failure);
            spawn(scope, move || {
                write_extents(&jobs, &spare_in, header, targets, failure)
            })?;
        }
        drop((jobs, spare_in));
        let mut zeroes = Zeroes::default();
        while let Some(extent) = reader.next_extent()? {
            tally.add_extent(extent.header(), |_| true);
            if !extent.has_payload() {
                for run in runs(extent.header().entries()) {
                    zeroes.add(&run, &header, targets)?;
                }
                reader.recycle(extent);
                progress(&tally)?;
                continue;
            }
            if failure.happened() || jobs_in.send(extent).is_err() {
                break;
            }
            spare.try_iter().for_each(|extent| reader.recycle(extent));
            progress(&tally)?;
        }
        // Closes the queue, so that the threads end.
        drop(jobs_in);
        zeroes.write(&header, targets)
    });
    // A target's error comes before what the reader found afterwards.
    failure.first().map_or(ended, Err)
}

/// Restores from an archive that can be read anywhere, touching only what the targets need: of a target that tells what it
/// [has already](Target::old_at), not even what is the same by the index.
///
/// # Errors
/// The first error of the archive or of a target.
pub fn from_archive<S: ReadAt, I: ReadAt>(
    archive: &RandomAccess<S, I>,
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
        for _ in 0..default_threads().min(MAX_THREADS) {
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

fn copy<S: ReadAt, I: ReadAt>(
    archive: &RandomAccess<S, I>,
    device: DeviceId,
    from: u64,
    to: u64,
    target: &dyn Target,
    buffer: &mut Vec<u8>,
) -> Result<()> {
    let mut old = vec![0; CLUSTER_SIZE];
    let mut at = from;
    while at < to {
        let stretch = archive.stretch_at(device, at)?;
        let most = if stretch.data { MAX_READ } else { u64::MAX };
        let length = stretch.length.min(to.saturating_sub(at)).min(most);
        let failed = move |e| cannot_write(archive.header(), device, at, e);
        if at.is_multiple_of(CLUSTER) && (stretch.data || length < CLUSTER) {
            let whole = usize::try_from(to.saturating_sub(at)).unwrap_or(CLUSTER_SIZE);
            let old = old.get_mut(..whole.min(CLUSTER_SIZE)).unwrap_or_default();
            if target.old_at(at, old).map_err(failed)? {
                let cluster = at / CLUSTER;
                if !archive.is_there(device, cluster, old) {
                    archive.read_at(device, at, old)?;
                    target.write_at(at, old).map_err(failed)?;
                }
                at = at.saturating_add(old.len() as u64);
                continue;
            }
        }
        if stretch.data {
            buffer.resize(usize::try_from(length).unwrap_or(0), 0);
            archive.read_at(device, at, buffer)?;
            target.write_at(at, buffer).map_err(failed)?;
        } else if target.zeroes_needed() {
            target.zero_at(at, length).map_err(failed)?;
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
        let payload = extent.as_bytes().get(EXTENT_HEADER_SIZE..);
        let (entries, payload) = (extent.header().entries(), payload.unwrap_or_default());
        if !failure.happened()
            && let Err(error) = write_clusters(entries, payload, header, targets)
        {
            failure.set(error);
        }
        // Keeps emptying the queue after a failure, so that nobody waits for room in it.
        let _ = spare.send(extent);
    }
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
