//! Connecting, within a deadline, to either kind of address.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use nix::sys::socket::sockopt::PeerCredentials;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, sockopt,
};

use crate::address::Address;
use crate::deadline::{Deadline, SHORTEST};
use crate::error::{Error, ErrorKind};

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    pub(crate) fn connect(address: &Address, deadline: &Deadline) -> Result<Self, Error> {
        match address {
            Address::Unix(path) => connect_unix(path, deadline).map(Self::Unix),
            Address::Tcp(host_and_port) => connect_tcp(host_and_port, deadline).map(Self::Tcp),
        }
        .map_err(|error| deadline.passed(kind_of(&error)).with_source(error))
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
        }
    }

    /// Whether file descriptors can go along with the bytes.
    pub(crate) fn passes_descriptors(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// A duplicate of a socket over which it can be sent itself.
    pub(crate) fn duplicate(&self) -> Option<OwnedFd> {
        match self {
            Self::Unix(stream) => stream.try_clone().ok().map(Into::into),
            Self::Tcp(_) => None,
        }
    }

    /// The process that listens at the other end, where the kernel tells.
    pub(crate) fn peer_process(&self) -> Option<u32> {
        let Self::Unix(stream) = self else {
            return None;
        };
        // Not by rustix, whose process numbers cannot be zero: so a process of another container is called.
        let peer = nix::sys::socket::getsockopt(stream, PeerCredentials).ok()?;
        u32::try_from(peer.pid()).ok().filter(|id| *id > 0)
    }

    /// Ends both directions; whoever reads wakes up at the end of the stream.
    pub(crate) fn shutdown(&self) {
        // It fails only if the peer was faster, which is just as well.
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    /// Sends all of `bytes` before the deadline, the descriptor together with the first byte.
    /// After an error the peer may have got a part.
    pub(crate) fn send(
        &mut self,
        mut bytes: &[u8],
        fd: Option<BorrowedFd<'_>>,
        deadline: &Deadline,
    ) -> io::Result<()> {
        // The caller has seen that there is time left. An interrupt since then is no fault of the peer's: whoever waits
        // for the reply hears of it.
        self.set_write_timeout(deadline.slice().unwrap_or(SHORTEST))?;
        if let Some(fd) = fd {
            let sent = self.send_descriptor(bytes, fd)?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        while !bytes.is_empty() {
            match self.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The next slice of time, if there is one.
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
            if !bytes.is_empty() {
                self.set_write_timeout(deadline.slice().ok_or(io::ErrorKind::TimedOut)?)?;
            }
        }
        Ok(())
    }

    /// Reads what there is before the deadline; zero at the end of the stream.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], deadline: &Deadline) -> io::Result<usize> {
        loop {
            let timeout = deadline.slice().ok_or(io::ErrorKind::TimedOut)?;
            match self {
                Self::Unix(stream) => stream.set_read_timeout(Some(timeout)),
                Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            }?;
            match self.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => {}
                result => return result,
            }
        }
    }

    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Some(timeout);
        match self {
            Self::Unix(stream) => stream.set_write_timeout(timeout),
            Self::Tcp(stream) => stream.set_write_timeout(timeout),
        }
    }

    fn send_descriptor(&self, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<usize> {
        let Self::Unix(stream) = self else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "descriptors can only be sent over a Unix socket",
            ));
        };
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [fd];
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("no room for a descriptor"));
        }
        let bytes = [io::IoSlice::new(bytes)];
        let sent = rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(stream, &bytes, &mut control, SendFlags::NOSIGNAL)
        })?;
        Ok(sent)
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether an I/O error is a passed socket timeout.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Like `UnixStream::connect`, which waits for ever when the listener's queue is full, as it
/// is when several clients wait for a QMP socket that serves one at a time.
fn connect_unix(path: &Path, deadline: &Deadline) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    loop {
        // Linux applies the send timeout to connect(2) and then fails with EAGAIN.
        let timeout = deadline.slice().ok_or(io::ErrorKind::TimedOut)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(timeout))?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(socket.into()),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// In a thread of its own, since neither the resolver nor connect(2) can be interrupted.
fn connect_tcp(host_and_port: &str, deadline: &Deadline) -> io::Result<TcpStream> {
    let (sender, receiver) = sync_channel(1);
    let (name, timeout) = (host_and_port.to_owned(), deadline.remaining());
    std::thread::Builder::new()
        .name("connect".into())
        .spawn(move || {
            // Nobody may listen any more.
            let _ = sender.send(connect_within(&name, timeout));
        })?;
    loop {
        let slice = deadline.slice().ok_or(io::ErrorKind::TimedOut)?;
        match receiver.recv_timeout(slice) {
            Ok(connected) => return connected,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("no thread")),
        }
    }
}

fn connect_within(host_and_port: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for address in host_and_port.to_socket_addrs()? {
        let timeout = timeout.max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                // Commands are small and wait for their replies.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NoSocket,
        io::ErrorKind::ConnectionRefused => ErrorKind::Refused,
        io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        _ if is_timeout(error) => ErrorKind::Busy,
        _ => ErrorKind::Connect,
    }
}
