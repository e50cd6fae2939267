//! Making an archive of disks. Each thread reads, encodes and checksums whole extents of its own, so
//! that data stays in its processor's cache, and writes each when its turn has come.

use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use crate::container::Written;
use crate::encoder::{DeviceSummary, Summary};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{ClusterEntry, Extent, block_mask};
use crate::extent_writer::IndexedOutput;
use crate::header::{Device, Header};
use crate::index::ExtentDigest;
use crate::layout::{CLUSTER_SIZE, EXTENT_CLUSTERS, cluster_offset};
use crate::output::Output;
use crate::random_access::Stretch;
use crate::threads::default_threads;

/// A disk to be put into an archive.
pub trait Source: Send + Sync {
    /// Fills `buffer` with what is at `offset`.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// What is at `offset`, and for at most `length` bytes: data, or zeroes as far as is known without reading them.
    /// It is not asked again for what it has told.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn stretch_at(&self, offset: u64, length: u64) -> io::Result<Stretch>;
}

/// The unit of addressing as a 64-bit number.
const CLUSTER: u64 = CLUSTER_SIZE as u64;

/// Reads are at most this long in bytes: what was read is still in the processor's second cache
/// when it is looked through and copied.
const READ_SIZE: usize = 4 * CLUSTER_SIZE;

/// More do not help: one at a time writes.
const MAX_THREADS: usize = 4;

/// Called with the account of all devices so far; its error ends the work.
pub type Packed<'a> = &'a mut (dyn FnMut(&[DeviceSummary]) -> Result<()> + Send);

/// Writes the archive that `header` begins, one device after the other.
///
/// `sources` are the devices in header order. `progress` is called after every extent.
///
/// # Errors
/// A source's or the output's first error; what `progress` says.
pub fn pack<W: Write + Send>(
    header: &Header,
    sources: &[&dyn Source],
    output: Output<W>,
    progress: Packed<'_>,
) -> Result<(Summary, W, Written)> {
    let plan = Plan::new(header, sources);
    let line = Line {
        state: Mutex::new(State {
            next: 0,
            failure: None,
            output: IndexedOutput::new(header, output)?,
            devices: DeviceSummary::all(header),
            progress,
        }),
        turn: Condvar::new(),
    };
    let claimed = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..default_threads().min(MAX_THREADS) {
            let thread = thread::Builder::new().name("pack".to_owned());
            if let Err(error) = thread.spawn_scoped(scope, || work(&plan, &claimed, &line)) {
                line.lock().fail(Error::io("cannot start a thread", error));
            }
        }
    });
    let state = line
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.failure {
        return Err(error);
    }
    let (bytes, extents) = (state.output.offset(), state.output.extents());
    let (out, written) = state.output.finish()?;
    let summary = Summary::new(bytes, extents, state.devices);
    Ok((summary, out, written))
}

/// Makes one extent after the other.
fn work<W: Write>(plan: &Plan<'_>, claimed: &AtomicU64, line: &Line<'_, W>) {
    let _leaving = Leaving(line);
    let indexed = line.lock().output.is_indexed();
    let mut buffer = vec![0; READ_SIZE];
    let mut extent = Extent::default();
    loop {
        let number = claimed.fetch_add(1, Ordering::Relaxed);
        if number >= plan.extents {
            return;
        }
        let made = plan.extent(number, &mut buffer, &mut extent);
        let digest = (indexed && made.is_ok()).then(|| ExtentDigest::of(&extent));
        let Some(mut state) = line.wait_for(number) else {
            return;
        };
        let written = made.and_then(|()| state.write(&mut extent, digest.as_ref()));
        if let Err(error) = written {
            state.fail(error);
        }
        drop(state);
        line.turn.notify_all();
    }
}

/// Which clusters of which disks go into which extent: all in order, 58 to an extent.
struct Plan<'a> {
    uuid: [u8; 16],
    disks: Vec<Disk<'a>>,
    extents: u64,
}

/// A disk, and its place in the row of all clusters.
struct Disk<'a> {
    device: &'a Device,
    source: &'a dyn Source,
    clusters: Range<u64>,
}

