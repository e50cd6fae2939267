//! The page cache under an archive: data goes to the disk while more is being written, so that little is left for
//! the final sync.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};

use crate::target::writeback::Writeback;

/// Data is dropped from the page cache in steps of this many bytes.
const STEP: u64 = 32 << 20;

/// What happens to data that was written, before the end and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cache {
    /// It is written back and dropped from the page cache, which the host's guests need; synced at the end.
    Drop,
    /// It is written back and stays in the page cache; synced at the end.
    Keep,
    /// It is left to the system: a power failure may take it.
    NotDurable,
}

/// An archive's file, as far as the page cache is concerned.
#[derive(Debug)]
pub(crate) enum Writing {
    /// By advice to the page cache, which forgets it; up to this offset that has been given.
    Drop(u64),
    /// By a thread that syncs; so many bytes have been counted.
    Keep(Writeback, u64),
    /// Not at all.
    None,
}

impl Writing {
    pub(crate) fn begin(file: &File, cache: Cache) -> io::Result<Self> {
        Ok(match cache {
            Cache::Drop => Self::Drop(0),
            Cache::Keep => {
                let file = file.try_clone()?;
                Self::Keep(Writeback::new(move || file.sync_data())?, 0)
            }
            Cache::NotDurable => Self::None,
        })
    }

    /// Tells that `file` has `written` bytes by now.
    pub(crate) fn wrote(&mut self, file: &File, written: u64) {
        match self {
            Self::Drop(advised) if written.saturating_sub(*advised) >= STEP => {
                // On dirty pages this starts writing them back, on clean ones it drops them; so each range is
                // named twice: now, and one step later. It is only advice: errors do not matter.
                let from = advised.saturating_sub(STEP);
                let length = NonZeroU64::new(written.saturating_sub(from));
                let _ = fadvise(file, from, length, Advice::DontNeed);
                *advised = written;
            }
            Self::Keep(thread, counted) => {
                thread.wrote(written.saturating_sub(*counted));
                *counted = written;
            }
            Self::Drop(_) | Self::None => {}
        }
    }

    /// Waits for what is under way.
    ///
    /// # Errors
    /// The first that was met.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Keep(thread, _) => thread.finish(),
            Self::Drop(_) | Self::None => Ok(()),
        }
    }
}
