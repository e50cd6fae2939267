//! Where a server is, and a connection to it.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::{ffi::OsStrExt as _, net::UnixStream};
#[cfg(unix)]
use std::path::{Path, PathBuf, absolute};
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
#[cfg(unix)]
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with, sockopt};

use crate::error::{Error, ErrorKind};

/// Where an NBD server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket.
    #[cfg(unix)]
    Unix(PathBuf),
    /// `host:port`. The registered port of NBD is 10809.
    Tcp(String),
}

/// What cannot stand in a URI as it is: all but RFC 3986's unreserved characters, and '/'.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

impl Address {
    /// The URI of an export there, as NBD's clients take it: `nbd+unix:///EXPORT?socket=PATH` or
    /// `nbd://HOST:PORT/EXPORT` (`doc/uri.md` of the NBD project). A socket's path becomes absolute, since a
    /// URI is passed on to programs that may run elsewhere.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// let address = fleece_nbd::Address::Unix("/run/my disks.sock".into());
    /// assert_eq!(address.uri("a"), "nbd+unix:///a?socket=/run/my%20disks.sock");
    /// # }
    /// let address = fleece_nbd::Address::Tcp("localhost:10809".into());
    /// assert_eq!(address.uri("100%"), "nbd://localhost:10809/100%25");
    /// ```
    pub fn uri(&self, export: &str) -> String {
        let export = percent_encode(export.as_bytes(), ENCODED);
        match self {
            #[cfg(unix)]
            Self::Unix(path) => {
                let path = absolute(path).unwrap_or_else(|_| path.clone());
                let path = percent_encode(path.as_os_str().as_bytes(), ENCODED);
                format!("nbd+unix:///{export}?socket={path}")
            }
            Self::Tcp(host_and_port) => format!("nbd://{host_and_port}/{export}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(host_and_port) => f.write_str(host_and_port),
        }
    }
}

/// A connection; `&Stream` reads and writes, so that one thread may do either.
#[derive(Debug)]
pub(crate) enum Stream {
    #[cfg(unix)]
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    pub(crate) fn connect(address: &Address, timeout: Duration) -> Result<Self, Error> {
        let connected = match address {
            #[cfg(unix)]
            Address::Unix(path) => connect_unix(path, timeout).map(Self::Unix),
            Address::Tcp(host_and_port) => connect_tcp(host_and_port, timeout).map(Self::Tcp),
        };
        connected.map_err(|error| {
            let context = format!("cannot connect to the NBD server at {address}");
            Error::with_source(ErrorKind::Connect, context, error)
        })
    }

    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => stream.set_read_timeout(timeout),
            Self::Tcp(stream) => stream.set_read_timeout(timeout),
        }
    }

    pub(crate) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => stream.set_write_timeout(timeout),
            Self::Tcp(stream) => stream.set_write_timeout(timeout),
        }
    }

    /// Ends the connection for both sides; reads and writes under way return.
    pub(crate) fn shutdown(&self) {
        self.shutdown_as(Shutdown::Both);
    }

    /// Ends reading: what has arrived can be read, then comes the end.
    pub(crate) fn shutdown_read(&self) {
        self.shutdown_as(Shutdown::Read);
    }

    fn shutdown_as(&self, how: Shutdown) {
        // It fails only when the connection is gone already, which is what is wanted.
        let _ = match self {
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        };
    }
}

#[cfg(unix)]
/// Connects within `timeout`, also to a server that does not accept and has a full backlog.
fn connect_unix(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(timeout))?;
    rustix::net::connect(&socket, &address)?;
    Ok(UnixStream::from(socket))
}

fn connect_tcp(host_and_port: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in host_and_port.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                // Requests are small; they must not wait for a full packet.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Stream::Unix(stream) => (&*stream).read(buffer),
            Stream::Tcp(stream) => (&*stream).read(buffer),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Stream::Unix(stream) => (&*stream).write(buffer),
            Stream::Tcp(stream) => (&*stream).write(buffer),
        }
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Stream::Unix(stream) => (&*stream).write_vectored(buffers),
            Stream::Tcp(stream) => (&*stream).write_vectored(buffers),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection that must get done by a deadline, however slowly the other side drips bytes.
#[derive(Debug)]
pub(crate) struct Timed<'a> {
    stream: &'a Stream,
    deadline: Instant,
}

impl<'a> Timed<'a> {
    pub(crate) fn new(stream: &'a Stream, limit: Duration) -> Self {
        let now = Instant::now();
        Self {
            stream,
            deadline: now.checked_add(limit).unwrap_or(now),
        }
    }

    fn remaining(&self) -> io::Result<Option<Duration>> {
        match self.deadline.checked_duration_since(Instant::now()) {
            Some(remaining) if !remaining.is_zero() => Ok(Some(remaining)),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.remaining()?)?;
        let mut stream = self.stream;
        stream.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.remaining()?)?;
        let mut stream = self.stream;
        stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
