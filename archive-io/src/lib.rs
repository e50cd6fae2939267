//! Archives where they are: in files and pipes, with an index inside or beside them.
//!
//! [`Input`] opens what a path names and gives what `fleece-vma-format` reads. Calls block; a cancelled
//! [`CancelToken`] ends reading with an error. No threads, and no memory but that of the format's readers.

mod cancellable;
mod error;
mod input;
#[cfg(feature = "object-storage")]
mod object;
#[cfg(unix)]
#[path = "system/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "system/windows.rs"]
mod system;

pub use cancellable::Cancellable;
pub use error::{Error, ErrorKind};
pub use fleece_cancel::{CancelReason, CancelToken};
pub use input::{Index, IndexPlace, Input};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
