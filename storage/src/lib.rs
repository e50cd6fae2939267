//! Storages, volumes and block devices.
//!
//! A *storage* keeps volumes: a directory, a volume group, a pool. It is named by its id in
//! Proxmox's `storage.cfg`, or is a directory given by its absolute path, without any
//! configuration. What a storage can do, and how, is behind one trait, [`Plugin`]; volumes are
//! named by a [`VolumeId`], which finds its plugin again for clean-up.
//!
//! ```
//! use fleece_storage::block::Access;
//! use fleece_storage::{AllocationRequest, Storages, VolumeFormat, free_names};
//!
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path().to_str().ok_or("not UTF-8")?;
//! let storages = Storages::none();
//! let storage = storages.open(directory)?;
//! let guest = "100".parse()?;
//! let names = free_names(storage.as_ref(), &guest, "disk", 2)?;
//! let request = AllocationRequest::new(names[0].clone(), VolumeFormat::Raw, 5 << 20);
//! let id = storage.allocate(&request)?;
//! assert_eq!(id, storage.volume_id(&names[0], VolumeFormat::Raw)?);
//!
//! let disk = storage.open(&id, Access::ReadWrite)?;
//! assert_eq!(disk.size(), 5 << 20);
//! disk.write_at(b"hello", 4096)?;
//! disk.flush()?;
//! drop(disk);
//!
//! let again = storages.resolve(&id)?;
//! again.free(&id)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! On systems other than Unix there are block devices only, and those in files.
//!
//! # Threads, async, memory, drop
//!
//! All calls block; what waits for a network or a program has a deadline of 10 to 120 seconds (removing a volume of
//! Ceph's: ten minutes). From async code, call them within `tokio::task::spawn_blocking` or its like. Storages start
//! programs (`lvs`, `zfs`, `rbd`, …) and, to ask a mount that may hang, a thread that is left behind if it does.
//! Block devices have no threads, and may be used by many at once.
//!
//! Raw devices keep nothing in memory, and a qcow2 image that is only read 32 KiB; of compressed ones each thread keeps a
//! cluster. The qcow2 images of a process that are written share 8 MiB for their tables; one that is [opened for a guest](block::Qcow2::open_for_guest) has its own, up to 10 MiB. [`block::MemoryDevice`] keeps what was
//! written.
//!
//! A dropped device does not flush: call [`flush`](block::WriteAt::flush), whose errors a drop could not report. A volume
//! stays until it is freed, whatever is dropped.

pub mod block;
#[cfg(unix)]
mod config;
#[cfg(unix)]
mod error;
#[cfg(unix)]
mod exec;
#[doc(hidden)]
#[cfg(unix)]
pub mod fuzzing;
#[cfg(unix)]
mod image;
#[cfg(unix)]
mod lock;
#[cfg(unix)]
mod mounts;
#[cfg(unix)]
mod name;
#[cfg(unix)]
mod plugin;
#[cfg(unix)]
mod probe;
#[cfg(unix)]
mod storages;
#[cfg(unix)]
pub mod testing;
#[cfg(unix)]
mod volume;

#[cfg(unix)]
pub use config::{StorageConfig, StorageFile, StorageSection};
#[cfg(unix)]
pub use error::{Error, ErrorKind};
#[cfg(unix)]
pub use name::{VolumeFormat, VolumeName};
#[cfg(unix)]
pub use plugin::dir::DirPlugin;
#[cfg(unix)]
pub use plugin::{AllocationRequest, Capabilities, Freed, Plugin, Status, free_names};
#[cfg(unix)]
pub use storages::Storages;
#[cfg(unix)]
pub use volume::{Volume, VolumeId};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
