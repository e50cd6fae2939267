//! The folder of a live restore.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use crate::report::error::{Error, ErrorKind};

/// Paths of sockets have 108 bytes at most, with a NUL (unix(7)).
const MAX_SOCKET: usize = 107;

/// An open folder, which one process at a time works on.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    file: File,
}

impl Folder {
    /// Opens and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let file = File::open(&path).map_err(|error| {
            Error::caused(
                ErrorKind::Target,
                format!("cannot open {}", path.display()),
                error,
            )
        })?;
        file.try_lock().map_err(|error| {
            let message = format!(
                "another process looks after the restore in {}; wait for it",
                path.display()
            );
            Error::caused(ErrorKind::Target, message, error)
        })?;
        Ok(Self { path, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A socket in it, by a path that is short enough.
    pub(super) fn socket(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        match path.as_os_str().len() <= MAX_SOCKET {
            true => path,
            false => format!("/proc/self/fd/{}/{name}", self.file.as_raw_fd()).into(),
        }
    }
}
