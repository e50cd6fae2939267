//! How to read only what has changed.

use std::time::Duration;

/// How to read only what has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incrementally {
    /// After so many archives that were made by bitmaps, everything is read once.
    pub full_every: Option<u32>,
    /// Read everything all the same, and compare what should not have changed with the earlier archive.
    pub check_unchanged: bool,
    /// What has not changed is taken over unread of an archive that was verified less than this ago; of an older one it is
    /// read and checked.
    pub verify_base_after: Duration,
}

impl Default for Incrementally {
    /// The earlier archive is verified once a week.
    fn default() -> Self {
        Self {
            full_every: None,
            check_unchanged: false,
            verify_base_after: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// A disk's name as Proxmox tells it.
pub(crate) fn short(name: &str) -> &str {
    name.strip_prefix("drive-").unwrap_or(name)
}

/// What is told of a disk of which `cluster` has changed without a mark.
pub(crate) fn lie(disk: &str, cluster: u64) -> String {
    format!(
        "{}: cluster {cluster} has changed although its dirty bitmap does not say so: the bitmap is not believed, and the disk \
         is read in full. Was the disk shrunk and grown again, or the bitmap changed by another program?",
        short(disk)
    )
}
