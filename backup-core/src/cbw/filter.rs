//! What stands in front of a disk: the guest's side.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64 as Counter;
use std::time::Instant;

use fleece_storage::block::{
    BlockDevice, BlockStatus, Discard, Extent, Geometry, Operation, ReadAt, Result, WriteAt,
    check_range,
};

use super::changes::Changes;
use super::disk::Disk;
use super::gate::{Closed, Gate, Inside};
use super::sync::{AtomicBool, Ordering, RwLock};

/// A disk as its guest sees it: the source, and while a snapshot is attached, a guard that saves
/// what the snapshot needs before it is overwritten.
///
/// Without a snapshot a write costs two atomic additions and two loads more than on the bare source.
/// Reads always cost nothing more.
pub struct Filter {
    /// Gates of several filters are closed in the order of their ids.
    id: u64,
    source: Arc<dyn BlockDevice>,
    gate: Gate,
    changes: Changes,
    /// Whether there is something in `disk`; changes from false to true only while the gate is
    /// closed.
    attached: AtomicBool,
    disk: RwLock<Option<Arc<Disk>>>,
}

impl Filter {
    /// Stand in front of `source`. From now on guests must use the filter only.
    #[must_use]
    pub fn new(source: Arc<dyn BlockDevice>) -> Arc<Self> {
        static IDS: Counter = Counter::new(0);
        Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            changes: Changes::new(source.size()),
            source,
            gate: Gate::new(),
            attached: AtomicBool::new(false),
            disk: RwLock::new(None),
        })
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn source(&self) -> &Arc<dyn BlockDevice> {
        &self.source
    }

    /// The account of what guests have changed.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Hold back all guest writes that come from now on.
    pub(super) fn close(&self, deadline: Instant) -> Option<Closed<'_>> {
        self.gate.close(deadline)
    }

    /// Whether a snapshot is attached that still holds.
    pub(super) fn is_busy(&self) -> bool {
        self.disk().is_some_and(|disk| !disk.fate.is_over())
    }

    /// From now on save for this disk. The gate must be closed, and nobody inside.
    pub(super) fn attach(&self, disk: Arc<Disk>) {
        *self
            .disk
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(disk);
        self.attached.store(true, Ordering::SeqCst);
    }

    /// Forget a disk whose snapshot is over, unless another has taken its place.
    pub(super) fn detach(&self, disk: &Arc<Disk>) {
        let mut current = self
            .disk
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, disk))
        {
            self.attached.store(false, Ordering::SeqCst);
            *current = None;
        }
    }

    /// Let a guest change a range of the source: when nobody needs its bytes any more, and not at
    /// the instant of attaching.
    fn enter(&self, operation: Operation, offset: u64, len: u64) -> Result<Inside<'_>> {
        check_range(operation, self.source.size(), offset, len)?;
        let inside = self.gate.enter();
        if self.attached.load(Ordering::SeqCst)
            && let Some(disk) = self.disk()
        {
            disk.make_way(operation, offset, len)?;
        }
        self.changes.mark(offset, len);
        Ok(inside)
    }

    fn disk(&self) -> Option<Arc<Disk>> {
        self.disk
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl Geometry for Filter {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn alignment(&self) -> u64 {
        self.source.alignment()
    }
}

impl ReadAt for Filter {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.source.read_at(buf, offset)
    }
}

impl BlockStatus for Filter {
    fn block_status(&self, offset: u64, len: u64) -> Result<Extent> {
        self.source.block_status(offset, len)
    }
}

impl WriteAt for Filter {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let _inside = self.enter(Operation::Write, offset, buf.len() as u64)?;
        self.source.write_at(buf, offset)
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        let _inside = self.enter(Operation::WriteZeroes, offset, len)?;
        self.source.write_zeroes(offset, len)
    }

    fn write_zeroes_allocated(&self, offset: u64, len: u64) -> Result<()> {
        let _inside = self.enter(Operation::WriteZeroes, offset, len)?;
        self.source.write_zeroes_allocated(offset, len)
    }

    fn flush(&self) -> Result<()> {
        self.source.flush()
    }
}

/// A discard changes what is read, so it is a write like any other.
impl Discard for Filter {
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        let _inside = self.enter(Operation::Discard, offset, len)?;
        self.source.discard(offset, len)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, source, .. } = self;
        f.debug_struct("Filter")
            .field("id", id)
            .field("source", source)
            .finish_non_exhaustive()
    }
}
