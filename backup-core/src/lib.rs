//! Backup of running virtual machines, by copy-before-write, into Proxmox's VMA archives, and their restore.
//!
//! # A running guest of QEMU
//!
//! [`qemu::backup`] needs the guest's monitor, a directory for records, and a place for fleecing images.
//!
//! ```no_run
//! use fleece_backup_core::qemu::{self, Fleecing, GuestBackup};
//! use fleece_backup_core::{Address, ArchiveOptions, ArchiveTarget, CancelToken, Content};
//! use fleece_backup_core::{Event, Place, Reporter};
//!
//! struct Print;
//! impl Reporter for Print {
//!     fn report(&self, event: &Event) {
//!         println!("{event:?}");
//!     }
//! }
//!
//! let target = ArchiveTarget::file("/backup/web.vma");
//! let archive = ArchiveOptions::new(Content::now(), target);
//! let guest = Place::new("/var/lib/my-backups", "100".parse()?, None);
//! let fleecing = Fleecing::on("/var/lib/my-backups/images");
//! let job = GuestBackup::new(Address::unix("/run/web.qmp"), guest, fleecing, archive);
//! let outcome = qemu::backup(&job, &Print, &CancelToken::new())?;
//! println!("{} bytes, {} warnings", outcome.archived.size, outcome.warnings);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A disk of your own
//!
//! A [`cbw::Filter`] in front of any [`block::BlockDevice`] keeps one instant of it. [`Job`] puts the archive
//! on record, so that nothing stays behind when the process is killed.
//!
//! ```
//! use std::sync::Arc;
//! use fleece_backup_core::block::{MemoryDevice, WriteAt as _};
//! use fleece_backup_core::cbw::{Filter, Options, Snapshot};
//! use fleece_backup_core::native::SnapshotSource;
//! use fleece_backup_core::{ArchiveOptions, ArchiveTarget, CancelToken, Content};
//! use fleece_backup_core::{Event, Job, Place, Reporter, Storages};
//! # struct Silent;
//! # impl Reporter for Silent { fn report(&self, _: &Event) {} }
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//!
//! let disk = Filter::new(Arc::new(MemoryDevice::new(1 << 20)));
//! let guest = Place::new(directory.join("state"), "100".parse()?, None);
//! let cancel = CancelToken::new();
//! let job = Job::open(&guest, &Storages::none(), &Silent, &cancel)?;
//!
//! let old_data = Arc::new(MemoryDevice::new(1 << 20));
//! let disks = vec![(Arc::clone(&disk), old_data as _)];
//! let snapshot = Snapshot::attach(disks, &Options::default())?;
//! disk.write_at(b"not in the archive", 0)?;
//!
//! let source = SnapshotSource::new("drive-scsi0", snapshot.views()[0].clone());
//! let target = ArchiveTarget::file(directory.join("disk.vma"));
//! let archive = ArchiveOptions::new(Content::now(), target);
//! let archived = job.archive(&[Arc::new(source)], &archive, None, &Silent, &cancel)?;
//! assert_eq!((archived.disks, archived.zero), (1 << 20, 1 << 20));
//! snapshot.detach();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A restore
//!
//! ```
//! use fleece_backup_core::restore::{GuestRestore, restore_guest};
//! use fleece_backup_core::{CancelToken, Event, Place, Reporter};
//! # use std::sync::Arc;
//! # use fleece_backup_core::{ArchiveOptions, ArchiveTarget, Content, archive, block, native};
//! # struct Silent;
//! # impl Reporter for Silent { fn report(&self, _: &Event) {} }
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! # let disk = Arc::new(block::MemoryDevice::with_content(&[7; 65536]));
//! # let disk = Arc::new(native::ImageSource::new("drive-scsi0", disk));
//! # let file = directory.join("disk.vma");
//! # let options = ArchiveOptions::new(Content::now(), ArchiveTarget::file(&file));
//! # archive(&[disk], &options, None, &Silent, &CancelToken::new())?;
//!
//! let guest = Place::new(directory.join("state"), "101".parse()?, None);
//! let mut job = GuestRestore::new(file, directory.join("101.conf"), guest);
//! // The id of a storage, or a directory.
//! job.storage = Some(directory.display().to_string().parse()?);
//! let restored = restore_guest(&job, &Silent, &CancelToken::new())?;
//! let (disk, volume) = &restored.disks[0];
//! assert_eq!(disk, "drive-scsi0");
//! assert_eq!(std::fs::read(volume)?, [7; 65536]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The same three are programs in `examples/`.
//!
//! # Threads, memory, cancellation
//!
//! Every call blocks until it is done; from async code, call it in `spawn_blocking` or in a thread of your own.
//! A backup starts a planner, an encoder, a store, and as many readers as [`Pacing::depth`] allows; zstd
//! compresses on all cores. They hold at most 16 chunks of 1 MiB and a few extents of 4 MiB, whatever the size
//! of the disks. A [`Reporter`] is called on the thread that made the call.
//!
//! [`CancelToken::cancel`] ends a job from any thread: the guest gets its plain disks back, what was made is
//! removed, and the call returns an error of kind [`ErrorKind::Cancelled`]. Nothing waits for a target or a
//! storage that hangs: the thread that does is abandoned, and what it may leave stays on record.
//!
//! Dropping a [`cbw::Snapshot`] or a [`native::Guest`] gives the instant back; dropping a [`Job`] unlocks the
//! record. When the process is killed instead, the next job of the same guest, or
//! [`cleanup`](fleece_fleecing::cleanup), removes what is on record.
//!
//! Errors have a kind for programs, a message and causes for people, and often an [`Advice`]: what could be
//! done, as data. Sizes are bytes, and rates bytes per second.

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a test that overflows fails, as it should"
    )
)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub mod cbw;
pub mod clock;
pub mod dump;
pub mod input;
mod job;
pub mod native;
pub mod pace;
mod pipeline;
pub mod qemu;
mod report;
pub mod restore;
mod target;

