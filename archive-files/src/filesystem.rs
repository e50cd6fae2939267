//! What is known of a file system without reading its files, and how it is opened.

use crate::btrfs;
use crate::bytes::text;
use crate::error::{Error, Result};
use crate::ext;
use crate::fat;
use crate::iso;
use crate::ntfs;
use crate::source::{Shared, Source};
use crate::tree::FileTree;
use crate::xfs;

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

type Identify = fn(&dyn Source) -> Option<FileSystem>;
type Open = fn(&Shared) -> Result<Box<dyn FileTree>>;

/// All file systems whose files are read. Those whose first sector may look like an MBR come first.
const KNOWN: [(Identify, Open); 6] = [
    (iso::identify, |source| {
        Ok(Box::new(iso::Iso::open(source)?))
    }),
    (ntfs::identify, |source| {
        Ok(Box::new(ntfs::Ntfs::open(source)?))
    }),
    (fat::identify, |source| {
        Ok(Box::new(fat::Fat::open(source)?))
    }),
    (xfs::identify, |source| {
        Ok(Box::new(xfs::Xfs::open(source)?))
    }),
    (btrfs::identify, |source| {
        Ok(Box::new(btrfs::Btrfs::open(source)?))
    }),
    (ext::identify, |source| {
        Ok(Box::new(ext::Ext::open(source)?))
    }),
];

/// How many of them have such a sector.
pub(crate) const WITH_BOOT_SECTOR: usize = 3;

/// What the file system on a volume is; of those in a range of the table.
pub(crate) fn identify(source: &dyn Source, of: std::ops::Range<usize>) -> Option<FileSystem> {
    let known = KNOWN.get(of).unwrap_or_default();
    known.iter().find_map(|(identify, _)| identify(source))
}

/// How many there are.
pub(crate) const COUNT: usize = KNOWN.len();

/// Opens the file system on a volume.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if there is none that is read here; if it is damaged.
pub fn open(source: &Shared) -> Result<Box<dyn FileTree>> {
    for (identify, open) in KNOWN {
        if identify(source).is_some() {
            return open(source);
        }
    }
    Err(Error::unsupported(
        "there is no file system on it whose files can be read",
    ))
}
