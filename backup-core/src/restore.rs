//! From an archive back to a guest: volumes on storages, and the guest's configuration.
//!
//! What happens, in order:
//!
//! 1. `input`: the archive is opened, a file or a pipe, and its header read and checked.
//! 2. `plan`: each disk of the archive gets its drive, its storage and its format.
//! 3. `old`, `volumes`: a guest of that number is looked at, and so is the room on the storages. Up to
//!    here nothing was changed anywhere.
//! 4. `volumes`: new volumes are put on record and then made.
//! 5. `copy`: the archive is read once, front to back, and its disks written in parallel.
//! 6. `firewall`, `config`: the archived configuration gets the new volumes; it is written last, at once,
//!    when the guest's firewall rules are there.
//! 7. `old`: only now the volumes that the guest had before are freed.
//!
//! Whatever fails before the configuration is written, what was made is freed; what a killed restore
//! made is on record for a clean-up.
//!
//! `in_place` keeps the disks of the guest that is there and writes only what differs (`compared`), instead of 4 and 7. What
//! it writes cannot be undone: that is on record until all of it is written.
//!
//! `folder` is for people without storages: images, the archived configurations, and what starts the guest. `live` starts it
//! at once, on images that lie over the archive, and copies the disks behind it; `drill` only looks whether it boots.

mod anywhere;
mod behind;
mod choice;
mod compared;
mod config;
mod copy;
mod definition;
mod directory;
mod drill;
mod dry;
mod extraction;
pub(crate) mod failure;
mod firewall;
mod folder;
mod guest;
mod in_place;
mod job;
mod live;
mod mapped;
mod old;
mod opened;
mod plan;
mod recovery;
mod rename;
mod start;
mod target;
mod volumes;

use std::path::PathBuf;
use std::time::Duration;

pub use crate::target::writeback::Writeback;
pub use choice::{Choice, DiskChoice, StorageChoice};
pub use directory::Directory;
pub use drill::{Drill, Drilled, FileSystemCheck, Marker, drill, sweep_drills};
pub use extraction::Extraction;
pub use fleece_archive_io::{Growing, RecoveredDisk, Recovery};
pub(crate) use folder::fuzzing;
pub use folder::{DomainRestore, FolderRestore, Place, restore_domain, restore_folder};
pub use guest::restore_guest;
pub use job::GuestRestore;
pub use live::{LiveResume, LiveServer, is_live, restore_live, resume_live, serve_live};
pub use recovery::recover_into;
pub use start::Start;
pub use target::DiskTarget;

/// What a restore has made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Restored {
    /// The guest's configuration, or the folder of the images.
    pub path: PathBuf,
    /// Each restored device of the archive, and its volume or file.
    pub disks: Vec<(String, String)>,
    /// Bytes of the restored disks.
    pub bytes: u64,
    /// How many of them were zero.
    pub zero: u64,
    /// How many of them were written, if the disks held something already and only what differed was.
    pub written: Option<u64>,
    /// From the first byte to the last one synced.
    pub took: Duration,
    /// After how long the guest was started, if it did not wait for its disks.
    pub started: Option<Duration>,
    /// How many warnings were told.
    pub warnings: usize,
}

impl Restored {
    /// Nothing yet, at this place.
    pub(crate) fn of(path: PathBuf) -> Self {
        Self {
            path,
            disks: Vec::new(),
            bytes: 0,
            zero: 0,
            written: None,
            took: Duration::ZERO,
            started: None,
            warnings: 0,
        }
    }
}