pub use fleece_fleecing as fleecing;
pub use fleece_fleecing::Place;
pub use fleece_guest_config::{GuestConfig, GuestId};
pub use fleece_libvirt;
pub use fleece_qmp_client::Address;
pub use fleece_storage::{Storages, VolumeFormat, block};
pub use job::archive::content::Content;
pub use job::archive::named::NamedFile;
pub use job::archive::{ArchiveOptions, Archived, archive};
pub use report::advice::Advice;

pub use job::archive::rename::Rename;
pub use job::cancel::{CancelReason, CancelToken};
pub use job::incremental::Incrementally;
pub use job::places::Places;
pub use job::stopped::stopped_images;
pub use job::who::{Guest, Who, proxmox_monitor};
pub use job::{Job, Outcome, Tracked};
pub use native::exports;
pub use pace::gate::DepthGate;
pub use pace::options::Pacing;
pub use pace::rate::RateLimit;
pub use pipeline::source::packed::PackedDisk;
pub use pipeline::source::{Extent, Source};
pub use pipeline::transfer::GuestWatch;
pub use report::error::{Error, ErrorKind};
pub use report::foresight::Foreseen;
pub use report::series::{Point, Series};
pub use report::units;
pub use report::{Counters, Event, Phase, Progress, Reporter, Warning};
pub use target::base::BaseArchive;
pub use target::cache::Cache;
pub use target::compression::Compression;
pub use target::deadline::at_target;
pub use target::encrypted::EncryptedTarget;
pub use target::new::NewArchive;
pub use target::object::ObjectTarget;
pub use target::options::{ArchiveTarget, Unfinished};
pub use target::place::{FileTarget, Staged, Target};
pub use target::signed::SignedTarget;
pub use target::staged::{ArchiveFile, FileOptions};
pub use target::stream::StreamTarget;
pub use target::throttled::ThrottledTarget;

/// What fuzz targets call; no part of the API.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::dump::stats::fuzz as run_stats;
    pub use crate::native::fuzzing::{account, control_messages};
    pub use crate::restore::fuzzing::start_of_a_guest;
}
