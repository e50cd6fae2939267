//! The disks of an archive, or an image of one, as what files are looked for on.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use fleece_archive_files::{Cached, Shared, Source, Volumes};
use fleece_bins::signals;
use fleece_storage::block::{Access, Backing, Qcow2, RawFile, ReadDevice};
use fleece_vma_format::{Archive, Device, DeviceId};

use super::super::cli::{CopyArgs, FilesArgs};
use super::super::copy::{Make, open_seekable};
use super::super::failure::{Failure, Result};
use super::super::input::anywhere;
use super::super::report;

/// How much of a disk is kept in memory.
const MEMORY: u64 = 32 << 20;

/// How often all bytes of a disk may be read before it is taken for one that goes round in circles, and what is added
/// for small ones.
const ROUNDS: u64 = 256;
const AT_LEAST: u64 = 16 << 30;

/// What is on the disks that the command line names.
pub(in super::super) fn volumes(args: &FilesArgs) -> Result<Volumes> {
    let disks = open(&args.archive, args.image.as_deref(), &args.copy)?;
    let cached = disks.into_iter().map(|(name, disk)| {
        let budget = disk.size().saturating_mul(ROUNDS).saturating_add(AT_LEAST);
        let disk: Shared = Arc::new(Cached::new(disk, MEMORY).with_budget(budget));
        (name, disk)
    });
    let found = Volumes::find(cached.collect());
    for warning in &found.warnings {
        report::warning(warning);
    }
    Ok(found)
}

/// The disks of an archive, or the image of one in this format, each with its name.
pub(in super::super) fn open(
    path: &OsStr,
    image: Option<&str>,
    copy: &CopyArgs,
) -> Result<Vec<(String, Shared)>> {
    if let Some(format) = image {
        return Ok(vec![(
            "disk".to_owned(),
            opened(path, format, Backing::Follow)?,
        )]);
    }
    if let Some(format) = by_name(path).filter(|_| !is_archive(Path::new(path))) {
        // Nobody has said that what it names may be read, too.
        return Ok(vec![(
            "disk".to_owned(),
            opened(path, format, Backing::Deny)?,
        )]);
    }
    let archive = Arc::new(open_seekable(path, copy, Make::Needed)?);
    anywhere(&archive)?;
    let disks = archive.header().devices().iter();
    let disks = disks.filter(|device| !device.is_vmstate()).map(|device| {
        let disk: Shared = Arc::new(DiskOfArchive::new(&archive, device));
        (plain(device.name()).to_owned(), disk)
    });
    Ok(disks.collect())
}

/// The format of an image by the end of its name, which its owner chose.
fn by_name(path: &OsStr) -> Option<&'static str> {
    match Path::new(path).extension()?.to_str()? {
        "raw" | "img" | "iso" => Some("raw"),
        "qcow2" => Some("qcow2"),
        _ => None,
    }
}

fn is_archive(path: &Path) -> bool {
    let mut magic = [0; 4];
    let file = signals::at_once(|| File::open(path));
    file.and_then(|mut file| file.read_exact(&mut magic))
        .is_ok()
        && magic == *b"VMA\0"
}

fn opened(path: &OsStr, format: &str, backing: Backing) -> Result<Shared> {
    let path = Path::new(path);
    let image: Box<dyn ReadDevice> = match format {
        "raw" => Box::new(RawFile::open(path, Access::ReadOnly)?),
        "qcow2" => Box::new(Qcow2::open(path, backing)?),
        other => return Err(Failure::usage(format!("unknown image format {other:?}"))),
    };
    Ok(Arc::new(Image(image)))
}

/// A device of an archive.
pub(in super::super) struct DiskOfArchive {
    archive: Arc<Archive<'static>>,
    device: DeviceId,
    size: u64,
}

impl DiskOfArchive {
    pub(in super::super) fn new(archive: &Arc<Archive<'static>>, device: &Device) -> Self {
        Self {
            archive: Arc::clone(archive),
            device: device.id(),
            size: device.size(),
        }
    }
}

impl Source for DiskOfArchive {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let archive = self.archive.random_access()?;
        Ok(archive.read_at(self.device, offset, buffer)?)
    }
}

/// An image of a disk.
struct Image(Box<dyn ReadDevice>);

impl Source for Image {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(buffer, offset).map_err(io::Error::other)
    }
}

/// Archives call their devices `drive-scsi0`; here that is `scsi0`.
pub(in super::super) fn plain(name: &str) -> &str {
    name.strip_prefix("drive-").unwrap_or(name)
}
