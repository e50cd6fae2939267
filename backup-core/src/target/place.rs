//! Where the bytes of an archive go.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fleece_staged_file::{remove_stale, temporary_name};
use fleece_vma_format::index::beside;

use crate::report::error::Error;
use crate::target::staged::{ArchiveFile, FileOptions};

/// Where an archive goes. One target may wrap another.
///
/// Its methods, and those of what it begins, may block; they are called by threads that a backup abandons
/// when the target does not answer.
pub trait Target: fmt::Debug + Send + Sync {
    /// Where the archive will lie; `None` if it is no file.
    fn path(&self) -> Option<&Path>;

    /// Begins the archive, of about so many bytes at most, before compression; 0 if that is not known.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`](crate::ErrorKind::Target) when it cannot be written there, or something has its name already.
    fn begin(&self, most: u64) -> Result<Box<dyn Staged>, Error>;

    /// Begins the index of an archive that has none inside; `None` if there is no place for it.
    ///
    /// # Errors
    /// As [`Target::begin`].
    fn begin_index(&self) -> Result<Option<Box<dyn Staged>>, Error> {
        Ok(None)
    }
}

/// An archive, or its index, that is being written and appears when it is committed. Dropped before, it
/// leaves nothing.
pub trait Staged: Write + fmt::Debug + Send {
    /// From now on, what was written stays, under a name that says what it is, if this is dropped.
    fn keep_partial(&mut self) {}

    /// Whether it can share blocks with `from`, so that [`Staged::share`] costs neither time nor space.
    fn can_share(&self, from: &File) -> bool {
        let _ = from;
        false
    }

    /// Puts up to `length` bytes of `from`, from `offset` on, at the end of what was written; says how many. What cannot be
    /// shared may be copied.
    ///
    /// # Errors
    /// Whatever the system says. Nothing is put there then, and the same bytes can still be written.
    fn share(&mut self, from: &File, offset: u64, length: u64) -> io::Result<u64> {
        let _ = (from, offset, length);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// How many bytes lie at the target, if that differs from those that were written; known once it is synced.
    fn stored(&self) -> Option<u64> {
        None
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`](crate::ErrorKind::Target); a failed sync is final.
    fn sync(&mut self) -> Result<(), Error>;

    /// Gives it its final name. The result is a warning, if there is one.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`](crate::ErrorKind::Target); nothing is left then.
    fn commit(self: Box<Self>) -> Result<Option<String>, Error>;
}

/// A file, which must not exist yet.
#[derive(Clone, Debug)]
pub struct FileTarget {
    path: PathBuf,
    options: FileOptions,
}

impl FileTarget {
    /// The file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::with(path, FileOptions::default())
    }

    /// The same with options, which hold for its index, too.
    #[must_use]
    pub fn with(path: impl Into<PathBuf>, options: FileOptions) -> Self {
        Self {
            path: path.into(),
            options,
        }
    }
}

impl Target for FileTarget {
    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn begin(&self, _most: u64) -> Result<Box<dyn Staged>, Error> {
        // What a killed process left, also of one that got as far as to name its archive. What cannot be removed is
        // in the way of the next step, which says so.
        for path in [&self.path, &beside(&self.path)] {
            let _ = remove_stale(&temporary_name(path));
        }
        Ok(Box::new(ArchiveFile::create_with(
            &self.path,
            &self.options,
        )?))
    }

    fn begin_index(&self) -> Result<Option<Box<dyn Staged>>, Error> {
        let index = ArchiveFile::create_with(&beside(&self.path), &self.options)?;
        Ok(Some(Box::new(index)))
    }
}

impl Staged for ArchiveFile {
    fn keep_partial(&mut self) {
        Self::keep_partial(self);
    }

    fn can_share(&self, from: &File) -> bool {
        Self::can_share(self, from)
    }

    fn share(&mut self, from: &File, offset: u64, length: u64) -> io::Result<u64> {
        Self::share(self, from, offset, length)
    }

    fn sync(&mut self) -> Result<(), Error> {
        Self::sync(self)
    }

    fn commit(self: Box<Self>) -> Result<Option<String>, Error> {
        Ok((*self).commit()?.warning().map(str::to_owned))
    }
}
