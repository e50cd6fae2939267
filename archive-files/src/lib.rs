//! The files inside disk images, read without mounting anything: as any user, on any system, from anything that can be read
//! at an offset.
//!
//! [`Volumes::find`] looks at disks and finds partitions (GPT, MBR), LVM's logical volumes, MD's arrays, and what is on each
//! of them. [`Volume::open`] gives the files of one as a [`FileTree`], which is the same for all file systems. [`resolve`]
//! finds a path in it, [`Walk`] visits everything below a directory.
//!
//! Disks are the work of somebody else. Whatever is on them, calls end, take bounded memory, and do not panic; names
//! cannot lead out of where they are put, if whoever writes them opens what is beneath. Wrap a disk in [`Cached`],
//! which keeps what was read last, and can end what reads for ever.
//!
#![doc = include_str!("../README.md")]

mod acl;
mod btrfs;
mod bytes;
mod cache;
mod error;
mod ext;
mod fat;
mod filesystem;
#[doc(hidden)]
pub mod fuzzing;
mod iso;
mod known;
mod ntfs;
mod path;
mod source;
mod tree;
mod volumes;
mod walk;
mod xfs;

pub use cache::Cached;
pub use error::{Error, ErrorKind, Result};
pub use filesystem::FileSystem;
pub use known::open;
pub use path::{Follow, resolve};
pub use source::{Shared, Source};
pub use tree::{Entry, FileTree, Kind, NodeId, Stat, Time};
pub use volumes::{Content, Volume, Volumes};
pub use walk::{Found, Limits, Walk};
