//! The public face of a connection.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::address::Address;
use crate::command::{Command, RawCommand, default_deadline};
use crate::commands::{QmpCapabilities, QueryQmpSchema};
use crate::deadline::{Deadline, Interrupt};
use crate::error::{Error, ErrorKind};
use crate::message::Greeting;
use crate::monitor::Monitor;
use crate::options::Options;
use crate::schema::Schema;
use crate::subscription::Subscription;

mod connection;
mod reader;

use connection::Connection;

/// A connection to the QMP server of QEMU or of `qemu-storage-daemon`, over a socket or by another
/// [`Monitor`].
///
/// Clones share the connection, and threads may use it side by side. It ends with the last
/// clone: the socket is then shut down, its thread has ended, and the next client may connect.
#[derive(Clone, Debug)]
pub struct Client(Arc<Shared>);

/// What the clones of a client share.
#[derive(Debug)]
struct Shared {
    monitor: Box<dyn Monitor>,
    schema: OnceLock<Arc<Schema>>,
}

impl Client {
    /// Connects and leaves the negotiation of capabilities behind, so that commands can be sent.
    ///
    /// # Errors
    ///
    /// `NoSocket`, `Refused`, `Permission` or `Connect` if there is no connection; `Busy` if
    /// nothing comes over it in time, as when another client is connected; `NotQmp` if something
    /// else comes. All are [kinds](crate::error::ErrorKind).
    pub fn connect(address: &Address, options: &Options) -> Result<Self, Error> {
        let deadline = Deadline::after(options.deadline, &options.interrupt);
        let client = Self::over(Connection::open(address, &deadline, options)?);
        let negotiation = QmpCapabilities { enable: Vec::new() };
        client.execute_within(&negotiation, deadline.remaining())?;
        Ok(client)
    }

    pub(crate) fn monitor(&self) -> &dyn Monitor {
        &*self.0.monitor
    }

    /// A client of a monitor that takes commands already.
    #[must_use]
    pub fn over(monitor: impl Monitor + 'static) -> Self {
        Self(Arc::new(Shared {
            monitor: Box::new(monitor),
            schema: OnceLock::new(),
        }))
    }

    /// Connects to a Unix socket with the default [`Options`].
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_unix(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::connect(&Address::unix(path), &Options::default())
    }

    /// What ends the waiting on this connection.
    #[must_use]
    pub fn interrupt(&self) -> &Interrupt {
        self.0.monitor.interrupt()
    }

    /// What the server said about itself.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        self.0.monitor.greeting()
    }

    /// The number of the process that made the monitor's socket, where the kernel tells: QEMU, or what
    /// stands in front of it.
    #[must_use]
    pub fn peer_process(&self) -> Option<u32> {
        self.0.monitor.peer_process()
    }

    /// How long each command of a [pipeline](Self::pipeline) takes at least, where they do not travel together.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.0.monitor.round_trip()
    }

    /// Sends a command and waits for its reply, for as long as the command says.
    ///
    /// # Errors
    ///
    /// `Command` if QEMU refuses it; `Deadline` if it does not answer in time (the command may
    /// still take effect); `Closed` and what else ends a connection.
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
        self.call(C::NAME, Some(command), None, deadline)
    }

    /// As [`execute`](Self::execute), and passes a file descriptor along (`add-fd`, `getfd`).
    /// QEMU gets a duplicate; `fd` stays with the caller.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute), and `InvalidCommand` over TCP.
    pub fn execute_with_fd<C: Command>(
        &self,
        command: &C,
        fd: BorrowedFd<'_>,
    ) -> Result<C::Reply, Error> {
        self.call(C::NAME, Some(command), Some(fd), command.deadline())
    }

    /// Whether [`execute_with_fd`](Self::execute_with_fd) can pass anything: over a Unix socket.
    #[must_use]
    pub fn passes_descriptors(&self) -> bool {
        self.0.monitor.passes_descriptors()
    }

    /// Sends any command by name, with the deadline that this crate has for that name.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn execute_raw(&self, name: &str, arguments: Option<Value>) -> Result<Value, Error> {
        self.call(name, arguments.as_ref(), None, default_deadline(name))
    }

    /// Sends all commands in one write, so that QEMU runs them with nothing of ours in between,
    /// and returns their results in the same order.
    ///
    /// QEMU does not stop at a command that fails: it runs the rest. The time for all replies
    /// is the sum of the commands' deadlines.
    #[must_use]
    pub fn pipeline(&self, commands: &[RawCommand]) -> Vec<Result<Value, Error>> {
        self.pipeline_with(commands, false, &mut || {})
    }

    /// The same, and QEMU runs all of the commands even if this process is killed meanwhile: when the
    /// other end of its monitor is closed, QEMU drops the commands that it has not begun. So it is
    /// given a duplicate of our end first (`getfd`), which it closes after the last command. (Over
    /// TCP, and in a storage daemon, there is no such thing, and no such promise.)
    ///
    /// `sent` is called when QEMU has everything and the replies are still to come.
    #[must_use]
    pub fn pipeline_to_the_end(
        &self,
        commands: &[RawCommand],
        sent: impl FnOnce(),
    ) -> Vec<Result<Value, Error>> {
        let mut sent = Some(sent);
        let mut once = || {
            if let Some(sent) = sent.take() {
                sent();
            }
        };
        self.pipeline_with(commands, true, &mut once)
    }

    /// All events from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.0.monitor.subscribe()
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
        self.0.monitor.closed()
    }
}

impl Client {
    fn call<A: Serialize, R: DeserializeOwned>(
        &self,
        name: &str,
        arguments: Option<&A>,
        fd: Option<BorrowedFd<'_>>,
        deadline: Duration,
    ) -> Result<R, Error> {
        let monitor = &self.0.monitor;
        let arguments = arguments.map(to_raw_value).transpose().map_err(|error| {
            let error = Error::new(ErrorKind::InvalidCommand).with_source(error);
            error.at(monitor.peer()).during(name)
        })?;
        let reply = monitor.call(name, arguments.as_deref(), fd, deadline)?;
        self.decode(&reply, name)
    }

    fn pipeline_with(
        &self,
        commands: &[RawCommand],
        to_the_end: bool,
        sent: &mut dyn FnMut(),
    ) -> Vec<Result<Value, Error>> {
        let replies = self.0.monitor.call_all(commands, to_the_end, sent);
        let replies = replies.into_iter().zip(commands);
        replies
            .map(|(reply, command)| self.decode(&reply?, &command.name))
            .collect()
    }

    fn decode<R: DeserializeOwned>(&self, reply: &RawValue, command: &str) -> Result<R, Error> {
        serde_json::from_str(reply.get()).map_err(|error| {
            let error = Error::new(ErrorKind::UnexpectedReply).with_source(error);
            error.at(self.0.monitor.peer()).during(command)
        })
    }
}

#[cfg(test)]
mod tests;
