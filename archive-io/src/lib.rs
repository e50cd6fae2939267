//! Archives where they are: in files and pipes, with an index inside or beside them.
//!
//! [`Input`] opens what a path names and gives what `fleece-vma-format` reads. [`Folder`] is where it is extracted to with
//! what every system has, [`recover_to`] gets out of a damaged one what is intact, and [`ArchiveExport`] is a disk of one over NBD.
//!
//! Calls block; a cancelled [`CancelToken`] ends reading with an error. The threads are those of the format's
//! `restore`, and so is the memory. A [`Folder`] that is dropped before it is published is removed.

mod bytes;
mod cancellable;
mod encrypted;
mod error;
mod export;
mod extract;
mod folder;
mod growing;
mod input;
mod name;
#[cfg(unix)]
#[path = "system/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "system/windows.rs"]
mod system;

pub use cancellable::Cancellable;
pub use error::{Error, ErrorKind};
pub use export::ArchiveExport;
pub use extract::{
    RecoveredDisk, Recovery, RecoveryFolder, read_devices, recover_to, write_devices,
};
pub use fleece_cancel::{CancelReason, CancelToken};
pub use folder::{Folder, recover_into};
pub use growing::Growing;
pub use input::{Index, IndexPlace, Input};
pub use name::portable;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
