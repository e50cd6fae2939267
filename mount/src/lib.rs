//! Disks, and the files in them, as a FUSE file system.
//!
//! [`Mounted::new`] mounts: as root by mount(2), as a user by way of `fusermount3`, without libfuse. In the directory
//! there is a file for each [`Disk`]: sparse (`SEEK_DATA` and `SEEK_HOLE` find its holes), of its true allocated size,
//! kept in the page cache. Below `files/` there are the files of volumes
//! ([`FileTree`]), read-only, with their modes, owners, times, links, holes and extended attributes. An [`Overlay`] in front of a disk takes what is written, so that the disk itself is never
//! changed.
//!
//! What a file system left that was killed, a mount point at which nobody answers, is replaced.
//!
//! # Threads, memory, drop
//!
//! A thread for each processor, from two to eight, serves requests, each with a buffer of up to 1 MiB, and one waits for
//! them. [`Mounted::wait`] blocks until the file system is unmounted, or the token is cancelled. A dropped [`Mounted`]
//! is unmounted.

#![cfg(target_os = "linux")]

mod disk;
mod error;
mod files;
mod fusermount;
mod inode;
mod overlay;
mod place;
mod session;
mod trees;

pub use disk::{Disk, Run};
pub use error::Error;
pub use fleece_archive_files::FileTree;
pub use fleece_cancel::CancelToken;
pub use overlay::{Overlay, Store};
pub use session::{Contents, Mounted, Options};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
