//! Proxmox guest configuration files (`<vmid>.conf`): read, and edit one key without disturbing
//! the rest.
//!
//! A file is a main section of `key: value` lines followed by `[named]` sections: pending
//! changes, special sections (cloud-init, fleecing) and snapshots. Every line that is not edited
//! keeps its bytes, including those this crate does not understand.
//!
//! ```
//! use fleece_guest_config::GuestConfig;
//!
//! let text = "#my guest\nname: web\nscsi0: local:100/vm-100-disk-0.raw,size=4G,discard=on\n";
//! let mut config = GuestConfig::parse(text)?;
//! assert_eq!(config.main().get("name"), Some("web"));
//! assert_eq!(config.drives()?[0].device_name(), "drive-scsi0");
//!
//! config.set_fleecing_images(&["local:100/vm-100-fleece-0.raw"])?;
//! assert!(config.to_string().ends_with(
//!     "\n[special:fleecing]\nfleecing-images: local:100/vm-100-fleece-0.raw\n"
//! ));
//! config.set_fleecing_images::<&str>(&[])?;
//! assert_eq!(config.to_string(), text);
//! # Ok::<(), fleece_guest_config::Error>(())
//! ```
//!
//! The grammar does no I/O; a configuration holds its text in memory, 1 MiB at most. [`ConfigFile`] is the thin
//! shell beside it: locked, atomic updates. It blocks while somebody else holds the lock, for
//! ten seconds at most; from async code, call it within `tokio::task::spawn_blocking` or its like. No threads; a drop
//! changes nothing.
//!
//! The grammar is that of Proxmox VE's `qm.conf(5)` and `PVE::QemuServer::parse_vm_config`.

mod archive;
mod config;
mod drive;
mod error;
mod file;
mod fleecing;
#[doc(hidden)]
pub mod fuzzing;
mod guest;
mod line;
mod machine;
mod property;
mod restore;
mod section;

pub use archive::QmdumpMap;
pub use config::GuestConfig;
pub use drive::{Drive, Exclusion, drive_size, is_drive_key};
pub use error::{Error, ErrorKind};
pub use file::ConfigFile;
pub use guest::GuestId;
pub use machine::{CardRecord, DiskRecord, MACHINE_FILE, MachineRecord};
pub use property::PropertyString;
pub use restore::Restoration;
pub use section::{Section, SectionKind};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
