//! The thin shell around the grammar: a configuration file under a lock, replaced atomically.

mod lock;

use std::fs::{self, File};
use std::io::{ErrorKind as IoKind, Read, Write as _};
use std::path::{Path, PathBuf};

use fleece_staged_file::{StagedFile, remove_stale, sync_directory_of, temporary_name};

use crate::config::{GuestConfig, MAX_SIZE};
use crate::error::{Error, ErrorKind};

/// A guest configuration on disk.
///
/// Every change is made under a lock and appears at once: a temporary file beside it is written,
/// synced and renamed, and the directory is synced. On a Proxmox host the lock is Proxmox's own,
/// so that `qm` and we exclude each other; elsewhere it is a file beside the configuration, which
/// is gone when nobody holds it.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
    vanishes_when_empty: bool,
}

impl ConfigFile {
    /// The configuration of a guest.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            vanishes_when_empty: false,
        }
    }

    /// A state file with the grammar of a configuration, for a guest that has none: it is
    /// created when something is put into it and removed when nothing is left in it.
    pub fn state(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            vanishes_when_empty: true,
        }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file. A state file that is not there is empty.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Io`, `TooLarge`.
    pub fn load(&self) -> Result<GuestConfig, Error> {
        match read(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound && self.vanishes_when_empty => {
                GuestConfig::parse("")
            }
            text => GuestConfig::parse(text?).map_err(|error| error.at(&self.path)),
        }
    }

    /// Reads the file, lets `edit` change it and puts the result in its place, all under the
    /// lock. Nothing is written if nothing changed or `edit` fails. A file that is not there is
    /// created; its directory must exist.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load), `Locked` if another process keeps the lock for ten seconds,
    /// and what `edit` returns. Kind `Unsynced`: the file is in its place, but a power failure may undo
    /// that.
    pub fn update<T, E: From<Error>>(
        &self,
        edit: impl FnOnce(&mut GuestConfig) -> Result<T, E>,
    ) -> Result<T, E> {
        let path = resolve(&self.path)?;
        let _lock = lock::acquire(&path)?;
        // What a process that was killed in `replace` left.
        let _ = remove_stale(&temporary_name(&path));
        let old = match read(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let text = old.as_deref().unwrap_or_default();
        let mut config = GuestConfig::parse(text).map_err(|error| error.at(&path))?;
        let result = edit(&mut config)?;
        let new = config.to_bytes();
        if new != text {
            if self.vanishes_when_empty && new.trim_ascii().is_empty() {
                remove(&path)?;
            } else {
                replace(&path, &new)?;
            }
        }
        Ok(result)
    }
}

impl ConfigFile {
    /// Removes what a process left beside the file that was killed while it changed it.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub fn settle(&self) -> Result<(), Error> {
        match self.path.parent() {
            Some(directory) if directory.is_dir() => self.update(|_| Ok(())),
            _ => Ok(()),
        }
    }
}

/// Follows links, so that a rename replaces the file and not the link that leads to it.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == IoKind::NotFound => {
            let name = path
                .file_name()
                .ok_or_else(|| Error::io("find", path, error))?;
            let parent = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            let parent = fs::canonicalize(parent)
                .map_err(|source| Error::io("find the directory of", path, source))?;
            Ok(parent.join(name))
        }
        Err(error) => Err(Error::io("find", path, error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let io = |source| Error::io("read", path, source);
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_SIZE)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    File::open(path)
        .map_err(io)?
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    Ok(bytes)
}

/// Who may read a new configuration, which may hold passwords; Proxmox's cluster file system has its own
/// modes.
const MODE: u32 = 0o600;

/// Must be called under the lock.
fn replace(path: &Path, contents: &[u8]) -> Result<(), Error> {
    let replaced = StagedFile::create_like(path, MODE).and_then(|mut staged| {
        staged.write_all(contents)?;
        staged.commit_replacing()
    });
    let committed = replaced.map_err(|source| Error::io("replace", path, source))?;
    match committed.warning() {
        Some(warning) => Err(Error::new(ErrorKind::Unsynced, warning)),
        None => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != IoKind::NotFound => Err(Error::io("remove", path, error)),
        _ => sync_directory_of(path)
            .map_err(|source| Error::io("sync the removal of", path, source).unsynced()),
    }
}

#[cfg(test)]
mod tests;
