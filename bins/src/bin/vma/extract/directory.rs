//! The directory that an archive is extracted to.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fleece_storage::block::{Access, Qcow2, RawFile, WriteAt};
use fleece_vma_format::restore::Target;
use fleece_vma_format::{CLUSTER_SIZE, Device};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, unlinkat};

use crate::cli::Format;
use crate::failure::{Failure, Result};

/// A directory of our own making. Whatever happens to its path meanwhile, files are made in the
/// directory itself, and only new ones.
pub(crate) struct Directory {
    path: PathBuf,
    fd: OwnedFd,
    /// Files under temporary names, and what they will be called.
    pending: Vec<(String, String)>,
}

impl Directory {
    /// Makes the directory; it must not exist.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let failed = |e: io::Error| {
            Failure::io(
                format!("unable to create target directory {}", path.display()),
                e,
            )
        };
        fs::create_dir(path).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        Ok(Self {
            path: path.to_owned(),
            fd,
            pending: Vec::new(),
        })
    }

    /// Writes a small file that only its owner can read: configs hold passwords.
    pub(crate) fn write(&self, name: &str, data: &[u8]) -> Result<()> {
        let mut file = self.file(name, 0o600)?;
        file.write_all(data).map_err(|e| self.failed(name, e))
    }

    /// Makes the file for a disk, under its temporary name.
    pub(crate) fn disk(
        &self,
        device: &Device,
        format: Format,
    ) -> Result<(PathBuf, Arc<dyn WriteAt>)> {
        let name = format!("tmp-disk-{}.{}", device.name(), format.extension());
        let path = self.path.join(&name);
        match format {
            Format::Raw => {
                let file = self.file(&name, 0o600)?;
                file.set_len(device.size())
                    .map_err(|e| self.failed(&name, e))?;
                let disk = RawFile::from_file(file, &path, Access::ReadWrite)?;
                Ok((path, Arc::new(disk)))
            }
            Format::Qcow2 => {
                let disk = Qcow2::create(&path, device.size())?;
                Ok((path, Arc::new(disk)))
            }
        }
    }

    /// Makes a file that grows as it is written.
    pub(crate) fn growing(&self, name: &str) -> Result<Growing> {
        Ok(Growing {
            file: self.file(name, 0o600)?,
            end: AtomicU64::new(0),
        })
    }

    /// Notes a file that is renamed when all is done, and removed if that never comes.
    pub(crate) fn rename_later(&mut self, from: String, to: String) {
        self.pending.push((from, to));
    }

    /// Gives the files their final names.
    pub(crate) fn publish(&mut self) -> Result<()> {
        while let Some((from, to)) = self.pending.last() {
            renameat(&self.fd, from, &self.fd, to).map_err(|e| self.failed(to, e))?;
            self.pending.pop();
        }
        Ok(())
    }

    fn file(&self, name: &str, mode: u32) -> Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::from_raw_mode(mode));
        fd.map(File::from).map_err(|e| self.failed(name, e))
    }

    fn failed(&self, name: &str, error: impl Into<io::Error>) -> Failure {
        Failure::io(
            format!("cannot write {}", self.path.join(name).display()),
            error,
        )
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        for (name, _) in &self.pending {
            let _ = unlinkat(&self.fd, name, AtFlags::empty());
        }
    }
}

/// A file whose size is not known before: a RAM state.
pub(crate) struct Growing {
    file: File,
    end: AtomicU64,
}

impl Growing {
    /// Cuts the padding of the last cluster off, if that is where `size` is.
    pub(crate) fn finish(&self, size: u64) -> Result<()> {
        let end = self.end.load(Ordering::Relaxed);
        let last = end.saturating_sub(CLUSTER_SIZE as u64);
        let length = if (last..=end).contains(&size) {
            size
        } else {
            end
        };
        let set = self
            .file
            .set_len(length)
            .and_then(|()| self.file.sync_all());
        set.map_err(|e| Failure::io("cannot write vmstate.bin", e))
    }

    fn reach(&self, offset: u64, length: u64) {
        // Clusters are 64 KiB even where their last blocks are zero.
        let end = offset
            .saturating_add(length)
            .next_multiple_of(CLUSTER_SIZE as u64);
        self.end.fetch_max(end, Ordering::Relaxed);
    }
}

impl Target for Growing {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.reach(offset, data.len() as u64);
        self.file.write_all_at(data, offset)
    }

    fn zero_at(&self, offset: u64, length: u64) -> io::Result<()> {
        // What was never written reads as zeroes.
        self.reach(offset, length);
        Ok(())
    }

    fn zeroes_needed(&self) -> bool {
        true
    }
}
