//! What a restore to storages is asked for.

use std::path::PathBuf;

use fleece_encryption::Identities;
use fleece_fleecing::Place;
use fleece_storage::Storages;

use super::choice::{DiskChoice, StorageChoice};
use crate::job::archive::rename::Rename;

/// A guest to be restored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GuestRestore {
    /// The archive; `-` is standard input.
    pub archive: PathBuf,
    /// The secret keys that it is read with, if it is encrypted.
    pub identities: Identities,
    /// Where its configuration goes.
    pub config: PathBuf,
    /// Where its firewall rules go, if they have a place here. They are there before the configuration, so
    /// that no guest starts without them.
    pub firewall: Option<PathBuf>,
    /// The storage, and perhaps the format, of disks that are not chosen for.
    pub storage: Option<StorageChoice>,
    /// What becomes of single disks.
    pub disks: Vec<DiskChoice>,
    /// Disks that become other drives than those that they were.
    pub renames: Vec<Rename>,
    /// All storages of the host.
    pub storages: Storages,
    /// The guest, and where what is made for it is recorded.
    pub record: Place,
    /// New MAC addresses and a new uuid.
    pub unique: bool,
    /// Replace the guest that is there.
    pub force: bool,
    /// Replace the guest that is there, but keep its disks, and write into them only what differs.
    pub in_place: bool,
    /// Bytes per second written to all disks together.
    pub bwlimit: Option<u64>,
    /// Change nothing, and only tell what would be done.
    pub dry_run: bool,
}

impl GuestRestore {
    /// A new guest from `archive`; its configuration goes to `config`.
    #[must_use]
    pub fn new(archive: PathBuf, config: PathBuf, record: Place) -> Self {
        Self {
            archive,
            identities: Identities::new(),
            config,
            record,
            firewall: None,
            storage: None,
            disks: Vec::new(),
            renames: Vec::new(),
            storages: Storages::none(),
            unique: false,
            force: false,
            in_place: false,
            bwlimit: None,
            dry_run: false,
        }
    }
}
