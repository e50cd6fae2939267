//! The directory that an archive is extracted to.

use std::cell::RefCell;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleece_archive_io::Growing;
use fleece_staged_file::regular::{self, Links};
use fleece_staged_file::{rename_new, sync_directory_of, temporary_name};
use fleece_storage::VolumeFormat;
use fleece_storage::block::{self, Access, Qcow2, RawFile, WriteAt};
use fleece_vma_format::Device;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::report::error::{Error, ErrorKind};

/// A directory of our own making. Whatever happens to its path meanwhile, files are made in the
/// directory itself, and only new ones. Dropped before [`Directory::publish`] has succeeded, it goes with all
/// that was made in it.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    fd: OwnedFd,
    marker: File,
    /// What was made here, on record in the marker before.
    made: RefCell<Vec<String>>,
    /// Files under temporary names, and what they will be called.
    pending: Vec<(String, String)>,
    published: bool,
}

/// In the directory as long as it is not complete: locked while somebody works there, with a line for each file.
const MARKER: &str = ".vma-extract";

/// More names than any archive has.
const MAX_MARKER: u64 = 1 << 20;

impl Directory {
    /// Makes the directory; it must not exist, unless a process that was killed has left it.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn create(path: &Path) -> Result<Self, Error> {
        let failed = |e: io::Error| {
            cannot(
                format!("unable to create target directory {}", path.display()),
                e,
            )
        };
        if path.file_name().is_none() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        // It has its marker when it appears.
        let hidden = temporary_name(path);
        remove_left_over(&hidden);
        let _ = fs::remove_dir(&hidden);
        // Whatever the umask allows: nobody else renames what is in it.
        DirBuilder::new()
            .mode(0o755)
            .create(&hidden)
            .map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(CWD, &hidden, flags, Mode::empty()).and_then(|fd| {
            let marker = new_file(&fd, MARKER)?;
            Ok((fd, marker))
        });
        let opened = opened.map_err(io::Error::from).and_then(|opened| {
            rename_new(&hidden, path).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists if remove_left_over(path) => rename_new(&hidden, path),
                _ => Err(error),
            })?;
            Ok(opened)
        });
        let (fd, marker) = opened.map_err(|e| {
            let _ = fs::remove_file(hidden.join(MARKER));
            let _ = fs::remove_dir(&hidden);
            failed(e)
        })?;
        // Where files cannot be locked, nobody removes what is left either.
        let _ = marker.try_lock();
        Ok(Self {
            path: path.to_owned(),
            fd,
            marker,
            made: RefCell::default(),
            pending: Vec::new(),
            published: false,
        })
    }

    /// Writes a small file that only its owner can read: configs hold passwords.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn write(&self, name: &str, data: &[u8]) -> Result<(), Error> {
        self.write_with(name, |out| out.write_all(data))
    }

    /// Writes a file that only its owner can read.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn write_with(
        &self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut out = BufWriter::new(self.file(name)?);
        write(&mut out)
            .and_then(|()| out.flush())
            .and_then(|()| out.get_ref().sync_all())
            .map_err(|e| self.failed(name, e))
    }

    /// Makes the file for a disk, under its temporary name until all is done.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn disk(
        &mut self,
        device: &Device,
        format: VolumeFormat,
    ) -> Result<(PathBuf, Arc<dyn WriteAt>), Error> {
        let to = format!("disk-{}.{}", device.name(), format.as_str());
        let name = format!("tmp-{to}");
        let path = self.path.join(&name);
        let disk: Arc<dyn WriteAt> = match format {
            VolumeFormat::Raw => {
                let file = self.new_file(&name, to)?;
                file.set_len(device.size())
                    .map_err(|e| self.failed(&name, e))?;
                Arc::new(RawFile::from_file(file, &path, Access::ReadWrite).map_err(image)?)
            }
            VolumeFormat::Qcow2 => {
                self.note(&name)?;
                let disk = Qcow2::create(&path, device.size()).map_err(image)?;
                self.pending.push((name, to));
                Arc::new(disk)
            }
            _ => {
                let message = format!("disks are not extracted as {}", format.as_str());
                return Err(Error::new(ErrorKind::Request, message));
            }
        };
        Ok((path, disk))
    }

    /// Makes the file for a RAM state, which grows as it is written.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn growing(&mut self, device: &Device) -> Result<Growing, Error> {
        let file = self.new_file("tmp-vmstate.bin", "vmstate.bin".to_owned())?;
        Ok(Growing::new(file, device.size()))
    }

    /// Gives the files their final names; with `sync`, these are on stable storage afterwards.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`]; [`ErrorKind::Unsynced`] if all is there, but perhaps not for good.
    pub fn publish(&mut self, sync: bool) -> Result<(), Error> {
        for (from, to) in &self.pending {
            self.note(to)?;
            renameat(&self.fd, from, &self.fd, to).map_err(|e| self.failed(to, e))?;
        }
        unlinkat(&self.fd, MARKER, AtFlags::empty()).map_err(|e| self.failed(MARKER, e))?;
        self.published = true;
        if !sync {
            return Ok(());
        }
        let synced = fsync_directory(&self.fd).and_then(|()| sync_directory_of(&self.path));
        synced.map_err(|e| {
            let path = self.path.display();
            let message = format!(
                "{path} is complete, but cannot be synced: a power failure may undo it ({e})"
            );
            Error::new(ErrorKind::Unsynced, message)
        })
    }

    /// A file that is renamed when all is done, and removed if that never comes.
    fn new_file(&mut self, name: &str, to: String) -> Result<File, Error> {
        let file = self.file(name)?;
        self.pending.push((name.to_owned(), to));
        Ok(file)
    }

    fn file(&self, name: &str) -> Result<File, Error> {
        self.note(name)?;
        new_file(&self.fd, name).map_err(|e| self.failed(name, e))
    }

    /// Puts a name on record that is about to be given.
    fn note(&self, name: &str) -> Result<(), Error> {
        let noted = writeln!(&self.marker, "{name}");
        noted.map_err(|e| self.failed(MARKER, e))?;
        self.made.borrow_mut().push(name.to_owned());
        Ok(())
    }

    fn failed(&self, name: &str, error: impl Into<io::Error>) -> Error {
        cannot(
            format!("cannot write {}", self.path.join(name).display()),
            error,
        )
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        for name in self.made.borrow().iter() {
            let _ = unlinkat(&self.fd, name, AtFlags::empty());
        }
        let _ = unlinkat(&self.fd, MARKER, AtFlags::empty());
        let _ = fs::remove_dir(&self.path);
    }
}

fn cannot(what: impl Into<String>, error: impl Into<io::Error>) -> Error {
    Error::caused(ErrorKind::Target, what, error.into())
}

fn image(error: block::Error) -> Error {
    Error::caused(ErrorKind::Target, "cannot write an image", error)
}

/// A file that was not there before.
fn new_file(directory: impl AsFd, name: &str) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::from_raw_mode(0o600)).map(File::from)
}

/// Removes what a process that was killed has left: a directory with a marker that nobody holds. Tells whether
/// it is gone.
fn remove_left_over(path: &Path) -> bool {
    let removed = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let marker = path.join(MARKER);
        let file = regular::open_with(&mut options, &marker, Links::Refuse)?;
        file.try_lock()?;
        let mut names = String::new();
        (&file).take(MAX_MARKER).read_to_string(&mut names)?;
        for name in names.lines().filter(|name| !name.contains('/')) {
            let _ = fs::remove_file(path.join(name));
        }
        fs::remove_file(&marker)?;
        fs::remove_dir(path)
    };
    removed().is_ok()
}

/// Syncs a directory, where its file system can.
fn fsync_directory(directory: impl AsFd) -> io::Result<()> {
    match rustix::fs::fsync(directory) {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
