//! One backup, restore or clean-up of a guest at a time, and one backup or clean-up in a QEMU.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use fleece_qmp_client::Client;

use crate::{Error, ErrorKind};

/// An exclusive lock on a guest, given up on drop and by the kernel when the process dies.
#[derive(Debug)]
pub(crate) struct GuestLock {
    _file: File,
    path: PathBuf,
}

impl GuestLock {
    /// Takes the lock `path`; does not wait.
    pub(crate) fn acquire(path: &Path) -> Result<Self, Error> {
        let failed = |error| {
            Error::caused(
                ErrorKind::Record,
                format!("cannot lock {}", path.display()),
                error,
            )
        };
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(busy(&mut file, path)),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // The one who held it before may have removed the file that we just locked.
            let same = path.metadata().is_ok_and(|now| {
                file.metadata()
                    .is_ok_and(|ours| (ours.dev(), ours.ino()) == (now.dev(), now.ino()))
            });
            if same {
                file.set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| write!(file, "{}", std::process::id()))
                    .map_err(failed)?;
                return Ok(Self {
                    _file: file,
                    path: path.to_owned(),
                });
            }
        }
    }
}

fn busy(file: &mut File, path: &Path) -> Error {
    let mut holder = String::new();
    let who = match file.take(16).read_to_string(&mut holder) {
        Ok(length) if length > 0 => format!("process {holder}"),
        _ => "another process".into(),
    };
    Error::new(
        ErrorKind::Busy,
        format!(
            "{who} is backing up, restoring or cleaning up this guest ({} is locked); wait for it, or stop it",
            path.display()
        ),
    )
}

impl Drop for GuestLock {
    fn drop(&mut self) {
        // While it is still locked: who waits for it notices that it is gone and starts anew.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "cannot remove the lock file");
        }
    }
}

/// That we are at work in a QEMU, whatever the guest is called and wherever its record lies.
///
/// The kernel's entry of the process is locked: a file that only those can open who may control it, which
/// leaves nothing behind, and is known to everybody on this host. What cannot be locked, a QEMU on another
/// host or of another user, is told by its nodes.
#[derive(Debug)]
pub(crate) struct QemuLock {
    _file: Option<File>,
}

impl QemuLock {
    /// Takes the lock of the QEMU behind `client`; does not wait.
    pub(crate) fn acquire(client: &Client) -> Result<Self, Error> {
        let process = client.peer_process();
        let file = process.and_then(|id| File::open(format!("/proc/{id}/environ")).ok());
        match file.as_ref().map(File::try_lock) {
            Some(Err(TryLockError::WouldBlock)) => Err(Error::new(
                ErrorKind::Busy,
                "this QEMU is being backed up under another name or with another --state-dir, or is \
                 being cleaned up; wait for that to end, or stop it",
            )),
            _ => Ok(Self { _file: file }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_is_first_and_gets_it_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("100.lock");
        let first = GuestLock::acquire(&path).unwrap();
        let error = GuestLock::acquire(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(
            error.to_string().contains(&std::process::id().to_string()),
            "{error}"
        );
        drop(first);
        assert!(!path.exists());
        drop(GuestLock::acquire(&path).unwrap());
    }
}
