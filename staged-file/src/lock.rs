//! A lock that is a file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::file::{flags, is_at};

/// An exclusive `flock` on a file of its own, given up on drop, and by the kernel when the process dies.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    path: PathBuf,
    keep: bool,
}

/// What came of trying to take a lock.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Locking {
    /// It is ours.
    Held(LockFile),
    /// Somebody else has it, and has noted this.
    Busy(String),
}

/// Notes are a process's number.
const MAX_NOTE: u64 = 16;

impl LockFile {
    /// Takes the lock, if nobody has it. The file is made if it is not there, and removed with the lock.
    ///
    /// # Errors
    /// Those of the system calls; `InvalidInput` if it is no regular file.
    pub fn try_acquire(path: &Path) -> io::Result<Locking> {
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.mode(0o600);
            let options = options.custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK));
            let mut file = options.open(path)?;
            if !file.metadata()?.is_file() {
                let message = format!("{} is not a regular file", path.display());
                return Err(io::Error::new(ErrorKind::InvalidInput, message));
            }
            match file.try_lock() {
                // The one who held it before may have removed the file that we just locked.
                Ok(()) if !is_at(&file, path) => {}
                Ok(()) => {
                    return Ok(Locking::Held(Self {
                        file,
                        path: path.to_owned(),
                        keep: false,
                    }));
                }
                Err(TryLockError::WouldBlock) => {
                    let mut note = String::new();
                    let _ = (&mut file).take(MAX_NOTE).read_to_string(&mut note);
                    return Ok(Locking::Busy(note));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Tells others who has it; it is as good a lock without that.
    pub fn note(&mut self, text: &str) {
        let _ = self
            .file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(text.as_bytes()));
    }

    /// The file belongs to somebody else too, and stays.
    pub fn keep_file(&mut self) {
        self.keep = true;
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // While it is still locked: who waits for it notices that it is gone and starts anew. What cannot be
        // removed is taken over by the next.
        if !self.keep {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_is_first_and_gets_it_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let Locking::Held(mut first) = LockFile::try_acquire(&path).unwrap() else {
            panic!("nobody has it");
        };
        first.note("123");
        let second = LockFile::try_acquire(&path).unwrap();
        assert!(matches!(second, Locking::Busy(who) if who == "123"));
        drop(first);
        assert!(!path.exists());
        let again = LockFile::try_acquire(&path).unwrap();
        assert!(matches!(again, Locking::Held(_)));
    }

    #[test]
    fn a_link_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let [path, victim] = ["lock", "victim"].map(|name| dir.path().join(name));
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        LockFile::try_acquire(&path).unwrap_err();
        assert!(!victim.exists());
    }
}
