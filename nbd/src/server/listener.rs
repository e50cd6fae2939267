//! The socket on which a server listens.

#[cfg(unix)]
mod unix;

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixListener;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::net::sockopt;

use crate::error::{Error, ErrorKind};
use crate::stream::{Address, Stream};

/// A listening socket; accepting does not block. Its file is removed when it is dropped.
#[derive(Debug)]
pub(super) enum Listener {
    #[cfg(unix)]
    Unix(UnixListener, unix::SocketFile),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at `address`; at others than loopback addresses only if `allow_remote`.
    pub(super) fn bind(address: &Address, allow_remote: bool) -> Result<Self, Error> {
        let bound = match address {
            #[cfg(unix)]
            Address::Unix(path) => {
                unix::bind(path).map(|(listener, file)| Self::Unix(listener, file))
            }
            Address::Tcp(host_and_port) => {
                let addresses =
                    resolve(host_and_port).map_err(|error| cannot_listen(address, error))?;
                if !allow_remote && addresses.iter().any(|address| !address.ip().is_loopback()) {
                    let context = format!(
                        "not listening at {address}: anyone who reaches it could read and write the disks; \
                         use a loopback address or a Unix socket"
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
            #[cfg(unix)]
            Self::Unix(_, file) => Some(Address::Unix(file.path.clone())),
            Self::Tcp(listener) => listener
                .local_addr()
                .ok()
                .map(|address| Address::Tcp(address.to_string())),
        }
    }

    pub(super) fn accept(&self) -> io::Result<Stream> {
        match self {
            #[cfg(unix)]
            Self::Unix(listener, _) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // On Windows it is like the listener, which is asked without waiting.
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)?;
                // A client whose machine died must not hold its connection for ever.
                sockopt::set_socket_keepalive(&stream, true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }

    /// What to wait on for a client.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        match self {
            #[cfg(unix)]
            Self::Unix(listener, _) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Self::Unix(listener, _) => listener.set_nonblocking(true),
            Self::Tcp(listener) => listener.set_nonblocking(true),
        }
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
