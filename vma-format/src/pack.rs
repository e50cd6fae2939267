//! Making an archive of disks. Each thread reads, encodes and checksums whole extents of its own, so
//! that data stays in its processor's cache, and writes each when its turn has come.

use std::io::Write;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use crate::container::Written;
use crate::encoder::{DeviceSummary, Summary};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::run::runs;
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
    ///
    /// # Errors
    /// Whatever the disk says.
    fn stretch_at(&self, offset: u64, length: u64) -> io::Result<Stretch>;
}

/// The unit of addressing as a 64-bit number.
const CLUSTER: u64 = CLUSTER_SIZE as u64;

/// What an extent has of a disk, in bytes.
const EXTENT: u64 = CLUSTER * EXTENT_CLUSTERS as u64;

/// Reads are at most this long in bytes: what was read is still in the processor's second cache
/// when it is looked through and copied.
const READ_SIZE: usize = 4 * CLUSTER_SIZE;

/// Extents in one hole are made together, up to this many: to take turns takes longer than to make one.
const MOST_EMPTY: u64 = 64;

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
    let unclaimed = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..default_threads().min(MAX_THREADS) {
            let thread = thread::Builder::new().name("pack".to_owned());
            if let Err(error) = thread.spawn_scoped(scope, || work(&plan, &unclaimed, &line)) {
                line.fail(Error::io("cannot start a thread", error));
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

/// Makes what it claims, until there is no more.
fn work<W: Write>(plan: &Plan<'_>, unclaimed: &Mutex<u64>, line: &Line<'_, W>) {
    let _leaving = Leaving(line);
    let indexed = line.lock().output.is_indexed();
    let mut buffer = vec![0; READ_SIZE];
    let mut extent = Extent::default();
    let digest = |extent: &Extent| indexed.then(|| ExtentDigest::of(extent));
    loop {
        let (first, what) = match plan.claim(unclaimed) {
            Ok(Some(claim)) => claim,
            Ok(None) => return,
            Err(error) => return line.fail(error),
        };
        let written = match what {
            Claim::One(stretch) => {
                let made = plan.extent(first, stretch, &mut buffer, &mut extent);
                let digest = made.is_ok().then(|| digest(&extent)).flatten();
                let Some(mut state) = line.wait_for(first) else {
                    return;
                };
                made.and_then(|()| state.write(&extent, digest.as_ref()))
            }
            Claim::Empty(count) => {
                let Some(mut state) = line.wait_for(first) else {
                    return;
                };
                (first..first.saturating_add(count)).try_for_each(|number| {
                    plan.empty(number, &mut extent);
                    state.write(&extent, digest(&extent).as_ref())
                })
            }
        };
        match written {
            Ok(()) => line.turn.notify_all(),
            Err(error) => line.fail(error),
        }
    }
}

/// What a thread makes next.
enum Claim {
    /// One extent. What is where it begins, if that is known.
    One(Option<Stretch>),
    /// So many, all of them in a hole of one disk.
    Empty(u64),
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

    /// The number of the first extent that nobody makes yet, and how many from there on are for one thread.
    fn claim(&self, unclaimed: &Mutex<u64>) -> Result<Option<(u64, Claim)>> {
        let mut unclaimed = unclaimed.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *unclaimed;
        if first >= self.extents {
            return Ok(None);
        }
        let cluster = first.saturating_mul(EXTENT_CLUSTERS as u64);
        let mut disks = self.disks.iter();
        let stretch = match disks.find(|disk| disk.clusters.contains(&cluster)) {
            Some(disk) => {
                let offset = cluster_offset(cluster.saturating_sub(disk.clusters.start));
                let left = disk.device.size().saturating_sub(offset);
                let length = left.min(MOST_EMPTY.saturating_mul(EXTENT));
                let stretch = disk.source.stretch_at(offset, length);
                Some(stretch.map_err(|error| disk.failed(offset, error))?)
            }
            None => None,
        };
        let empty = match stretch {
            // No longer than asked for: what is behind the disk is another one's.
            Some(stretch) if !stretch.data => {
                stretch.length.min(MOST_EMPTY.saturating_mul(EXTENT)) / EXTENT
            }
            _ => 0,
        };
        *unclaimed = first.saturating_add(empty.max(1));
        Ok(Some(match empty {
            0 => (first, Claim::One(stretch)),
            count => (first, Claim::Empty(count)),
        }))
    }

    /// Makes an extent, with what is known to be where it begins.
    fn extent(
        &self,
        number: u64,
        stretch: Option<Stretch>,
        buffer: &mut [u8],
        extent: &mut Extent,
    ) -> Result<()> {
        extent.begin(self.uuid);
        let mut known = stretch;
        for (disk, clusters) in self.parts(number) {
            disk.add_to(extent, clusters, known.take(), buffer)?;
        }
        extent.seal();
        Ok(())
    }

    /// Makes an extent of zeroes.
    fn empty(&self, number: u64, extent: &mut Extent) {
        extent.begin(self.uuid);
        for (disk, clusters) in self.parts(number) {
            disk.add_zeroes(extent, clusters);
        }
        extent.seal();
    }

    /// The disks of which an extent has clusters, and those.
    fn parts(&self, number: u64) -> impl Iterator<Item = (&Disk<'a>, Range<u64>)> {
        let first = number.saturating_mul(EXTENT_CLUSTERS as u64);
        let end = first.saturating_add(EXTENT_CLUSTERS as u64);
        self.disks.iter().filter_map(move |disk| {
            let start = disk.clusters.start;
            let from = first.max(start);
            let to = end.min(disk.clusters.end);
            let clusters = from.saturating_sub(start)..to.saturating_sub(start);
            (from < to).then_some((disk, clusters))
        })
    }
}

impl Disk<'_> {
    /// Adds a row of clusters to an extent, with what is known to be where they begin.
    fn add_to(
        &self,
        extent: &mut Extent,
        clusters: Range<u64>,
        mut known: Option<Stretch>,
        buffer: &mut [u8],
    ) -> Result<()> {
        let end = cluster_offset(clusters.end).min(self.device.size());
        let mut index = clusters.start;
        // Up to where there is data.
        let mut data = 0;
        while index < clusters.end {
            let offset = cluster_offset(index);
            let failed = |error| self.failed(offset, error);
            let left = end.saturating_sub(offset);
            if data <= offset {
                let stretch = match known.take() {
                    Some(stretch) => stretch,
                    None => self.source.stretch_at(offset, left).map_err(failed)?,
                };
                let length = stretch.length.min(left);
                let next = match stretch.data {
                    true => index,
                    false if length >= left => clusters.end,
                    false => offset.saturating_add(length) / CLUSTER,
                };
                if next > index {
                    self.add_zeroes(extent, index..next);
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

    fn add_zeroes(&self, extent: &mut Extent, clusters: Range<u64>) {
        clusters.for_each(|index| extent.push(self.entry(index, 0), &[]));
    }

    fn failed(&self, offset: u64, error: io::Error) -> Error {
        let name = self.device.name();
        Error::io(format!("cannot read {name} at {offset}"), error)
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

    fn fail(&self, error: Error) {
        self.lock().failure.get_or_insert(error);
        self.turn.notify_all();
    }
}

impl<W: Write> State<'_, W> {
    fn write(&mut self, extent: &Extent, digest: Option<&ExtentDigest>) -> Result<()> {
        self.output.write(extent, digest)?;
        self.next = self.next.saturating_add(1);
        for run in runs(extent.header().entries()) {
            DeviceSummary::account(&mut self.devices, &run);
        }
        (self.progress)(&self.devices)
    }
}

/// Lets nobody wait for a thread that has died.
struct Leaving<'a, 'b, W: Write>(&'a Line<'b, W>);

impl<W: Write> Drop for Leaving<'_, '_, W> {
    fn drop(&mut self) {
        if thread::panicking() {
            let died = Error::new(ErrorKind::Io, "a thread that makes the archive has died");
            self.0.fail(died);
        }
    }
}
