//! A file whose size is not known before: a RAM state.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use fleece_vma_format::CLUSTER_SIZE;
use fleece_vma_format::restore::Target;

use crate::system::write_all_at;

/// A file that grows as it is written.
#[derive(Debug)]
pub struct Growing {
    file: File,
    /// What the archive declares.
    size: u64,
    end: AtomicU64,
}

impl Growing {
    /// A new file, of which the archive says that it has so many bytes.
    #[must_use]
    pub const fn new(file: File, size: u64) -> Self {
        Self {
            file,
            size,
            end: AtomicU64::new(0),
        }
    }

    /// Cuts the padding of the last cluster off, if that is where the declared size is; with `sync`, waits until all is on
    /// stable storage.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn finish(&self, sync: bool) -> io::Result<()> {
        let end = self.end.load(Ordering::Relaxed);
        let last = end.saturating_sub(CLUSTER_SIZE as u64);
        let length = if (last..=end).contains(&self.size) {
            self.size
        } else {
            end
        };
        self.file.set_len(length)?;
        match sync {
            true => self.file.sync_all(),
            false => Ok(()),
        }
    }

    fn reach(&self, offset: u64, length: u64) {
        // Clusters are 64 KiB even where their last blocks are zero.
        let end = offset
            .saturating_add(length)
            .next_multiple_of(CLUSTER_SIZE as u64);
        self.end.fetch_max(end, Ordering::Relaxed);
    }
}

impl Target for Growing {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.reach(offset, data.len() as u64);
        write_all_at(&self.file, data, offset)
    }

    fn zero_at(&self, offset: u64, length: u64) -> io::Result<()> {
        // What was never written reads as zeroes.
        self.reach(offset, length);
        Ok(())
    }

    fn zeroes_needed(&self) -> bool {
        true
    }
}
