//! Sizes and limits of the format, and the arithmetic of blocks and clusters.

use std::fmt;
use std::num::NonZeroU8;

/// The unit of zero suppression in bytes.
pub const BLOCK_SIZE: usize = 4096;

/// The unit of addressing in bytes: 16 blocks.
pub const CLUSTER_SIZE: usize = 16 * BLOCK_SIZE;

/// The size of an extent's header in bytes.
pub const EXTENT_HEADER_SIZE: usize = 512;

/// How many clusters an extent header has room for: (512 - 40) / 8.
pub const EXTENT_SLOTS: usize = 59;

/// How many clusters this crate puts into one extent.
///
/// The reference writer closes an extent before the 59th slot; doing the same makes archives of
/// the same input equal to its archives.
pub const EXTENT_CLUSTERS: usize = 58;

/// The largest extent that a header can describe, in bytes.
pub const MAX_EXTENT_SIZE: usize = EXTENT_HEADER_SIZE + EXTENT_SLOTS * CLUSTER_SIZE;

/// The size of the fixed part of the archive header in bytes; the blob table follows it.
pub const FIXED_HEADER_SIZE: usize = 12288;

/// The largest archive header that is accepted or written, in bytes.
///
/// The reference writer's header buffer is 8 clusters and it refuses to write more, so no valid
/// archive has a larger one.
pub const MAX_HEADER_SIZE: usize = 8 * CLUSTER_SIZE;

/// How many configs a header has room for; slot 0 is as good as any.
pub const MAX_CONFIGS: usize = 256;

/// How many devices are written: ids 1 to 254, as every tool of the reference stops at 254.
pub const MAX_DEVICES: usize = 254;

/// The largest blob (a name, a config) in bytes: its length is a 16-bit number.
pub const MAX_BLOB_SIZE: usize = 65535;

/// How many clusters a device can have: their numbers have 32 bits.
pub const MAX_CLUSTERS: u64 = 1 << 32;

/// The device name that designates a stream of RAM state instead of a disk.
pub const VMSTATE: &str = "vmstate";

/// The number of a device in an archive: 1 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(NonZeroU8);

impl DeviceId {
    /// `None` for 0, which marks unused slots in the format.
    #[must_use]
    pub const fn new(id: u8) -> Option<Self> {
        match NonZeroU8::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many clusters a device of `size` bytes has.
#[must_use]
pub const fn cluster_count(size: u64) -> u64 {
    size.div_ceil(CLUSTER_SIZE as u64)
}

/// Where cluster `index` begins on its device, in bytes.
#[must_use]
pub const fn cluster_offset(index: u64) -> u64 {
    index.saturating_mul(CLUSTER_SIZE as u64)
}

/// How many bytes of a device of `size` bytes cluster `index` holds: 64 KiB but for the last.
#[must_use]
pub const fn cluster_length(size: u64, index: u64) -> usize {
    let left = size.saturating_sub(cluster_offset(index));
    if left < CLUSTER_SIZE as u64 {
        // Fits: it is less than a cluster.
        #[expect(clippy::cast_possible_truncation, reason = "less than CLUSTER_SIZE")]
        {
            left as usize
        }
    } else {
        CLUSTER_SIZE
    }
}
