//! An image that is open for writing, whose tables can be given up.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use imago::file::File as ImageFile;
use imago::qcow2::Qcow2 as Driver;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder, StorageOpenOptions};

use super::budget::{self, Cached};
use super::header::Qcow2Header;
use crate::block::{Error, Operation, Result};

/// As many L2 tables and refcount blocks as imago 0.2 keeps of an image, whatever their size.
const MOST_TABLES: usize = 128;
const MOST_REFCOUNT_BLOCKS: u64 = 32;

/// imago's driver keeps tables in memory and has no setting for how many, and what would drop them is
/// `unsafe`. So the driver itself is dropped, and made again when the image is next used, from the same
/// open file: whatever happens to its name meanwhile, and what the kernel fails to write back is told by
/// [`Image::sync`] even so.
pub(super) struct Image {
    file: File,
    pub(super) path: PathBuf,
    header: Qcow2Header,
    tables: Tables,
    driver: RwLock<Option<FormatAccess<ImageFile>>>,
    used: Mutex<Used>,
}

/// Whose memory the tables take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tables {
    /// What all images share that are written from an archive.
    Shared,
    /// That of the image alone. A guest's disk neither waits nor fails for another.
    Own,
}

/// What the driver has in memory.
#[derive(Default)]
struct Used {
    /// What is there as soon as the driver is, in bytes.
    fixed: u64,
    /// The L2 tables, by their place in the L1 table. There may be more here than in memory.
    tables: BTreeSet<u64>,
    /// All of it.
    bytes: u64,
    /// When it was last used, by [`USES`].
    last: u64,
}

/// How often any image has been used.
static USES: AtomicU64 = AtomicU64::new(0);

impl Image {
    /// `file` has been opened for reading and writing, and `header` is its header.
    pub(super) fn open(
        file: File,
        path: PathBuf,
        header: Qcow2Header,
        tables: Tables,
    ) -> Result<Arc<Self>> {
        let image = Arc::new(Self {
            file,
            path,
            header,
            tables,
            driver: RwLock::default(),
            used: Mutex::default(),
        });
        let driver = image.load().map_err(|e| image.failed(Operation::Open, e))?;
        *image.slot() = Some(driver);
        if tables == Tables::Shared {
            budget::join(Arc::downgrade(&image) as _);
            budget::keep()?;
        }
        Ok(image)
    }

    pub(super) fn header(&self) -> &Qcow2Header {
        &self.header
    }

    /// How many bytes of the disk an L2 table tells of.
    pub(super) fn reach(&self) -> u64 {
        let entries = self.header.cluster_size / 8;
        entries.saturating_mul(self.header.cluster_size)
    }

    /// Lets the driver do something with `len` bytes from `offset` on.
    pub(super) fn with<T>(
        &self,
        operation: Operation,
        offset: u64,
        len: u64,
        act: impl FnOnce(&FormatAccess<ImageFile>) -> io::Result<T>,
    ) -> Result<T> {
        let (done, grown) = self
            .used_by(offset, len, act)
            .map_err(|error| self.failed(operation, error))?;
        if grown && self.tables == Tables::Shared {
            budget::keep()?;
        }
        done.map_err(|error| self.failed(operation, error).at(offset))
    }

    /// What the driver answers, and whether it takes more memory than before.
    fn used_by<T>(
        &self,
        offset: u64,
        len: u64,
        act: impl FnOnce(&FormatAccess<ImageFile>) -> io::Result<T>,
    ) -> io::Result<(io::Result<T>, bool)> {
        let shared = self.driver.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = &*shared {
            return Ok((act(driver), self.note(offset, len)));
        }
        drop(shared);
        let mut slot = self.slot();
        let driver = match slot.take() {
            Some(driver) => slot.insert(driver),
            None => slot.insert(self.load()?),
        };
        let done = act(driver);
        self.note(offset, len);
        Ok((done, true))
    }

    /// Notes which tables were needed.
    fn note(&self, offset: u64, len: u64) -> bool {
        let last = offset.saturating_add(len.saturating_sub(1));
        let needed = offset.div_euclid(self.reach())..=last.div_euclid(self.reach());
        let mut used = self.used();
        used.last = USES.fetch_add(1, Ordering::Relaxed);
        let before = used.tables.len();
        if before >= MOST_TABLES {
            return false;
        }
        used.tables.extend(needed.take(MOST_TABLES));
        let grown = used.tables.len() > before;
        if grown {
            self.weigh(&mut used);
        }
        grown
    }

    fn weigh(&self, used: &mut Used) {
        let tables = used.tables.len().min(MOST_TABLES) as u64;
        let cached = tables
            .saturating_add(self.refcount_blocks())
            .saturating_mul(self.header.cluster_size);
        used.bytes = used.fixed.saturating_add(cached);
    }

    /// How many are needed to find a free cluster, which begins at the first; with 16 bits for each cluster,
    /// as they nearly always have.
    fn refcount_blocks(&self) -> u64 {
        let length = self.file.metadata().map_or(0, |metadata| metadata.len());
        // Of a block device the metadata has no length.
        let length = if length == 0 {
            self.header.size
        } else {
            length
        };
        let reach = self.reach().saturating_mul(4);
        length.div_ceil(reach).clamp(1, MOST_REFCOUNT_BLOCKS)
    }

    /// Returns when all is on stable storage, in the driver's memory or not.
    pub(super) fn sync(&self) -> Result<()> {
        let shared = self.driver.read().unwrap_or_else(PoisonError::into_inner);
        let flushed = shared.as_ref().map_or(Ok(()), |driver| driver.flush());
        flushed
            .and_then(|()| self.file.sync_all())
            .map_err(|error| self.failed(Operation::Flush, error))
    }

    fn load(&self) -> io::Result<FormatAccess<ImageFile>> {
        let options = StorageOpenOptions::new().filename(&self.path).write(true);
        let file = ImageFile::from_open_file(self.file.try_clone()?, options)?;
        let builder = Driver::<ImageFile>::builder(file).write(true);
        let driver = builder.open(DenyImplicitOpenGate::default())?;
        let mut used = self.used();
        used.fixed = self.header.tables_in_memory();
        self.weigh(&mut used);
        Ok(FormatAccess::new(driver))
    }

    fn slot(&self) -> RwLockWriteGuard<'_, Option<FormatAccess<ImageFile>>> {
        self.driver.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, operation: Operation, error: io::Error) -> Error {
        Error::from_io(operation, error).on(&self.path)
    }
}

impl Cached for Image {
    fn bytes(&self) -> u64 {
        self.used().bytes
    }

    fn last_used(&self) -> u64 {
        self.used().last
    }

    fn cached(&self) -> u64 {
        let used = self.used();
        used.bytes.saturating_sub(used.fixed)
    }

    fn close(&self) -> Result<()> {
        let mut slot = self.slot();
        if let Some(driver) = &*slot {
            driver
                .flush()
                .map_err(|error| self.failed(Operation::Flush, error))?;
        }
        *slot = None;
        *self.used() = Used::default();
        Ok(())
    }
}
