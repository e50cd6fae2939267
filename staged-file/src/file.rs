//! One file in the making.

use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::directory::sync_directory_of;
use crate::rename::rename_new;

/// A file under a temporary name beside its final one; removed when dropped without a commit.
#[derive(Debug)]
pub struct StagedFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    durable: bool,
    synced: bool,
    /// It has got another name, or none.
    done: bool,
}

/// A file that has its final name and is whole.
#[must_use = "the file is in place, but a power failure may undo that: there may be a warning to tell"]
#[derive(Debug)]
pub struct Committed {
    warning: Option<String>,
}

impl Committed {
    /// What people should know: the sync of the directory failed.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}

/// The name of a file in the making: hidden, and with an ending that nobody looks for.
#[must_use]
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    path.with_file_name(name)
}

/// How often another process may be about to remove what we have just made.
const TRIES: usize = 100;

impl StagedFile {
    /// Creates the temporary file with this `mode`, whatever the umask. What a dead process left under its
    /// name is removed.
    ///
    /// # Errors
    /// Kind `ResourceBusy` while another process writes it, `AlreadyExists` if something else has its name;
    /// those of the system calls.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        if path.file_name().is_none() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "no name of a file"));
        }
        let temporary = temporary_name(path);
        for _ in 0..TRIES {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(mode);
            let file = match options
                .custom_flags(flags(OFlags::NOFOLLOW))
                .open(&temporary)
            {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    remove_stale(&temporary)?;
                    continue;
                }
                file => file?,
            };
            // From here on it is removed if anything fails.
            let staged = Self {
                file,
                temporary: temporary.clone(),
                path: path.to_owned(),
                durable: true,
                synced: false,
                done: false,
            };
            // Who takes it for a dead one's locks it before it removes it.
            let locked = !matches!(staged.file.try_lock(), Err(TryLockError::WouldBlock));
            if !locked || !is_at(&staged.file, &temporary) {
                staged.forget();
                continue;
            }
            staged.set_mode(mode);
            return Ok(staged);
        }
        Err(busy(&temporary))
    }

    /// The same with the owner and the mode of the file that is to be replaced, if there is one.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_like(path: &Path, mode: u32) -> io::Result<Self> {
        let old = path.metadata().ok();
        let mode = old.as_ref().map_or(mode, |old| old.mode() & 0o777);
        let staged = Self::create(path, mode)?;
        if let Some(old) = old {
            // Proxmox's cluster file system sets the owner itself and refuses this.
            let _ = fchown(&staged.file, Some(old.uid()), Some(old.gid()));
            staged.set_mode(mode);
        }
        Ok(staged)
    }

    /// Where losing the file in a power failure does not matter: nothing is synced.
    pub fn not_durable(&mut self) {
        self.durable = false;
    }

    /// What is written to.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its name until the commit.
    #[must_use]
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Its final name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs what was written; the commit does it otherwise. A failed sync is final: a second one could
    /// succeed without the data being on disk.
    ///
    /// # Errors
    /// That of `fsync`.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.durable && !self.synced {
            self.file.sync_all()?;
        }
        self.synced = true;
        Ok(())
    }

    /// Makes it durable and gives it its final name, unless something has that already.
    ///
    /// # Errors
    /// Kind `AlreadyExists`; those of `fsync` and `rename`. There is no file then.
    pub fn commit_new(self) -> io::Result<Committed> {
        self.commit(rename_new)
    }

    /// Makes it durable and puts it in the place of whatever has its final name.
    ///
    /// # Errors
    /// Those of `fsync` and `rename`. What was there before is as it was then.
    pub fn commit_replacing(self) -> io::Result<Committed> {
        self.commit(|from, to| fs::rename(from, to))
    }

    /// Gives what was written so far another name, whatever has that.
    ///
    /// # Errors
    /// That of `rename`; the file is removed then.
    pub fn keep_as(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.temporary, path)?;
        self.done = true;
        Ok(())
    }

    fn commit(mut self, rename: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<Committed> {
        self.sync()?;
        // A network file system may have renamed it and lost the answer.
        if let Err(error) = rename(&self.temporary, &self.path)
            && !is_at(&self.file, &self.path)
        {
            return Err(error);
        }
        self.done = !is_at(&self.file, &self.temporary);
        let synced = match self.durable {
            true => sync_directory_of(&self.path),
            false => Ok(()),
        };
        let warning = synced.err().map(|error| {
            let path = self.path.display();
            format!("{path} is complete, but its directory cannot be synced: a power failure may undo that ({error})")
        });
        Ok(Committed { warning })
    }

    /// Whatever has the temporary name now is not ours.
    fn forget(mut self) {
        self.done = true;
    }

    /// What the umask took away is given back. Where modes cannot be set, the file system knows better.
    fn set_mode(&self, mode: u32) {
        let is = |metadata: Metadata| metadata.mode() & 0o7777 == mode;
        if !self.file.metadata().is_ok_and(is) {
            let _ = self.file.set_permissions(Permissions::from_mode(mode));
        }
    }
}

impl Write for StagedFile {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed now is removed by whoever creates it next.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Removes a temporary file that nobody writes any more. One that is not there is no error.
///
/// # Errors
/// Kind `ResourceBusy` while a process writes it; `AlreadyExists` if that cannot be told, or if it is no
/// file; those of the system calls.
pub fn remove_stale(temporary: &Path) -> io::Result<()> {
    let gone = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    match temporary.symlink_metadata() {
        Err(error) if gone(&error) => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_file() => {
            return Err(taken(
                temporary,
                "is in the way, and is not one of Fleece's files",
            ));
        }
        Ok(_) => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let options = options.custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK));
    let file = match options.open(temporary) {
        Err(error) if gone(&error) => return Ok(()),
        file => file?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy(temporary)),
        Err(TryLockError::Error(_)) => {
            return Err(taken(
                temporary,
                "belongs to another process; remove it if that has ended",
            ));
        }
    }
    if file.metadata()?.is_file() && is_at(&file, temporary) {
        match fs::remove_file(temporary) {
            Err(error) if !gone(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn busy(temporary: &Path) -> io::Error {
    let message = format!("another process is writing {}", temporary.display());
    io::Error::new(ErrorKind::ResourceBusy, message)
}

fn taken(temporary: &Path, why: &str) -> io::Error {
    let message = format!("{} {why}", temporary.display());
    io::Error::new(ErrorKind::AlreadyExists, message)
}

pub(crate) fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Whether a name leads to this file.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(file), Ok(path)) => (file.dev(), file.ino()) == (path.dev(), path.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
