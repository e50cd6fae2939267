//! The server: several exports on one socket.

mod budget;
mod connections;
pub(crate) mod execute;
mod export;
pub(crate) mod exports;
mod listener;
pub(crate) mod negotiation;
pub(crate) mod receive;
mod stop;
mod transmission;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use self::export::Export;

use self::connections::{Connections, Entry};
use self::exports::Exports;
use self::listener::Listener;
use self::negotiation::{Agreement, negotiate};
use self::stop::{Stop, Stopped};
use crate::error::{Error, ErrorKind};
use crate::stream::{Address, Stream, Timed};

/// How long a dropped server waits for requests under way.
const GRACE_WHEN_DROPPED: Duration = Duration::from_secs(5);

/// How long the server rests when the system has no resources for one more connection.
const REST: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// How to serve.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Most connections at once; more are closed as they come. A connection may hold requests
    /// of up to 32 MiB in memory, so this bounds what all clients together can use up.
    pub max_connections: usize,
    /// Most requests that one connection has executed at the same time.
    pub workers: usize,
    /// Limit for a client's handshake.
    pub handshake_timeout: Duration,
    /// Whether a TCP server may listen at other than loopback addresses. NBD without TLS has no
    /// authentication and no encryption.
    pub allow_remote: bool,
}

impl Default for ServerOptions {
    /// 64 connections of 8 workers, 30 seconds for a handshake, loopback only.
    fn default() -> Self {
        Self {
            max_connections: 64,
            workers: 8,
            handshake_timeout: Duration::from_secs(30),
            allow_remote: false,
        }
    }
}

impl ServerOptions {
    /// Sets the number of connections.
    #[must_use]
    pub fn with_max_connections(self, max_connections: usize) -> Self {
        Self {
            max_connections,
            ..self
        }
    }

    /// Sets the number of workers of a connection.
    #[must_use]
    pub fn with_workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Sets the limit for a handshake.
    #[must_use]
    pub fn with_handshake_timeout(self, handshake_timeout: Duration) -> Self {
        Self {
            handshake_timeout,
            ..self
        }
    }

    /// Sets whether clients on other machines may be let in.
    #[must_use]
    pub fn with_allow_remote(self, allow_remote: bool) -> Self {
        Self {
            allow_remote,
            ..self
        }
    }
}

/// A running server. Exports come and go while it runs.
///
/// Each connection has a thread that reads requests and workers that execute them, so that
/// requests run side by side and are answered as they finish. A client that breaks the
/// protocol, stalls or dies costs its own connection only. Dropping the server is
/// [`Server::shutdown`] with 5 seconds of grace.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: Address,
    /// Ends the accepting thread.
    stop: Stop,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    exports: Exports,
    connections: Connections,
    options: ServerOptions,
}

impl Server {
    /// Starts to listen, with no exports yet. A Unix socket is for its owner only; the file of
    /// a server that was killed is replaced.
    ///
    /// # Errors
    /// [`ErrorKind::Connect`] if the address cannot be used, [`ErrorKind::InvalidRequest`] for a
    /// TCP address that is not loopback unless that is allowed.
    pub fn start(address: &Address, options: &ServerOptions) -> Result<Self, Error> {
        let listener = Listener::bind(address, options.allow_remote)?;
        let address = listener.address().unwrap_or_else(|| address.clone());
        let shared = Arc::new(Shared {
            exports: Exports::default(),
            connections: Connections::default(),
            options: options.clone(),
        });
        let cannot = |error| Error::with_source(ErrorKind::Connect, "cannot start a server", error);
        let (stop, stopped) = stop::pair().map_err(cannot)?;
        let accepting = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name("nbd-accept".to_owned())
            .spawn(move || accept_all(&listener, &stopped, &accepting))
            .map_err(cannot)?;
        Ok(Self {
            shared,
            address,
            stop,
            acceptor: Some(acceptor),
        })
    }

