//! How a thread that waits for clients is told to stop: by a byte on a socket, which it waits for as well.

use std::io::{self, Write as _};

use rustix::fd::{AsFd as _, BorrowedFd};

#[cfg(windows)]
use std::net::{Ipv4Addr, TcpListener, TcpStream as Socket};
#[cfg(unix)]
use std::os::unix::net::UnixStream as Socket;

/// Tells it.
#[derive(Debug)]
pub(super) struct Stop(Socket);

/// Is told.
#[derive(Debug)]
pub(super) struct Stopped(Socket);

pub(super) fn pair() -> io::Result<(Stop, Stopped)> {
    let (stop, stopped) = sockets()?;
    Ok((Stop(stop), Stopped(stopped)))
}

#[cfg(unix)]
fn sockets() -> io::Result<(Socket, Socket)> {
    Socket::pair()
}

/// Windows has no pairs; whoever else connects meanwhile is turned away.
#[cfg(windows)]
fn sockets() -> io::Result<(Socket, Socket)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let stop = Socket::connect(listener.local_addr()?)?;
    let ours = stop.local_addr()?;
    loop {
        let (stopped, peer) = listener.accept()?;
        if peer == ours {
            return Ok((stop, stopped));
        }
    }
}

impl Stop {
    pub(super) fn stop(&mut self) {
        // Whoever is told reads this, or is gone already.
        let _ = self.0.write_all(&[0]);
    }
}

impl Stopped {
    /// What to wait on.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
