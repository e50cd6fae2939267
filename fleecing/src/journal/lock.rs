//! One backup, restore or clean-up of a guest at a time, and one backup or clean-up in a QEMU.

use std::fs::{File, TryLockError};
use std::path::Path;

use fleece_qmp_client::Client;
use fleece_staged_file::{LockFile, Locking};

use crate::error::{Error, ErrorKind};

/// An exclusive lock on a guest, given up on drop and by the kernel when the process dies.
#[derive(Debug)]
pub(crate) struct GuestLock {
    _file: LockFile,
}

impl GuestLock {
    /// Takes the lock `path`; does not wait.
    pub(crate) fn acquire(path: &Path) -> Result<Self, Error> {
        let locking = LockFile::try_acquire(path).map_err(|error| {
            let message = format!("cannot lock {}", path.display());
            Error::caused(ErrorKind::Record, message, error)
        })?;
        match locking {
            Locking::Held(mut file) => {
                file.note(&std::process::id().to_string());
                Ok(Self { _file: file })
            }
            Locking::Busy(holder) => Err(busy(&holder, path)),
        }
    }
}

fn busy(holder: &str, path: &Path) -> Error {
    let who = match holder {
        "" => "another process".to_owned(),
        holder => format!("process {holder}"),
    };
    Error::new(
        ErrorKind::Busy,
        format!(
            "{who} is backing up, restoring or cleaning up this guest ({} is locked); wait for it, or stop it",
            path.display()
        ),
    )
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
                "this QEMU is being backed up under another name or with another state directory, or is \
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
