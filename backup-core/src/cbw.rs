//! Copy-before-write in process: one instant of running disks, kept while guests write on.
//!
//! ```text
//!     guest ──► Filter ──────────────────► source
//!                 │ old data first           │ clusters that were never overwritten
//!                 ▼                          ▼
//!               target ───────────► SnapshotView ──► backup
//!                 ▲                          │
//!                 └── release: space freed ──┘
//! ```
//!
//! A [`Filter`] stands in front of each disk of a guest and is used in its place. Without a
//! snapshot it only counts the writes that pass, and keeps an account of which clusters they change. [`Snapshot::attach`] closes the gates of all
//! filters, waits for the writes that are under way, and opens them again: that moment is the
//! instant. From then on a write to a cluster that the snapshot still needs first has it copied to
//! the target; writes to the same cluster wait for that copy, others do not. A [`SnapshotView`]
//! reads the disk as it was, and releases what it has read.
//!
//! ```
//! use std::sync::Arc;
//! use fleece_backup_core::cbw::{Filter, Options, Snapshot};
//! use fleece_storage::block::{MemoryDevice, WriteAt};
//!
//! let disk = Filter::new(Arc::new(MemoryDevice::with_content(b"old")));
//! let target = Arc::new(MemoryDevice::new(3));
//! let snapshot = Snapshot::attach(vec![(Arc::clone(&disk), target)], &Options::default())?;
//!
//! disk.write_at(b"new", 0)?;
//!
//! let mut content = [0; 3];
//! snapshot.views()[0].read_at(&mut content, 0)?;
//! assert_eq!(&content, b"old");
//! snapshot.detach();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Promises
//!
//! - A guest write is held back only while old data of the clusters that it touches is copied, and
//!   in all no longer than [`Options::timeout`], even if the target hangs for ever: copying is done
//!   by threads that can be abandoned.
//! - When old data cannot be saved, the snapshot breaks and the guest writes on
//!   ([`Policy::BreakSnapshot`]), or the guest's write fails and the snapshot stays whole
//!   ([`Policy::BreakGuestWrite`]). All disks of a snapshot break together, and whoever reads is
//!   told the first cause.
//! - Readers never hold back guests.
//! - A write to clusters that are saved already takes no lock that another write could hold.
//! - Memory: one bit per 64 KiB of a disk for the account of changes; of a snapshot two bits per cluster, a buffer of at
//!   most 1 MiB, or a cluster if that is more, for each of the four threads that save for guests, and what readers ask for
//!   at once.
//!
//! # Without fleecing
//!
//! A target that is as slow as the place where the archive goes makes guests feel it: each first
//! write to a cluster waits until the old data has arrived there. That is what a backup without
//! fleecing does, and what a [`Throttled`] target shows that shares its rate limit with the archive.
//!
//! # Edges
//!
//! The last cluster of a disk is as long as what is left of the disk, so any size works, also less
//! than a cluster; a disk of no bytes is attached and read like others. A larger target is fine.

pub(crate) mod changes;
mod disk;
mod error;
mod fate;
mod filter;
mod gate;
mod options;
mod snapshot;
mod states;
mod sync;
#[cfg(test)]
mod tests;
mod throttled;
mod usage;
mod view;
mod workers;

pub use error::{Error, ErrorKind, Result};
pub use filter::Filter;
pub use options::{ClusterSize, Options, Policy};
pub use snapshot::Snapshot;
pub use throttled::Throttled;
pub use usage::Usage;
pub use view::SnapshotView;
