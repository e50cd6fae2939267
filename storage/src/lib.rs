//! Storages, volumes and block devices.
//!
//! A *storage* keeps volumes: a directory, a volume group, a pool. It is named by its id in
//! Proxmox's `storage.cfg`, or is a directory given by its absolute path, without any
//! configuration. What a storage can do, and how, is behind one trait, [`Plugin`]; volumes are
//! named by a [`VolumeId`], which finds its plugin again for clean-up.
//!
//! ```
//! use fleece_storage::{AllocationRequest, Storages, VolumeFormat, free_names};
//!
//! # let directory = tempfile::tempdir().unwrap();
//! let storages = Storages::none();
//! let storage = storages.open(directory.path().to_str().unwrap())?;
//! let names = free_names(storage.as_ref(), 100, "fleece", 2)?;
//! let request = AllocationRequest::new(names[0].clone(), VolumeFormat::Raw, 5 << 20);
//! let id = storage.allocate(&request)?;
//! assert_eq!(id, storage.volume_id(&names[0], VolumeFormat::Raw)?);
//! assert_eq!(storage.size(&id)?, 5 << 20);
//!
//! let again = storages.resolve(&id)?;
//! again.free(&id)?;
//! # Ok::<(), fleece_storage::Error>(())
//! ```

pub mod block;
mod config;
mod error;
mod exec;
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod lock;
mod mounts;
mod name;
mod plugin;
mod probe;
mod storages;
pub mod testing;
mod volume;

pub use config::{StorageConfig, StorageFile, StorageSection};
pub use error::{Error, ErrorKind};
pub use name::{VolumeFormat, VolumeName};
pub use plugin::dir::DirPlugin;
pub use plugin::{AllocationRequest, Capabilities, Freed, Plugin, Status, free_names};
pub use storages::Storages;
pub use volume::{Volume, VolumeId};
