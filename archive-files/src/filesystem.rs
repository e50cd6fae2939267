//! What is known of a file system without reading its files.

use crate::bytes::text;

/// What a file system says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSystem {
    /// Its kind, as `blkid` and `/proc/filesystems` call it: `ext4`, `xfs`, `btrfs`, `ntfs`, `vfat`, `exfat`, `iso9660`.
    pub kind: &'static str,
    /// Its label; any bytes, and none if it has none.
    pub label: Vec<u8>,
    /// Its identifier as `blkid` writes it; empty if it has none.
    pub uuid: String,
    /// How large it is, in bytes.
    pub size: u64,
    /// How much of it is in use, in bytes, where that is known without reading all of it.
    pub used: Option<u64>,
}

impl FileSystem {
    pub(crate) fn new(
        kind: &'static str,
        label: &[u8],
        uuid: String,
        size: u64,
        used: Option<u64>,
    ) -> Self {
        Self {
            kind,
            label: text(label),
            uuid,
            size,
            used,
        }
    }
}
