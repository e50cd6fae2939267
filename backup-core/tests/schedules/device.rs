//! A disk of a few pages of equal bytes, each of which is read and written at one moment.

use std::sync::Arc;

use fleece_storage::block::{
    BlockStatus, Discard, Error, ErrorKind, Extent, Geometry, Operation, ReadAt, Result, Status,
    WriteAt,
};
use shuttle::sync::atomic::{AtomicBool, AtomicU8, Ordering};

pub(crate) const PAGE: u64 = 4096;

/// The scheduler may switch between any two pages.
#[derive(Debug)]
pub(crate) struct Pages {
    pages: Vec<AtomicU8>,
    failing: AtomicBool,
}

impl Pages {
    pub(crate) fn new(content: &[u8]) -> Arc<Self> {
        let pages = content.iter().map(|byte| AtomicU8::new(*byte)).collect();
        Arc::new(Self {
            pages,
            failing: AtomicBool::new(false),
        })
    }

    /// All writes fail from now on.
    pub(crate) fn fail(&self) {
        self.failing.store(true, Ordering::SeqCst);
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        self.pages
            .iter()
            .map(|page| page.load(Ordering::SeqCst))
            .collect()
    }

    fn range(&self, offset: u64, len: u64) -> &[AtomicU8] {
        &self.pages[(offset / PAGE) as usize..][..(len / PAGE) as usize]
    }

    fn store(&self, offset: u64, len: u64, byte: impl Fn(usize) -> u8) -> Result<()> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Io, Operation::Write));
        }
        for (index, page) in self.range(offset, len).iter().enumerate() {
            page.store(byte(index * PAGE as usize), Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Geometry for Pages {
    fn size(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }
}

impl ReadAt for Pages {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let pages = self.range(offset, buf.len() as u64);
        for (page, part) in pages.iter().zip(buf.chunks_mut(PAGE as usize)) {
            part.fill(page.load(Ordering::SeqCst));
        }
        Ok(())
    }
}

impl BlockStatus for Pages {
    fn block_status(&self, offset: u64, _len: u64) -> Result<Extent> {
        let zero = self.range(offset, PAGE)[0].load(Ordering::SeqCst) == 0;
        Ok(Extent {
            status: if zero { Status::Zero } else { Status::Data },
            len: PAGE,
        })
    }
}

impl WriteAt for Pages {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.store(offset, buf.len() as u64, |at| buf[at])
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        self.store(offset, len, |_| 0)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// What is discarded reads as rubbish, so that reading it is noticed.
impl Discard for Pages {
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.store(offset, len, |_| 0xdd)
    }
}
