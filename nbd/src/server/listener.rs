//! The socket on which a server listens.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with, sockopt};

use crate::error::{Error, ErrorKind};
use crate::stream::{Address, Stream};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// A listening socket; accepting does not block. Its file is removed when it is dropped.
#[derive(Debug)]
pub(super) enum Listener {
    Unix(UnixListener, SocketFile),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at `address`; at others than loopback addresses only if `allow_remote`.
    pub(super) fn bind(address: &Address, allow_remote: bool) -> Result<Self, Error> {
        let bound = match address {
            Address::Unix(path) => bind_unix(path),
            Address::Tcp(host_and_port) => {
                let addresses =
                    resolve(host_and_port).map_err(|error| cannot_listen(address, error))?;
                if !allow_remote && addresses.iter().any(|address| !address.ip().is_loopback()) {
                    let context = format!(
                        "not listening at {address}: anyone who reaches it could read and write the disks; \
                         use a loopback address or a Unix socket, or allow remote clients"
                    );
                    return Err(Error::new(ErrorKind::InvalidRequest, context));
                }
                TcpListener::bind(&*addresses).map(Self::Tcp)
            }
        };
        bound
            .and_then(|listener| listener.set_nonblocking().map(|()| listener))
            .map_err(|error| cannot_listen(address, error))
    }

    /// Where it really listens: with the port that the system chose for port 0.
    pub(super) fn address(&self) -> Option<Address> {
        match self {
            Self::Unix(_, file) => Some(Address::Unix(file.path.clone())),
            Self::Tcp(listener) => listener
                .local_addr()
                .ok()
                .map(|address| Address::Tcp(address.to_string())),
        }
    }

    pub(super) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener, _) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                // A client whose machine died must not hold its connection for ever.
                sockopt::set_socket_keepalive(&stream, true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Unix(listener, _) => listener.set_nonblocking(true),
            Self::Tcp(listener) => listener.set_nonblocking(true),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener, _) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }
}

/// The file of a Unix socket that we made.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode, so that nobody else's file is removed.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // If it cannot be removed, the next server at this place finds nobody behind it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Listens on a socket that only the owner may connect to.
fn bind_unix(path: &Path) -> io::Result<Listener> {
    remove_stale(path)?;
    let address = SocketAddrUnix::new(path)?;
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::bind(&socket, &address)?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path)?,
    };
    // Nobody can connect before `listen`, so nobody gets in before this.
    rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(Listener::Unix(UnixListener::from(socket), file))
}

/// Removes the socket of a server that was killed; one with a server behind it stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    match is_socket.then(|| UnixStream::connect(path)) {
        Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path)
        }
        _ => Ok(()),
    }
}

fn resolve(host_and_port: &str) -> io::Result<Vec<SocketAddr>> {
    host_and_port.to_socket_addrs().map(Iterator::collect)
}

fn cannot_listen(address: &Address, error: io::Error) -> Error {
    Error::with_source(
        ErrorKind::Connect,
        format!("cannot listen at {address}"),
        error,
    )
}
