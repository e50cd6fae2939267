//! The file systems whose files are read: how each is told, and opened.

use crate::btrfs;
use crate::error::{Error, Result};
use crate::ext;
use crate::fat;
use crate::filesystem::FileSystem;
use crate::iso;
use crate::ntfs;
use crate::source::{Shared, Source};
use crate::tree::FileTree;
use crate::xfs;

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
