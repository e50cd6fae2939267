//! A disk as it was at the instant of attaching: the backup's side.

use std::ops::Range;
use std::sync::Arc;

use fleece_storage::block::{self, Extent, Operation, Status, check_range};

use super::disk::{Disk, deadline};
use super::states::State;
use super::sync::{Ordering, fence};
use super::usage::Usage;
use super::workers::Answer;
use super::{ClusterSize, Error, ErrorKind, Result};

/// Reads one disk of a snapshot as it was at the instant of attaching.
///
/// Saved clusters come from the target, the others from the source. Readers hold back no guest:
/// they read the source first and look afterwards whether a guest may have written there meanwhile.
/// If so, the old bytes are in the target by then, for a guest writes only after that.
#[derive(Clone, Debug)]
pub struct SnapshotView {
    disk: Arc<Disk>,
}

/// Where the bytes of clusters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Source,
    Target,
    Nowhere,
}

impl SnapshotView {
    pub(super) fn new(disk: Arc<Disk>) -> Self {
        Self { disk }
    }

    /// Size of the disk in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.disk.size
    }

    /// The unit of copying and releasing.
    #[must_use]
    pub fn cluster_size(&self) -> ClusterSize {
        self.disk.cluster_size
    }

    /// How much of the target this disk uses.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.disk.counters.usage()
    }

    /// Fill `buf` with the bytes that the disk held from `offset` on.
    ///
    /// # Errors
    ///
    /// The first cause if the snapshot is broken; [`ErrorKind::Released`] if any of the range was
    /// released; [`ErrorKind::SourceFailed`] or [`ErrorKind::OutOfBounds`].
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.check(Operation::Read, offset, buf.len() as u64)?;
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let position = offset.saturating_add(done as u64);
            let (place, bytes) = self.place(position, rest.len() as u64);
            let len = usize::try_from(length(&bytes)).map_or(rest.len(), |len| len.min(rest.len()));
            let part = rest.get_mut(..len).unwrap_or_default();
            let valid = match place {
                Place::Nowhere => return Err(Error::new(ErrorKind::Released).at(position)),
                Place::Source => self.read_source(part, position)?,
                Place::Target => self.read_target(part, position)?,
            };
            // Otherwise a guest or a release came in between: once more, from the new place. That
            // ends, since a cluster changes its place at most twice.
            if valid {
                done = done.saturating_add(len);
            }
        }
        self.disk.fate.check()
    }

    /// Whether the disk was zero at `offset`, and for how many of the next `len` bytes the answer
    /// holds, without reading. Saved clusters count as data.
    ///
    /// # Errors
    ///
    /// As for [`SnapshotView::read_at`].
    pub fn block_status(&self, offset: u64, len: u64) -> Result<Extent> {
        self.check(Operation::Status, offset, len)?;
        if len == 0 {
            return Ok(Extent {
                status: Status::Data,
                len,
            });
        }
        let (place, bytes) = self.place(offset, len);
        let len = length(&bytes);
        let extent = match place {
            Place::Nowhere => return Err(Error::new(ErrorKind::Released).at(offset)),
            Place::Target => Extent {
                status: Status::Data,
                len,
            },
            Place::Source => {
                let extent = self
                    .disk
                    .source
                    .block_status(offset, len)
                    .map_err(|error| Error::of_source(error).at(offset))?;
                self.still_in_source(offset, extent)
            }
        };
        self.disk.fate.check()?;
        Ok(extent)
    }

    /// The backup has read a range and will not again: its clusters are not copied any more when
    /// guests write there, and their space in the target is given back.
    ///
    /// Only whole clusters are released, so ranges should be multiples of
    /// [`SnapshotView::cluster_size`]; the end of the disk counts as one.
    ///
    /// # Errors
    ///
    /// As for [`SnapshotView::read_at`], but releasing twice is none. If the target fails to give
    /// back space, the range is released all the same.
    pub fn release(&self, offset: u64, len: u64) -> Result<()> {
        self.check(Operation::Discard, offset, len)?;
        let mut rest = self.whole_clusters(offset, len);
        let mut result = Ok(());
        while !rest.is_empty() {
            let saved = self.release_run(&rest)?;
            rest.start = saved.end;
            let freed = self.discard(self.disk.bytes(&saved));
            result = result.and(freed);
        }
        result
    }

    fn check(&self, operation: Operation, offset: u64, len: u64) -> Result<()> {
        check_range(operation, self.disk.size, offset, len)
            .map_err(|error| Error::new(ErrorKind::OutOfBounds).caused_by(error))?;
        self.disk.fate.check()
    }

    /// Where the bytes at `offset` are, and which of the next `len` bytes are there too.
    fn place(&self, offset: u64, len: u64) -> (Place, Range<u64>) {
        let clusters = self.disk.touched(offset, len);
        let place = place_of(self.disk.states.get(clusters.start));
        let run = self
            .disk
            .states
            .run(clusters, |state| place_of(state) == place);
        // The first cluster was in `place` a moment ago, even if it is not any more.
        let run = run.start..run.end.max(run.start.saturating_add(1));
        (
            place,
            offset..self.disk.bytes(&run).end.min(offset.saturating_add(len)),
        )
    }

    /// False if the source may have changed before or while it was read.
    fn read_source(&self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.disk
            .source
            .read_at(buf, offset)
            .map_err(|error| Error::of_source(error).at(offset))?;
        // Pairs with the fence before guest writes: their states are seen if their bytes are.
        fence(Ordering::Acquire);
        let clusters = self.disk.touched(offset, buf.len() as u64);
        let unchanged = self
            .disk
            .states
            .run(clusters.clone(), |state| place_of(state) == Place::Source);
        Ok(unchanged == clusters)
    }

    /// False if the range was released meanwhile.
    fn read_target(&self, buf: &mut [u8], offset: u64) -> Result<bool> {
        let (target, len) = (Arc::clone(&self.disk.target), buf.len());
        let data = self.on_target(move || {
            let mut data = vec![0; len];
            target.read_at(&mut data, offset).map(|()| data)
        });
        let data = data.map_err(|cause| self.lost(cause.at(offset)))?;
        buf.copy_from_slice(&data);
        fence(Ordering::Acquire);
        let clusters = self.disk.touched(offset, len as u64);
        let unchanged = self
            .disk
            .states
            .run(clusters.clone(), |state| place_of(state) == Place::Target);
        Ok(unchanged == clusters)
    }

    /// What of an extent of the source no guest has touched, or, if nothing, that it must be read.
    fn still_in_source(&self, offset: u64, extent: Extent) -> Extent {
        fence(Ordering::Acquire);
        match self.place(offset, extent.len) {
            (Place::Source, bytes) => Extent {
                len: length(&bytes),
                ..extent
            },
            (_, bytes) => Extent {
                status: Status::Data,
                len: length(&bytes),
            },
        }
    }

    /// The clusters that lie in a range completely.
    fn whole_clusters(&self, offset: u64, len: u64) -> Range<u64> {
        let size = self.disk.cluster_size;
        let end = offset.saturating_add(len);
        let last = if end == self.disk.size {
            size.covering(end)
        } else {
            size.whole_in(end)
        };
        size.covering(offset)..last
    }

    /// Release clusters from the beginning of `clusters` on, up to and including a run that is
    /// saved. Returns that run, which is empty at the end.
    fn release_run(&self, clusters: &Range<u64>) -> Result<Range<u64>> {
        let states = &self.disk.states;
        let mut saved = clusters.start..clusters.start;
        while saved.end < clusters.end {
            let cluster = saved.end;
            let next = cluster.saturating_add(1);
            if states.change(cluster, State::Saved, State::NotNeeded) {
                saved.end = next;
            } else if !saved.is_empty() {
                break;
            } else if states.get(cluster) == State::Copying {
                self.wait_for_copy(cluster)?;
            } else if states.get(cluster) == State::NotNeeded
                || states.change(cluster, State::Needed, State::NotNeeded)
            {
                saved = next..next;
            }
        }
        Ok(saved)
    }

    fn wait_for_copy(&self, cluster: u64) -> Result<()> {
        use super::fate::Waited;
        let copied = || self.disk.states.get(cluster) != State::Copying;
        match self
            .disk
            .fate
            .wait(deadline(self.disk.options.timeout), copied)
        {
            Waited::Done => Ok(()),
            Waited::Over => self.disk.fate.check(),
            Waited::TimedOut => Err(self.lost(Error::timed_out(self.disk.options.timeout))),
        }
    }

    fn discard(&self, bytes: Range<u64>) -> Result<()> {
        let len = length(&bytes);
        if len == 0 {
            return Ok(());
        }
        self.disk.counters.released(len);
        let target = Arc::clone(&self.disk.target);
        let discarded = self.on_target(move || target.discard(bytes.start, len));
        match discarded {
            Err(cause) if cause.kind() == ErrorKind::TargetTimedOut => Err(self.lost(cause)),
            discarded => discarded,
        }
    }

    /// Do something with the target, for as long as a guest write would wait for it.
    fn on_target<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> block::Result<T> + Send + 'static,
    ) -> Result<T> {
        let timeout = self.disk.options.timeout;
        match self
            .disk
            .readers
            .call(&self.disk.fate, deadline(timeout), job)
        {
            Answer::Done(result) => result.map_err(Error::of_target),
            Answer::TimedOut => Err(Error::timed_out(timeout)),
            Answer::Over => match self.disk.fate.check() {
                Err(cause) => Err(cause),
                Ok(()) => Err(Error::new(ErrorKind::Detached)),
            },
        }
    }

    /// The target has lost old data, or seems to: nobody can read the snapshot any more, so that
    /// guests need not wait for it either.
    fn lost(&self, cause: Error) -> Error {
        self.disk.fate.end(cause.clone());
        self.disk.fate.check().err().unwrap_or(cause)
    }
}

fn length(bytes: &Range<u64>) -> u64 {
    bytes.end.saturating_sub(bytes.start)
}

fn place_of(state: State) -> Place {
    match state {
        State::Needed | State::Copying => Place::Source,
        State::Saved => Place::Target,
        State::NotNeeded => Place::Nowhere,
    }
}
