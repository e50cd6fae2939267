//! What the checks write and read, through the file system and through QEMU.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate};

use super::qemu::QemuImage;
use super::subject::{Checked, Subject, Verdict};
use crate::block::{Access, BlockDevice};
use crate::error::{Error, ErrorKind};
use crate::exec::{Runner, System};
use crate::name::VolumeFormat;
use crate::volume::VolumeId;

const PATTERN: u8 = 0x5a;
const CHUNK: usize = 64 << 10;
const TIMEOUT: Duration = Duration::from_secs(60);

/// A raw volume.
pub(super) enum Disk {
    /// Opened by its path.
    Path(OpenFile),
    /// Reached by QEMU only.
    Qemu(QemuImage),
}

impl Disk {
    pub(super) fn open(subject: &Subject<'_>, id: &VolumeId) -> Checked<Self> {
        if subject.format()? != VolumeFormat::Raw {
            return Err(Verdict::NotApplicable("the volume is not raw".to_owned()));
        }
        match subject.storage.path(id) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                Ok(Self::Qemu(QemuImage::new(&subject.storage.blockdev(id)?)))
            }
            path => Ok(Self::Path(OpenFile::open(path?)?)),
        }
    }

    /// Fills a range with a pattern, durably.
    pub(super) fn write(&self, offset: u64, length: u64) -> Checked {
        match self {
            Self::Path(file) => file.write(offset, length),
            Self::Qemu(image) => image.write(offset, length, PATTERN),
        }
    }

    pub(super) fn is_zero(&self, offset: u64, length: u64) -> Checked<bool> {
        self.holds(offset, length, 0)
    }

    pub(super) fn is_written(&self, offset: u64, length: u64) -> Checked<bool> {
        self.holds(offset, length, PATTERN)
    }

    fn holds(&self, offset: u64, length: u64, byte: u8) -> Checked<bool> {
        match self {
            Self::Path(file) => file.holds(offset, length, byte),
            Self::Qemu(image) => image.holds(offset, length, byte),
        }
    }

    /// Discards a range, as QEMU does: a hole in a file, `BLKDISCARD` on a device.
    pub(super) fn discard(&self, offset: u64, length: u64) -> Checked {
        match self {
            Self::Path(file) => file.discard(offset, length),
            Self::Qemu(image) => image.discard(offset, length),
        }
    }
}

/// A file or a device node.
pub(super) struct OpenFile {
    file: File,
    path: PathBuf,
}

impl OpenFile {
    fn open(path: PathBuf) -> Checked<Self> {
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|source| Error::io("open", &path, source))?;
        Ok(Self { file, path })
    }

    fn write(&self, offset: u64, length: u64) -> Checked {
        let io = |source| Error::io("write", &self.path, source);
        for at in chunks(offset, length) {
            self.file.write_all_at(&[PATTERN; CHUNK], at).map_err(io)?;
        }
        self.file.sync_all().map_err(io)?;
        Ok(())
    }

    fn holds(&self, offset: u64, length: u64, byte: u8) -> Checked<bool> {
        let mut buffer = vec![0; CHUNK];
        for at in chunks(offset, length) {
            let read = self.file.read_exact_at(&mut buffer, at);
            read.map_err(|source| Error::io("read", &self.path, source))?;
            if buffer.iter().any(|b| *b != byte) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn discard(&self, offset: u64, length: u64) -> Checked {
        let io = |source| Error::io("discard in", &self.path, source);
        let kind = self.file.metadata().map_err(io)?.file_type();
        if kind.is_block_device() {
            let (offset, length) = (offset.to_string(), length.to_string());
            let path = self.path.to_string_lossy();
            let argv = [
                "blkdiscard",
                "--offset",
                &offset,
                "--length",
                &length,
                &path,
            ];
            System.run(&argv, TIMEOUT)?;
        } else {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&self.file, flags, offset, length).map_err(|errno| io(errno.into()))?;
        }
        self.file.sync_all().map_err(io)?;
        Ok(())
    }
}

fn chunks(offset: u64, length: u64) -> impl Iterator<Item = u64> {
    (offset..offset.saturating_add(length)).step_by(CHUNK)
}

/// The volume as a disk, unless only QEMU can open it.
pub(super) fn opened(
    subject: &Subject<'_>,
    id: &VolumeId,
) -> Checked<Option<Arc<dyn BlockDevice>>> {
    match subject.storage.open(id, Access::ReadOnly) {
        Ok(disk) => Ok(Some(disk)),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn disk_failed(error: crate::block::Error) -> Verdict {
    Verdict::Failed(match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}
