//! A disk in memory, for tests and demonstrations.

use std::fmt;
use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{
    BlockStatus, Discard, Extent, Geometry, Operation, ReadAt, Result, Status, WriteAt, check_range,
};

/// A sparse disk in memory: pages that were never written cost nothing and read as zeroes.
///
/// Each page has its own lock, so threads meet only where their requests do. A request over several
/// pages is not atomic, as on real disks.
pub struct MemoryDevice {
    size: u64,
    pages: Box<[RwLock<Page>]>,
}

/// Bytes per page, the unit of allocation: as fine as a file system's blocks.
const PAGE: u64 = 4096;

type Page = Option<Box<[u8]>>;

impl MemoryDevice {
    /// A disk of `size` bytes, all zero.
    #[must_use]
    pub fn new(size: u64) -> Self {
        let pages = (0..size.div_ceil(PAGE))
            .map(|_| RwLock::new(None))
            .collect();
        Self { size, pages }
    }

    /// A disk that holds `content`.
    #[must_use]
    pub fn with_content(content: &[u8]) -> Self {
        let pages = content
            .chunks(PAGE_LEN)
            .map(|chunk| {
                let mut page = new_page();
                page.iter_mut()
                    .zip(chunk)
                    .for_each(|(to, from)| *to = *from);
                RwLock::new(Some(page))
            })
            .collect();
        Self {
            size: content.len() as u64,
            pages,
        }
    }

    /// How many bytes of memory hold data now.
    #[must_use]
    pub fn allocated(&self) -> u64 {
        let pages = self
            .pages
            .iter()
            .filter(|page| read(page).is_some())
            .count();
        PAGE.saturating_mul(pages as u64)
    }

    /// The pages under a range, each with the part of the page and the part of the range.
    fn parts(
        &self,
        offset: u64,
        len: u64,
    ) -> impl Iterator<Item = (&RwLock<Page>, Range<usize>, Range<usize>)> {
        let end = offset.saturating_add(len);
        let first = usize::try_from(offset / PAGE).unwrap_or(usize::MAX);
        self.pages
            .iter()
            .enumerate()
            .skip(first)
            .map_while(move |(index, page)| {
                let start = PAGE.saturating_mul(index as u64);
                let from = offset.max(start);
                let to = end.min(start.saturating_add(PAGE));
                let within = |base: u64| {
                    let index = |position: u64| usize::try_from(position.checked_sub(base)?).ok();
                    Some(index(from)?..index(to)?)
                };
                if from < to {
                    Some((page, within(start)?, within(offset)?))
                } else {
                    None
                }
            })
    }

    /// Drop whole pages, clear parts of pages.
    fn clear(&self, offset: u64, len: u64) {
        // The last page has nothing behind the end of the device that would keep it.
        let to_the_end = offset.saturating_add(len) == self.size;
        for (page, inside, _) in self.parts(offset, len) {
            let mut page = write(page);
            if inside.start == 0 && (inside.end == PAGE_LEN || to_the_end) {
                *page = None;
            } else if let Some(bytes) = page.as_mut().and_then(|page| page.get_mut(inside)) {
                bytes.fill(0);
            }
        }
    }
}

impl Geometry for MemoryDevice {
    fn size(&self) -> u64 {
        self.size
    }

    fn alignment(&self) -> u64 {
        PAGE
    }
}

impl ReadAt for MemoryDevice {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(Operation::Read, self.size, offset, buf.len() as u64)?;
        for (page, inside, outside) in self.parts(offset, buf.len() as u64) {
            let Some(to) = buf.get_mut(outside) else {
                continue;
            };
            match read(page).as_deref().and_then(|page| page.get(inside)) {
                Some(from) => to.copy_from_slice(from),
                None => to.fill(0),
            }
        }
        Ok(())
    }
}

impl BlockStatus for MemoryDevice {
    fn block_status(&self, offset: u64, len: u64) -> Result<Extent> {
        check_range(Operation::Status, self.size, offset, len)?;
        let mut extent = Extent {
            status: Status::Data,
            len: 0,
        };
        for (page, inside, _) in self.parts(offset, len) {
            let status = if read(page).is_some() {
                Status::Data
            } else {
                Status::Zero
            };
            if extent.len > 0 && extent.status != status {
                break;
            }
            extent = Extent {
                status,
                len: extent.len.saturating_add(inside.len() as u64),
            };
        }
        Ok(extent)
    }
}

impl WriteAt for MemoryDevice {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        check_range(Operation::Write, self.size, offset, buf.len() as u64)?;
        for (page, inside, outside) in self.parts(offset, buf.len() as u64) {
            let mut page = write(page);
            let page = page.get_or_insert_with(new_page);
            if let (Some(to), Some(from)) = (page.get_mut(inside), buf.get(outside)) {
                to.copy_from_slice(from);
            }
        }
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        check_range(Operation::WriteZeroes, self.size, offset, len)?;
        self.clear(offset, len);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

impl Discard for MemoryDevice {
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        check_range(Operation::Discard, self.size, offset, len)?;
        self.clear(offset, len);
        Ok(())
    }
}

impl fmt::Debug for MemoryDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDevice")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "4096 fits")]
const PAGE_LEN: usize = PAGE as usize;

fn new_page() -> Box<[u8]> {
    vec![0; PAGE_LEN].into_boxed_slice()
}

// A panic between locking and unlocking leaves no page half changed in a way that matters.
fn read(page: &RwLock<Page>) -> RwLockReadGuard<'_, Page> {
    page.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(page: &RwLock<Page>) -> RwLockWriteGuard<'_, Page> {
    page.write().unwrap_or_else(PoisonError::into_inner)
}
