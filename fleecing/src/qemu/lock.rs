//! One backup or clean-up in a QEMU at a time.

use std::fs::{File, TryLockError};

use fleece_qmp_client::Client;

use crate::error::{Error, ErrorKind};

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
