//! The lock of a configuration file: an exclusive `flock` on a file of its own.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};

/// How long to wait for another process; Proxmox waits as long.
const PATIENCE: Duration = Duration::from_secs(10);
/// `flock` cannot wait with a time limit, so it is tried this often.
const INTERVAL: Duration = Duration::from_millis(20);

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
    /// Our own lock file, to be removed; Proxmox keeps its own.
    own: Option<PathBuf>,
}

impl Lock {
    /// Locks the configuration at `config`, an absolute path without links.
    pub(super) fn acquire(config: &Path) -> Result<Self, Error> {
        match proxmox_lock(config) {
            Some(path) => Ok(Self {
                _file: lock(&path, config)?,
                own: None,
            }),
            None => {
                let mut path = config.as_os_str().to_owned();
                path.push(".lock");
                let path = PathBuf::from(path);
                Ok(Self {
                    _file: lock(&path, config)?,
                    own: Some(path),
                })
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while the lock is held: whoever waits for it sees that the file is no longer
        // the one under that name and takes a new one.
        if let Some(path) = &self.own {
            let _ = fs::remove_file(path);
        }
    }
}

/// `/var/lock/qemu-server/lock-<vmid>.conf` for a guest of this Proxmox host.
fn proxmox_lock(config: &Path) -> Option<PathBuf> {
    let locks = Path::new("/var/lock/qemu-server");
    let ours = config.starts_with("/etc/pve") && config.parent()?.ends_with("qemu-server");
    let name = config.file_name()?.to_str()?;
    (ours && locks.is_dir()).then(|| locks.join(format!("lock-{name}")))
}

fn lock(path: &Path, config: &Path) -> Result<File, Error> {
    let io = |source| Error::io("lock", config, source);
    let deadline = Instant::now().checked_add(PATIENCE);
    loop {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) if is_at(&file, path) => return Ok(file),
            Ok(()) => continue,
            Err(TryLockError::Error(source)) => return Err(io(source)),
            Err(TryLockError::WouldBlock) => {}
        }
        if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
            let message = format!(
                "another process has kept the lock {} for {} seconds",
                path.display(),
                PATIENCE.as_secs()
            );
            return Err(Error::new(ErrorKind::Locked, message).at(config));
        }
        sleep(INTERVAL);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(file), Ok(path)) => (file.dev(), file.ino()) == (path.dev(), path.ino()),
        _ => false,
    }
}
