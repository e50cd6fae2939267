//! A disk that is restored to.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::RecvTimeoutError;
use fleece_storage::block::{BlockDevice, WriteAt};
use fleece_vma_format::restore::Target;

use crate::job::cancel::CancelToken;
use crate::pace::rate::RateLimit;
use crate::target::writeback::Writeback;

/// A disk of `fleece-storage` as the target of an archive's device.
#[derive(Debug)]
pub struct DiskTarget {
    device: Arc<dyn WriteAt>,
    zeroes_needed: bool,
    limit: Option<Arc<RateLimit>>,
    cancel: CancelToken,
    writeback: Option<Arc<Writeback>>,
    /// The archive's file, of which blocks are shared, until that is refused: it will be again.
    archive: Option<Arc<File>>,
    refused: AtomicBool,
    /// The same disk to read, if what is there is compared.
    old: Option<Arc<dyn BlockDevice>>,
}

impl DiskTarget {
    /// `zeroes_needed` says that the disk may hold something else than zeroes.
    #[must_use]
    pub fn new(device: Arc<dyn WriteAt>, zeroes_needed: bool) -> Self {
        Self {
            device,
            zeroes_needed,
            limit: None,
            cancel: CancelToken::new(),
            writeback: None,
            archive: None,
            refused: AtomicBool::new(false),
            old: None,
        }
    }

    /// Shares blocks with the archive's file.
    #[must_use]
    pub(crate) fn sharing(mut self, archive: Option<Arc<File>>) -> Self {
        self.archive = archive;
        self
    }

    /// Does not even read of the archive what `old`, the disk itself, has already.
    #[must_use]
    pub(super) fn comparing(mut self, old: Option<Arc<dyn BlockDevice>>) -> Self {
        self.old = old;
        self
    }

    /// Writes no faster than `limit`.
    #[must_use]
    pub fn limited(mut self, limit: Option<Arc<RateLimit>>) -> Self {
        self.limit = limit;
        self
    }

    /// Does not wait for the limit any more when the job is cancelled.
    #[must_use]
    pub fn cancelled_by(mut self, cancel: &CancelToken) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// Tells `writeback` how much is written.
    #[must_use]
    pub fn written_back(mut self, writeback: Option<Arc<Writeback>>) -> Self {
        self.writeback = writeback;
        self
    }

    fn wait(&self, bytes: u64) -> io::Result<()> {
        let Some(limit) = &self.limit else {
            return Ok(());
        };
        let wait = limit.book(bytes, Instant::now());
        match self.cancel.fired().recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(io::Error::other("cancelled")),
        }
    }
}

impl Target for DiskTarget {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.wait(data.len() as u64)?;
        let written = self.device.write_at(data, offset);
        written.map_err(io::Error::other)?;
        if let Some(writeback) = &self.writeback {
            writeback.wrote(data.len() as u64);
        }
        Ok(())
    }

    fn share_at(&self, offset: u64, place: u64, length: u64) -> bool {
        let may = self.limit.is_none() && !self.refused.load(Ordering::Relaxed);
        let Some(archive) = self.archive.as_ref().filter(|_| may) else {
            return false;
        };
        let shared = self.device.share_from(archive, place, offset, length);
        let done = matches!(shared, Ok(true));
        if !done {
            self.refused.store(true, Ordering::Relaxed);
        }
        done
    }

    fn old_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
        let Some(old) = &self.old else {
            return Ok(false);
        };
        old.read_at(buffer, offset).map_err(io::Error::other)?;
        Ok(true)
    }

    fn zero_at(&self, offset: u64, length: u64) -> io::Result<()> {
        self.device
            .write_zeroes(offset, length)
            .map_err(io::Error::other)
    }

    fn zeroes_needed(&self) -> bool {
        self.zeroes_needed
    }
}
