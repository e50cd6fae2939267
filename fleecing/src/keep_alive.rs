//! Proxmox's `qmeventd`, which ends the QEMU of a guest that has powered down: told that a backup still reads it.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use fleece_qmp_client::Address;
use serde_json::json;

use crate::address::{GuestAddress, proxmoxs_guest};

/// As long as this lives, the guest's QEMU stays.
#[derive(Debug)]
pub struct KeepAlive {
    _connection: UnixStream,
}

impl KeepAlive {
    /// Tells the `qmeventd` that watches the guest of this monitor, if that is one of Proxmox's and there is a `qmeventd`.
    ///
    /// # Errors
    /// It cannot be told: a guest that powers down takes its QEMU along.
    pub fn hold(monitor: &GuestAddress) -> io::Result<Option<Self>> {
        let GuestAddress::Socket(Address::Unix(path)) = monitor else {
            return Ok(None);
        };
        let Some((socket, guest)) = socket(path).zip(proxmoxs_guest(path)) else {
            return Ok(None);
        };
        if !socket.exists() {
            return Ok(None);
        }
        let mut connection = UnixStream::connect(socket)?;
        let handshake = json!({ "vzdump": { "vmid": guest.to_string() } });
        connection.write_all(handshake.to_string().as_bytes())?;
        Ok(Some(Self {
            _connection: connection,
        }))
    }
}

/// `/run/qmeventd.sock`, for `/run/qemu-server/<vmid>.qmp`.
fn socket(monitor: &Path) -> Option<PathBuf> {
    Some(monitor.parent()?.parent()?.join("qmeventd.sock"))
}
