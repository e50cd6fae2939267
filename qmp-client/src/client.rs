//! A connection to a QMP server.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::address::Address;
use crate::command::{Command, RawCommand, default_deadline};
use crate::commands::{QmpCapabilities, QueryQmpSchema};
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind};
use crate::message::Greeting;
use crate::schema::Schema;
use crate::socket::{Socket, is_timeout};
use crate::subscription::Subscription;

mod reader;

use reader::{Awaited, Switchboard};

/// A connection to the QMP server of QEMU or of `qemu-storage-daemon`.
///
/// Clones share the connection, and threads may use it side by side. It ends with the last
/// clone: the socket is then shut down, its thread has ended, and the next client may connect.
#[derive(Clone, Debug)]
pub struct Client(Arc<Connection>);

/// How to connect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long it may take in all to connect, to be greeted and to agree on capabilities.
    pub deadline: Duration,
}

impl Default for Options {
    /// Five seconds: QEMU answers at once unless its main loop is stuck.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
        }
    }
}

impl Client {
    /// Connects and leaves the negotiation of capabilities behind, so that commands can be sent.
    ///
    /// # Errors
    ///
    /// [`NoSocket`](ErrorKind::NoSocket), [`Refused`](ErrorKind::Refused),
    /// [`Permission`](ErrorKind::Permission) or [`Connect`](ErrorKind::Connect) if there is no
    /// connection; [`Busy`](ErrorKind::Busy) if nothing comes over it in time, as when another
    /// client is connected; [`NotQmp`](ErrorKind::NotQmp) if something else comes.
    pub fn connect(address: &Address, options: &Options) -> Result<Self, Error> {
        let peer = address.to_string();
        Self::open(address, options, &peer).map_err(|error| error.at(&peer))
    }

    /// Connects to a Unix socket with the default [`Options`].
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_unix(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::connect(&Address::unix(path), &Options::default())
    }

    /// What the server said about itself.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.0.greeting
    }

    /// Sends a command and waits for its reply, for as long as the command says.
    ///
    /// # Errors
    ///
    /// [`Command`](ErrorKind::Command) if QEMU refuses it, [`Deadline`](ErrorKind::Deadline) if
    /// it does not answer in time (the command may still take effect),
    /// [`Closed`](ErrorKind::Closed) and what else ends a connection.
    pub fn execute<C: Command>(&self, command: &C) -> Result<C::Reply, Error> {
        self.execute_within(command, command.deadline())
    }

    /// As [`execute`](Self::execute), with a deadline of one's own.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn execute_within<C: Command>(
        &self,
        command: &C,
        deadline: Duration,
    ) -> Result<C::Reply, Error> {
        self.0.call(C::NAME, Some(command), None, deadline)
    }

    /// As [`execute`](Self::execute), and passes a file descriptor along (`add-fd`, `getfd`).
    /// QEMU gets a duplicate; `fd` stays with the caller.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute), and [`InvalidCommand`](ErrorKind::InvalidCommand) over TCP.
    pub fn execute_with_fd<C: Command>(
        &self,
        command: &C,
        fd: BorrowedFd<'_>,
    ) -> Result<C::Reply, Error> {
        self.0
            .call(C::NAME, Some(command), Some(fd), command.deadline())
    }

    /// Sends any command by name, with the deadline that this crate has for that name.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn execute_raw(&self, name: &str, arguments: Option<Value>) -> Result<Value, Error> {
        self.0
            .call(name, arguments.as_ref(), None, default_deadline(name))
    }

    /// Sends all commands in one write, so that QEMU runs them with nothing of ours in between,
    /// and returns their results in the same order.
    ///
    /// QEMU does not stop at a command that fails: it runs the rest. The time for all replies
    /// is the sum of the commands' deadlines.
    #[must_use]
    pub fn pipeline(&self, commands: &[RawCommand]) -> Vec<Result<Value, Error>> {
        self.0.pipeline(commands)
    }

    /// All events from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(self.0.switchboard.subscribe())
    }

    /// What this server can do (`query-qmp-schema`), asked once per connection.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn schema(&self) -> Result<Arc<Schema>, Error> {
        if let Some(schema) = self.0.schema.get() {
            return Ok(Arc::clone(schema));
        }
        let schema = Arc::new(self.execute(&QueryQmpSchema {})?);
        Ok(Arc::clone(self.0.schema.get_or_init(|| schema)))
    }

    /// Why the connection has ended, if it has. The first cause is kept.
    #[must_use]
    pub fn closed(&self) -> Option<Error> {
        self.0.switchboard.closed()
    }

    fn open(address: &Address, options: &Options, peer: &str) -> Result<Self, Error> {
        let deadline = Deadline::after(options.deadline);
        let socket = Socket::connect(address, deadline)?;
        let (switchboard, greeting) = Switchboard::new(peer);
        let reader = reader::spawn(&socket, &switchboard)
            .map_err(|error| Error::new(ErrorKind::Connect).with_source(error))?;
        // From here on dropping the hangup ends the thread.
        let hangup = Hangup {
            socket: Mutex::new(socket),
            reader: Some(reader),
        };

        let greeting = match greeting.recv_timeout(deadline.remaining()) {
            Ok(greeting) => greeting,
            Err(RecvTimeoutError::Timeout) if !switchboard.has_heard() => {
                return Err(Error::new(ErrorKind::Busy));
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(Error::new(ErrorKind::NotQmp).with_detail("no greeting came"));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let error = switchboard
                    .closed()
                    .unwrap_or_else(|| Error::new(ErrorKind::Closed));
                return Err(match error.kind() {
                    ErrorKind::Protocol | ErrorKind::Oversized => {
                        error.with_kind(ErrorKind::NotQmp)
                    }
                    _ => error,
                });
            }
        };
        let connection = Connection {
            hangup,
            switchboard,
            greeting,
            schema: OnceLock::new(),
            next_id: AtomicU64::new(first_id()),
        };
        let client = Self(Arc::new(connection));
        client.execute_within(
            &QmpCapabilities { enable: Vec::new() },
            deadline.remaining(),
        )?;
        Ok(client)
    }
}

