//! The thin shell around the grammar: a configuration file under a lock, replaced atomically.

mod lock;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind as IoKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::config::{GuestConfig, MAX_SIZE};
use crate::error::{Error, ErrorKind};
use lock::Lock;

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
    /// `NotFound`, `Io`, `NotUtf8`, `TooLarge`.
    pub fn load(&self) -> Result<GuestConfig, Error> {
        match read(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound && self.vanishes_when_empty => {
                GuestConfig::parse("")
            }
            text => GuestConfig::parse(&text?).map_err(|error| error.at(&self.path)),
        }
    }

    /// Reads the file, lets `edit` change it and puts the result in its place, all under the
    /// lock. Nothing is written if nothing changed or `edit` fails. A file that is not there is
    /// created; its directory must exist.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load), `Locked` if another process keeps the lock for ten seconds,
    /// and what `edit` returns.
    pub fn update<T, E: From<Error>>(
        &self,
        edit: impl FnOnce(&mut GuestConfig) -> Result<T, E>,
    ) -> Result<T, E> {
        let path = resolve(&self.path)?;
        let _lock = Lock::acquire(&path)?;
        // What a process that was killed in `replace` left.
        let _ = fs::remove_file(temporary_name(&path));
        let old = match read(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let text = old.as_deref().unwrap_or("");
        let mut config = GuestConfig::parse(text).map_err(|error| error.at(&path))?;
        let result = edit(&mut config)?;
        let new = config.to_string();
        if new != text {
            if self.vanishes_when_empty && new.trim().is_empty() {
                remove(&path)?;
            } else {
                replace(&path, new.as_bytes())?;
            }
        }
        Ok(result)
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

fn read(path: &Path) -> Result<String, Error> {
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
    String::from_utf8(bytes).map_err(|_| {
        Error::new(ErrorKind::NotUtf8, "the guest configuration is not UTF-8").at(path)
    })
}

/// What lies under this name is a dead process's, for whoever holds the lock.
fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp.fleece");
    name.into()
}

/// Must be called under the lock.
fn replace(path: &Path, contents: &[u8]) -> Result<(), Error> {
    let temporary = temporary_name(path);
    let written = write_new(&temporary, contents, fs::metadata(path).ok().as_ref())
        .map_err(|source| Error::io("write a new version of", path, source))
        .and_then(|()| {
            fs::rename(&temporary, path).map_err(|source| Error::io("replace", path, source))
        });
    if written.is_err() {
        // The error that is told is the first one; a leftover is removed by the next update.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_directory(path)
}

fn write_new(path: &Path, contents: &[u8], old: Option<&Metadata>) -> std::io::Result<()> {
    let mode = old.map_or(0o640, |old| old.permissions().mode() & 0o777);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    if let Some(old) = old {
        // Proxmox's cluster file system sets owner and mode itself and refuses both calls.
        let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
        let _ = file.set_permissions(fs::Permissions::from_mode(mode));
    }
    file.write_all(contents)?;
    file.sync_all()
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != IoKind::NotFound => Err(Error::io("remove", path, error)),
        _ => sync_directory(path),
    }
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        // Some file systems cannot sync a directory; their renames are as durable as they get.
        Err(error) if matches!(error.kind(), IoKind::InvalidInput | IoKind::Unsupported) => Ok(()),
        result => result.map_err(|source| Error::io("sync the directory of", path, source)),
    }
}

#[cfg(test)]
mod tests;
