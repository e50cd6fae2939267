//! Views of the instant, exported for reading; and away again.

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use fleece_qmp_client::commands::{
    BlockExportAdd, BlockExportDel, BlockdevAdd, BlockdevDel, ExportKind, ExportRemoveMode,
    NbdServerAddress, NbdServerStart, NbdServerStop,
};
use fleece_qmp_client::{Address, Client, Error as QmpError, ErrorKind as QmpErrorKind};
use serde_json::json;

use crate::advice::Advice;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind};
use crate::journal::record::Record;
use crate::journal::step::Step;
use crate::qemu::descriptors;
use crate::qemu::names;
use crate::qemu::ours::{self, Ours};
use crate::qemu::teardown;
use crate::qemu::wait;

/// Makes a view above each filter.
pub(crate) fn add_views(client: &Client, disks: &[Disk]) -> Result<(), Error> {
    for (n, disk) in disks.iter().enumerate() {
        let view = json!({
            "driver": "snapshot-access",
            "node-name": names::view(n),
            "file": names::filter(n),
            // So that what was read can be freed in the fleecing image.
            "discard": "unmap",
        });
        client
            .execute(&BlockdevAdd(view))
            .map_err(Error::qemu(format!(
                "{}: cannot make the snapshot view",
                disk.name
            )))?;
    }
    Ok(())
}

/// Starts QEMU's NBD server. There is one in a process.
pub(crate) fn start_server(client: &Client, record: &Record, socket: &Path) -> Result<(), Error> {
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
    let start = |addr| NbdServerStart {
        addr,
        max_connections: Some(0),
    };
    let by_path = || {
        let addr = NbdServerAddress::Unix { path: path.into() };
        client.execute(&start(addr)).map(drop)
    };
    let started = match descriptors::takes_sockets(client)? {
        true => match listen(socket)?.serve(client, start) {
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
pub(crate) fn running_server(address: &Address) -> Result<Address, Error> {
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
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for address in host_and_port.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
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

/// Exports each view under a name that nobody else uses.
pub(crate) fn add_exports(client: &Client, disks: &[Disk]) -> Result<(), Error> {
    for (n, disk) in disks.iter().enumerate() {
        let export = BlockExportAdd {
            id: names::export(n),
            node_name: names::view(n),
            // Nobody can write to a view; this allows to discard what was read.
            writable: Some(true),
            iothread: None,
            kind: ExportKind::Nbd {
                name: names::export(n),
                bitmaps: Vec::new(),
            },
        };
        client.execute(&export).map_err(Error::qemu(format!(
            "{}: cannot export the snapshot view",
            disk.name
        )))?;
    }
    Ok(())
}

/// Removes the exports and views of ours, and the server if the record says that it is ours.
pub(crate) fn remove(client: &Client, ours: &Ours, server: Option<&Path>) -> Result<(), Error> {
    let left = || -> Result<Vec<String>, Error> {
        let ids = ours::exports(client)?.into_iter().map(|export| export.id);
        Ok(ids.filter(|id| ours.exports.contains(id)).collect())
    };
    for id in left()? {
        // It may be going already; the wait below tells.
        let _ = client.execute(&BlockExportDel {
            id,
            mode: Some(ExportRemoveMode::Hard),
        });
    }
    wait::until_gone(client, "exports", left)?;
    Step::ExportsRemoved.reached();
    if let Some(socket) = server {
        stop_server(client, socket)?;
    }
    for name in &ours.views {
        client
            .execute(&BlockdevDel {
                node_name: name.clone(),
            })
            .map_err(Error::qemu(format!("cannot remove the view {name}")))?;
    }
    Ok(())
}

/// Stops the server that listens on `socket`. QEMU does not tell where its server listens, and one that
/// does not listen here is somebody else's: ours was recorded but never started, or went with the
/// QEMU that a new one has replaced.
fn stop_server(client: &Client, socket: &Path) -> Result<(), Error> {
    if teardown::listens(socket) {
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

/// `sun_path` has 108 bytes, one of them for the end (unix(7)).
const MAX_SOCKET_PATH: usize = 107;