/// What the clones of a client share.
#[derive(Debug)]
struct Connection {
    hangup: Hangup,
    switchboard: Arc<Switchboard>,
    greeting: Greeting,
    schema: OnceLock<Arc<Schema>>,
    next_id: AtomicU64,
}

impl Connection {
    fn call<A: Serialize, R: DeserializeOwned>(
        &self,
        name: &str,
        arguments: Option<&A>,
        fd: Option<BorrowedFd<'_>>,
        deadline: Duration,
    ) -> Result<R, Error> {
        let deadline = Deadline::after(deadline);
        let mut text = Vec::new();
        let result = self
            .prepare(name, arguments, &mut text)
            .and_then(|awaited| self.send(&text, fd, deadline).map(|()| awaited))
            .and_then(|awaited| awaited.result(deadline))
            .and_then(|reply| decode(&reply));
        result.map_err(|error| error.at(self.switchboard.peer()).during(name))
    }

    fn pipeline(&self, commands: &[RawCommand]) -> Vec<Result<Value, Error>> {
        let total = commands
            .iter()
            .fold(Duration::ZERO, |sum, c| sum.saturating_add(c.deadline));
        let deadline = Deadline::after(total);
        let mut text = Vec::new();
        let sent = commands
            .iter()
            .map(|c| self.prepare(&c.name, c.arguments.as_ref(), &mut text))
            .collect::<Result<Vec<_>, _>>()
            .and_then(|awaited| self.send(&text, None, deadline).map(|()| awaited));
        let results: Vec<Result<_, _>> = match sent {
            Ok(awaited) => awaited.into_iter().map(|a| a.result(deadline)).collect(),
            // Nothing was sent, or nobody knows how much: one cause for all.
            Err(error) => commands.iter().map(|_| Err(error.clone())).collect(),
        };
        let named = |(result, command): (Result<Box<RawValue>, Error>, &RawCommand)| {
            result
                .and_then(|reply| decode(&reply))
                .map_err(|error| error.at(self.switchboard.peer()).during(&command.name))
        };
        results.into_iter().zip(commands).map(named).collect()
    }

    /// Appends a command to `text` and makes ready for its reply.
    fn prepare<A: Serialize>(
        &self,
        execute: &str,
        arguments: Option<&A>,
        text: &mut Vec<u8>,
    ) -> Result<Awaited<'_>, Error> {
        #[derive(Serialize)]
        struct Wire<'a, A> {
            execute: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            arguments: Option<&'a A>,
            id: u64,
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        serde_json::to_writer(
            &mut *text,
            &Wire {
                execute,
                arguments,
                id,
            },
        )
        .map_err(|error| Error::new(ErrorKind::InvalidCommand).with_source(error))?;
        text.push(b'\n');
        self.switchboard.expect(id)
    }

    fn send(
        &self,
        text: &[u8],
        fd: Option<BorrowedFd<'_>>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let mut socket = self
            .hangup
            .socket
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if fd.is_some() && !socket.passes_descriptors() {
            let detail = "descriptors can only be passed over a Unix socket";
            return Err(Error::new(ErrorKind::InvalidCommand).with_detail(detail));
        }
        socket.send(text, fd, deadline).map_err(|error| {
            // Half a command may be out: nothing that follows would be understood.
            let detail = if is_timeout(&error) {
                "it does not read"
            } else {
                "cannot send"
            };
            let error = self
                .switchboard
                .close(Error::closed(error).with_detail(detail));
            socket.shutdown();
            error
        })
    }
}

fn decode<R: DeserializeOwned>(reply: &RawValue) -> Result<R, Error> {
    serde_json::from_str(reply.get())
        .map_err(|error| Error::new(ErrorKind::UnexpectedReply).with_source(error))
}

/// Where ids start: somewhere else in each connection, because QEMU may give a late reply to
/// a command of the client before us to us.
fn first_id() -> u64 {
    RandomState::new().build_hasher().finish() >> 2
}

/// The socket's writing half and its reader. Dropping it hangs up and waits for the thread.
#[derive(Debug)]
struct Hangup {
    socket: Mutex<Socket>,
    reader: Option<JoinHandle<()>>,
}

impl Drop for Hangup {
    fn drop(&mut self) {
        self.socket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .shutdown();
        if let Some(reader) = self.reader.take() {
            // It cannot fail unless the thread panicked, and then there is nothing to save.
            let _ = reader.join();
        }
    }
}

#[cfg(test)]
mod tests;
