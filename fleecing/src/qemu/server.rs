//! QEMU's NBD server: one that is ours is started and stopped, another's is used as it is.

pub(crate) mod stray;

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use fleece_qmp_client::commands::{NbdServerAddress, NbdServerStart, NbdServerStop};
use fleece_qmp_client::{Address, Client, Error as QmpError, ErrorKind as QmpErrorKind};

use crate::advice::Advice;
use crate::error::{Error, ErrorKind};
use crate::journal::record::Record;
use crate::journal::step::Step;
use crate::qemu::descriptors;
use crate::qemu::names;

/// Starts QEMU's NBD server. There is one in a process.
pub(crate) fn start(client: &Client, record: &Record, socket: &Path) -> Result<(), Error> {
    let Some(path) = socket.to_str().filter(|path| path.len() <= MAX_SOCKET_PATH) else {
        return Err(Error::new(
            ErrorKind::Record,
            format!(
                "the socket path {} is longer than {MAX_SOCKET_PATH} bytes",
                socket.display()
            ),
        )
        .advise(Advice::ShorterStateDirectory));
    };
    record.note_nbd_socket(Some(socket))?;
    Step::ServerRecorded.reached();
    // What a dead QEMU left would be in the way of the new one.
    remove_socket(socket);
    let command = |addr| NbdServerStart {
        addr,
        max_connections: Some(0),
    };
    let by_path = || {
        let addr = NbdServerAddress::Unix { path: path.into() };
        client.execute(&command(addr)).map(drop)
    };
    let started = match descriptors::takes_sockets(client)? {
        true => match listen(socket)?.serve(client, command) {
            // What stands before QEMU's monitor passes no descriptors on.
            Err(error) if error.command() == Some("getfd") => {
                remove_socket(socket);
                by_path()
            }
            served => served,
        },
        false => by_path(),
    };
    started.map_err(|error| {
        // The server that runs is somebody else's: it must not be taken for ours.
        let noted = record.note_nbd_socket(None);
        remove_socket(socket);
        let (more, advice) = match error.detail() {
            _ if noted.is_err() => ("; the record of it could not be removed either", None),
            Some(text) if text.contains("already running") => ("", Some(Advice::NameNbdServer)),
            _ => ("; QEMU must be allowed to make a socket there", None),
        };
        let message = format!("cannot start QEMU's NBD server on {path}{more}");
        Error::caused(ErrorKind::Qemu, message, error).advise(advice)
    })?;
    Step::ServerStarted.reached();
    Ok(())
}

/// A server that is said to run, if it does.
pub(crate) fn running(address: &Address) -> Result<Address, Error> {
    let connected = match address {
        Address::Unix(path) => UnixStream::connect(path).map(drop),
        Address::Tcp(host) => connect(host),
        // Whoever reads says that it cannot.
        _ => Ok(()),
    };
    match connected {
        Ok(()) => Ok(address.clone()),
        Err(error) => {
            let message = format!("no NBD server answers at {address}");
            Err(Error::caused(ErrorKind::Qemu, message, error).advise(Advice::NoNbdServer))
        }
    }
}

fn connect(host_and_port: &str) -> io::Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(5);
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for address in host_and_port.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A socket that QEMU is to listen at, and need not make itself.
struct Listening(UnixListener);

fn listen(socket: &Path) -> Result<Listening, Error> {
    UnixListener::bind(socket).map(Listening).map_err(|error| {
        let message = format!("cannot listen at {}", socket.display());
        Error::caused(ErrorKind::Record, message, error).advise(Advice::OtherStateDirectory)
    })
}

impl Listening {
    /// Starts the server with it; from then on QEMU alone has it.
    fn serve(
        self,
        client: &Client,
        start: impl FnOnce(NbdServerAddress) -> NbdServerStart,
    ) -> Result<(), QmpError> {
        let name = names::SOCKET.to_owned();
        descriptors::give_socket(client, &name, self.0.as_fd())?;
        let started = client.execute(&start(NbdServerAddress::Fd { name }));
        if started.is_err() {
            descriptors::close_socket(client, names::SOCKET);
        }
        started.map(drop)
    }
}

/// Stops the server that listens on `socket`. QEMU does not tell where its server listens, and one that
/// does not listen here is somebody else's: ours was recorded but never started, or went with the
/// QEMU that a new one has replaced.
pub(crate) fn stop(client: &Client, socket: &Path) -> Result<(), Error> {
    if listens(socket) {
        match client.execute(&NbdServerStop {}) {
            Ok(_) => {}
            // "NBD server not running": somebody was faster.
            Err(error) if matches!(error.kind(), QmpErrorKind::Command(_)) => {}
            Err(error) => return Err(Error::qemu("cannot stop the NBD server")(error)),
        }
    }
    remove_socket(socket);
    Ok(())
}

/// Removes a socket that nobody listens on any more; what is no socket is not ours.
pub(crate) fn remove_socket(socket: &Path) {
    let is_socket = |metadata: std::fs::Metadata| metadata.file_type().is_socket();
    if socket.symlink_metadata().is_ok_and(is_socket) {
        let _ = std::fs::remove_file(socket);
    }
}

/// Whether a server that lives has this socket.
pub(crate) fn listens(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// `sun_path` has 108 bytes, one of them for the end (unix(7)).
pub(crate) const MAX_SOCKET_PATH: usize = 107;
