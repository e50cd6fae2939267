//! The lock of a configuration file: an exclusive `flock` on a file of its own.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fleece_staged_file::{LockFile, Locking};

use crate::error::{Error, ErrorKind};

/// How long to wait for another process; Proxmox waits as long.
const TIMEOUT: Duration = Duration::from_secs(10);
/// `flock` cannot wait with a time limit, so it is tried this often.
const INTERVAL: Duration = Duration::from_millis(20);

/// Locks the configuration at `config`, an absolute path without links. Our own lock file is gone
/// afterwards; Proxmox keeps its own.
pub(super) fn acquire(config: &Path) -> Result<LockFile, Error> {
    if let Some(path) = proxmox_lock(config) {
        let mut lock = lock(&path, config)?;
        lock.keep_file();
        return Ok(lock);
    }
    let mut path = config.as_os_str().to_owned();
    path.push(".lock");
    lock(Path::new(&path), config)
}

/// `/var/lock/qemu-server/lock-<vmid>.conf` for a guest of this Proxmox host.
fn proxmox_lock(config: &Path) -> Option<PathBuf> {
    let locks = Path::new("/var/lock/qemu-server");
    let ours = config.starts_with("/etc/pve") && config.parent()?.ends_with("qemu-server");
    let name = config.file_name()?.to_str()?;
    (ours && locks.is_dir()).then(|| locks.join(format!("lock-{name}")))
}

fn lock(path: &Path, config: &Path) -> Result<LockFile, Error> {
    let deadline = Instant::now().checked_add(TIMEOUT);
    loop {
        match LockFile::try_acquire(path).map_err(|source| Error::io("lock", config, source))? {
            Locking::Held(lock) => return Ok(lock),
            Locking::Busy(_) => {}
        }
        if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
            let message = format!(
                "another process has held the lock {} for {} seconds",
                path.display(),
                TIMEOUT.as_secs()
            );
            return Err(Error::new(ErrorKind::Locked, message).at(config));
        }
        sleep(INTERVAL);
    }
}
