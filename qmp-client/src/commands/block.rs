//! Block devices and the nodes under them.

use serde::{Deserialize, Serialize};

use crate::command::command;

/// The block devices: what the guest sees, and what is inserted. Not in
/// `qemu-storage-daemon`, which has nodes but no devices.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryBlock {}
command!(QueryBlock, "query-block", Vec<BlockDevice>);

/// QAPI `BlockInfo`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct BlockDevice {
    /// The name of the block backend (`-drive id=`); empty if the device was made with
    /// `-blockdev`.
    pub device: String,
    /// The guest's device: an id or a QOM path. `None` if no device uses the backend.
    pub qdev: Option<String>,
    /// Whether the guest can eject the medium.
    #[serde(default)]
    pub removable: bool,
    /// The medium; `None` for an empty drive.
    pub inserted: Option<BlockMedium>,
    /// `ok`, `failed` or `nospace`, if the device stops the guest on errors.
    #[serde(rename = "io-status")]
    pub io_status: Option<String>,
}

/// All named nodes of the block graph. An automatic name starts with `#block`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryNamedBlockNodes {
    /// Leave out the chain of backing images below each node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flat: Option<bool>,
}
command!(
    QueryNamedBlockNodes,
    "query-named-block-nodes",
    Vec<BlockMedium>
);

/// QAPI `BlockDeviceInfo`: a node, seen from above.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct BlockMedium {
    /// The file name, or a `json:` text for a node that no file name describes.
    pub file: String,
    /// The node's name.
    #[serde(rename = "node-name")]
    pub node_name: Option<String>,
    /// Whether it is read-only.
    pub ro: bool,
    /// The driver, such as `qcow2` or `throttle`.
    pub drv: String,
    /// How the host's cache is used.
    pub cache: BlockCache,
    /// The image in the node.
    pub image: ImageInfo,
    /// `off`, `on` or `unmap`.
    pub detect_zeroes: String,
    /// The throttle group of a device with limits of its own (`throttling.group`).
    pub group: Option<String>,
    /// Whether it is encrypted.
    #[serde(default)]
    pub encrypted: bool,
    /// Its dirty bitmaps.
    #[serde(default, rename = "dirty-bitmaps")]
    pub dirty_bitmaps: Vec<DirtyBitmap>,
}

/// QAPI `BlockdevCacheInfo`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct BlockCache {
    /// Whether writes are done before they are on the disk.
    pub writeback: bool,
    /// Whether the page cache is passed by.
    pub direct: bool,
    /// Whether flushes are ignored.
    pub no_flush: bool,
}

/// QAPI `ImageInfo`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ImageInfo {
    /// The file name.
    pub filename: String,
    /// The format, such as `raw`.
    pub format: String,
    /// The size that the guest sees, in bytes.
    pub virtual_size: u64,
    /// The size on the host's disk, in bytes, if it can be told.
    pub actual_size: Option<u64>,
    /// The format's cluster size in bytes, if it has clusters.
    pub cluster_size: Option<u64>,
    /// The name of the backing image as written in this one.
    pub backing_filename: Option<String>,
}

/// QAPI `BlockDirtyInfo`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct DirtyBitmap {
    /// Its name; `None` for one of QEMU's own.
    pub name: Option<String>,
    /// Dirty bytes.
    pub count: u64,
    /// Bytes per bit.
    pub granularity: u64,
    /// Whether it records writes.
    pub recording: bool,
    /// Whether a job or an export uses it.
    pub busy: bool,
    /// Whether it is kept in the image.
    pub persistent: bool,
    /// Whether it was not saved properly and can only be removed.
    #[serde(default)]
    pub inconsistent: bool,
}
