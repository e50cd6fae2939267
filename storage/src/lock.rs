//! The lock that Proxmox takes around allocating and freeing.
//!
//! Every allocation of ours is atomic by itself, so that elsewhere no lock is needed. On a
//! Proxmox host its own lock keeps us out of the middle of its multi-step operations (for
//! storages that are not shared: shared ones are locked cluster-wide by Proxmox, see
//! `docs/LIMITATIONS.md`).

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fleece_staged_file::regular::{self, Links};

use crate::error::{Error, ErrorKind};

const PROXMOX_LOCKS: &str = "/var/lock/pve-manager";
/// How long to wait for another process; Proxmox waits as long.
const TIMEOUT: Duration = Duration::from_secs(10);
/// `flock` cannot wait with a time limit, so it is tried this often.
const INTERVAL: Duration = Duration::from_millis(20);

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct StorageLock {
    _file: Option<File>,
}

/// Locks a storage, where there is somebody to be locked out.
pub(crate) fn acquire(storage: &str) -> Result<StorageLock, Error> {
    // The id of a plain directory is a path, and Proxmox does not know it.
    if storage.contains('/') || !Path::new(PROXMOX_LOCKS).is_dir() {
        return Ok(StorageLock { _file: None });
    }
    let path = Path::new(PROXMOX_LOCKS).join(format!("pve-storage-{storage}"));
    acquire_at(&path, TIMEOUT)
}

fn acquire_at(path: &Path, timeout: Duration) -> Result<StorageLock, Error> {
    let io = |source| Error::io("lock the storage", path, source);
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    let file = regular::open_with(&mut options, path, Links::Refuse).map_err(io)?;
    let deadline = Instant::now().checked_add(timeout);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(StorageLock { _file: Some(file) }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
            Err(TryLockError::WouldBlock) => {}
        }
        if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
            let message = format!(
                "another process has held this lock for {} seconds",
                timeout.as_secs()
            );
            return Err(Error::new(ErrorKind::Busy, path.display(), message));
        }
        sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_another_holds_is_waited_for_and_then_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pve-storage-local");
        let held = acquire_at(&path, TIMEOUT).unwrap();
        let error = acquire_at(&path, INTERVAL).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        drop(held);
        acquire_at(&path, INTERVAL).unwrap();
    }
}
