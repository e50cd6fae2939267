//! Files that appear whole, or not at all.
//!
//! A [`StagedFile`] is written under a temporary name beside its final one, synced, and committed: as a new
//! file, which never replaces another, or as a replacement. Dropped before, it is gone.
//!
//! ```
//! use std::io::Write as _;
//! use fleece_staged_file::StagedFile;
//!
//! # let directory = tempfile::tempdir()?;
//! let path = directory.path().join("backup.vma");
//! let mut staged = StagedFile::create(&path, 0o640)?;
//! staged.write_all(b"all of it")?;
//! assert!(!path.exists());
//! let committed = staged.commit_new()?;
//! assert!(committed.warning().is_none());
//! assert_eq!(std::fs::read(&path)?, b"all of it");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The temporary name follows from the final one, so that it can be put on record before the file is made.
//! It is locked (`flock`) as long as somebody writes it: what a killed process left is told from what another
//! one is writing, and is replaced. That, file systems without `RENAME_NOREPLACE` or without links, modes that do
//! not depend on the umask, and the sync of the directory are what the crate `tempfile` does not offer.
//!
//! All calls block, and syncing takes as long as the storage does: from async code, call them within
//! `tokio::task::spawn_blocking` or its like. No threads. Data goes straight to the file; a dropped [`StagedFile`]
//! that was not committed is removed, and a dropped [`LockFile`] is unlocked.
//!
//! Where others write, too, [`regular`] opens what is there and waits for nobody.
//!
//! [`meaning`] says what the errors of file systems mean, above all of those on a network.
//!
//! On Windows there are [`regular`] and [`meaning`] alone.
//!
//! [`LockFile`] is the other file beside files: an exclusive lock that is gone when nobody holds it.

#[cfg(unix)]
mod directory;
mod errno;
#[cfg(unix)]
mod file;
#[cfg(unix)]
mod lock;
pub mod regular;
#[cfg(unix)]
mod rename;

#[cfg(unix)]
pub use directory::{check_owned, create_directories, sync_directory, sync_directory_of};
pub use errno::meaning;
#[cfg(unix)]
pub use file::{Committed, StagedFile, remove_stale, temporary_name};
#[cfg(unix)]
pub use lock::{LockFile, Locking};
#[cfg(unix)]
pub use rename::rename_new;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