impl<'a> Plan<'a> {
    fn new(header: &'a Header, sources: &[&'a dyn Source]) -> Self {
        let mut end = 0_u64;
        let mut disk = |(device, source): (&'a Device, &&'a dyn Source)| {
            let first = end;
            end = end.saturating_add(device.clusters());
            let clusters = first..end;
            if header.is_aligned() {
                // The next disk begins in an extent of its own.
                end = end.next_multiple_of(EXTENT_CLUSTERS as u64);
            }
            Disk {
                device,
                source: *source,
                clusters,
            }
        };
        let disks = header.devices().iter().zip(sources).map(&mut disk);
        Self {
            uuid: *header.uuid(),
            disks: disks.collect(),
            // An archive without any cluster has one empty extent, as the reference's has.
            extents: end.div_ceil(EXTENT_CLUSTERS as u64).max(1),
        }
    }

    fn extent(&self, number: u64, buffer: &mut [u8], extent: &mut Extent) -> Result<()> {
        let first = number.saturating_mul(EXTENT_CLUSTERS as u64);
        let end = first.saturating_add(EXTENT_CLUSTERS as u64);
        extent.begin(self.uuid);
        for disk in &self.disks {
            let start = disk.clusters.start;
            let from = first.max(start);
            let to = end.min(disk.clusters.end);
            if from < to {
                let clusters = from.saturating_sub(start)..to.saturating_sub(start);
                disk.add_to(extent, clusters, buffer)?;
            }
        }
        extent.seal();
        Ok(())
    }
}

impl Disk<'_> {
    /// Adds a row of clusters to an extent.
    fn add_to(&self, extent: &mut Extent, clusters: Range<u64>, buffer: &mut [u8]) -> Result<()> {
        let end = cluster_offset(clusters.end).min(self.device.size());
        let mut index = clusters.start;
        // Up to where there is data.
        let mut data = 0;
        while index < clusters.end {
            let offset = cluster_offset(index);
            let failed = |e| {
                let name = self.device.name();
                Error::io(format!("cannot read {name} at {offset}"), e)
            };
            let left = end.saturating_sub(offset);
            if data <= offset {
                let stretch = self.source.stretch_at(offset, left).map_err(failed)?;
                let length = stretch.length.min(left);
                let next = match stretch.data {
                    true => index,
                    false if length >= left => clusters.end,
                    false => offset.saturating_add(length) / CLUSTER,
                };
                if next > index {
                    (index..next).for_each(|index| extent.push(self.entry(index, 0), &[]));
                    index = next;
                    continue;
                }
                data = offset.saturating_add(length);
            }
            // Whole clusters: what is zero in the last one is found by looking at it.
            let end = data.max(offset.saturating_add(1)).div_ceil(CLUSTER);
            let length = cluster_offset(end).saturating_sub(offset).min(left);
            let length = usize::try_from(length).unwrap_or(READ_SIZE).min(READ_SIZE);
            let buffer = buffer.get_mut(..length).unwrap_or_default();
            self.source.read_at(offset, buffer).map_err(failed)?;
            for cluster in buffer.chunks(CLUSTER_SIZE) {
                extent.push(self.entry(index, block_mask(cluster)), cluster);
                index = index.saturating_add(1);
            }
        }
        Ok(())
    }

    fn entry(&self, index: u64, mask: u16) -> ClusterEntry {
        // A header has no device with more clusters than 32 bits can count.
        ClusterEntry::new(
            self.device.id(),
            u32::try_from(index).unwrap_or(u32::MAX),
            mask,
        )
    }
}

/// Where extents wait for those before them to be written.
struct Line<'a, W: Write> {
    state: Mutex<State<'a, W>>,
    turn: Condvar,
}

struct State<'a, W: Write> {
    /// The number of the extent whose turn it is.
    next: u64,
    failure: Option<Error>,
    output: IndexedOutput<W>,
    devices: Vec<DeviceSummary>,
    progress: Packed<'a>,
}

impl<'a, W: Write> Line<'a, W> {
    fn lock(&self) -> MutexGuard<'_, State<'a, W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of an extent; `None` if there will be none.
    fn wait_for(&self, number: u64) -> Option<MutexGuard<'_, State<'a, W>>> {
        let waiting = |state: &mut State<'_, W>| state.next != number && state.failure.is_none();
        let state = self
            .turn
            .wait_while(self.lock(), waiting)
            .unwrap_or_else(PoisonError::into_inner);
        state.failure.is_none().then_some(state)
    }
}

impl<W: Write> State<'_, W> {
    fn write(&mut self, extent: &mut Extent, digest: Option<&ExtentDigest>) -> Result<()> {
        self.output.write(extent, digest)?;
        self.next = self.next.saturating_add(1);
        for entry in extent.header().entries() {
            DeviceSummary::account(&mut self.devices, entry);
        }
        (self.progress)(&self.devices)
    }

    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }
}

/// Lets nobody wait for a thread that has died.
struct Leaving<'a, 'b, W: Write>(&'a Line<'b, W>);

impl<W: Write> Drop for Leaving<'_, '_, W> {
    fn drop(&mut self) {
        if thread::panicking() {
            let died = Error::new(ErrorKind::Io, "a thread that makes the archive has died");
            self.0.lock().fail(died);
            self.0.turn.notify_all();
        }
    }
}