    /// Where it listens; a TCP port 0 has become the port that the system chose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How many clients are connected.
    pub fn connections(&self) -> usize {
        self.shared.connections.count()
    }

    /// Serves one more export. The name `""` is the default export; an only export is served
    /// under that name too.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] if the name is taken or not allowed by the protocol.
    pub fn add_export(&self, name: &str, export: Arc<dyn Export>) -> Result<(), Error> {
        self.shared.exports.add(name, export)
    }

    /// Stops serving an export. Its clients' requests under way are answered, but after `grace`
    /// they are cut off. Nothing happens if there is no such export.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if a request is stuck in the export, which is then still in use.
    pub fn remove_export(&self, name: &str, grace: Duration) -> Result<(), Error> {
        if self.shared.exports.remove(name).is_none()
            || self.shared.connections.end(Some(name), grace)
        {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Timeout,
            format!("a request is stuck in the export {name:?}"),
        ))
    }

    /// Lets no client in any more, removes the socket's file, waits up to `grace` until requests
    /// under way are answered, and closes all connections.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if a request is stuck in its export, which is then still in use.
    pub fn shutdown(mut self, grace: Duration) -> Result<(), Error> {
        if self.end(grace) {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::Timeout,
                "a request is stuck in its export",
            ))
        }
    }

    fn end(&mut self, grace: Duration) -> bool {
        let Some(acceptor) = self.acceptor.take() else {
            return true;
        };
        self.shared.connections.close();
        self.stop.stop();
        let _ = acceptor.join();
        self.shared.connections.end(None, grace)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(GRACE_WHEN_DROPPED);
    }
}

/// Accepts connections until it is told to stop.
fn accept_all(listener: &Listener, stopped: &Stopped, shared: &Arc<Shared>) {
    let mut rest = None;
    loop {
        let mut ready = [
            PollFd::from_borrowed_fd(stopped.socket(), PollFlags::IN),
            PollFd::from_borrowed_fd(listener.socket(), PollFlags::IN),
        ];
        // While resting, only the end of the rest or of the server counts.
        let watched = match rest {
            None => ready.as_mut_slice(),
            Some(_) => ready.split_at_mut(1).0,
        };
        let polled = poll(watched, rest.as_ref());
        rest = None;
        let [stop, _] = &ready;
        match polled {
            Ok(_) if !stop.revents().is_empty() => return,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        }
        match listener.accept() {
            Ok(stream) => spawn_connection(stream, shared),
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept an NBD client");
                rest = Some(REST);
            }
        }
    }
}

/// Whether accepting failed for a reason that concerns one client only, or none.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}

fn spawn_connection(stream: Stream, shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    let spawned = thread::Builder::new()
        .name("nbd-connection".to_owned())
        .spawn(move || {
            let stream = Arc::new(stream);
            let Some(entry) = shared
                .connections
                .enter(&stream, shared.options.max_connections)
            else {
                tracing::warn!("too many NBD clients; one was turned away");
                return;
            };
            if let Err(error) = serve_connection(&stream, &shared, &entry) {
                match error.kind() {
                    ErrorKind::Disconnected => tracing::debug!(%error, "an NBD client went away"),
                    _ => tracing::warn!(%error, "an NBD client was disconnected"),
                }
            }
        });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread for an NBD client; it was turned away");
    }
}

fn serve_connection(stream: &Stream, shared: &Shared, entry: &Entry<'_>) -> Result<(), Error> {
    let timed = Timed::new(stream, shared.options.handshake_timeout);
    let Some(agreement) = negotiate(timed, &shared.exports)? else {
        return Ok(());
    };
    stream
        .set_read_timeout(None)
        .and_then(|()| stream.set_write_timeout(None))
        .map_err(|error| Error::connection("setting up the connection", error))?;
    let Agreement { name, export, .. } = &agreement;
    entry.serves(name);
    // From here on a removal of the export ends this connection; was it removed before?
    if !shared.exports.contains(name, export) {
        return Ok(());
    }
    transmission::serve(stream, &agreement, shared.options.workers)
}
