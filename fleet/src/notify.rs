//! Word to the service manager, as `sd_notify(3)` describes it: a datagram to the socket in `$NOTIFY_SOCKET`.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use fleece_plain_text::words;

/// The service manager, if it listens.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Manager {
    /// The one that has started this process as a service.
    #[must_use]
    pub fn of_environment() -> Option<Self> {
        Self::at(std::env::var_os("NOTIFY_SOCKET")?).ok()
    }

    /// The one that listens at this path, or under the abstract name behind an `@`.
    fn at(name: OsString) -> io::Result<Self> {
        let address = match name.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&name)?,
        };
        Ok(Self {
            socket: UnixDatagram::unbound()?,
            address,
        })
    }

    /// What `systemctl status` shows. Nobody is told if it is not taken.
    pub fn status(&self, text: &str) {
        let text = format!("STATUS={}", words(text));
        let _ = self.socket.set_nonblocking(true);
        let _ = self.socket.send_to_addr(text.as_bytes(), &self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_datagram_of_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let listens = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::at(path.into()).unwrap();
        manager.status("web: 43%\nREADY=1");
        let mut said = [0; 100];
        let length = listens.recv(&mut said).unwrap();
        let said = std::str::from_utf8(&said[..length]).unwrap();
        assert!(
            said.starts_with("STATUS=web: 43%") && !said.contains('\n'),
            "{said}"
        );
    }
}
