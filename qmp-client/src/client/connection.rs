//! A connection: sending commands, and matching replies with them.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::reader::{self, Awaited, Dispatcher, receive};
use crate::address::Address;
use crate::command::RawCommand;
use crate::deadline::{Deadline, Interrupt};
use crate::error::{Error, ErrorKind};
use crate::message::Greeting;
use crate::monitor::Monitor;
use crate::options::Options;
use crate::socket::{Socket, is_timeout};
use crate::subscription::Subscription;

/// What the clones of a client share.
#[derive(Debug)]
pub(super) struct Connection {
    hangup: Hangup,
    dispatcher: Arc<Dispatcher>,
    greeting: Greeting,
    next_id: AtomicU64,
    interrupt: Interrupt,
}

impl Connection {
    /// Connects and awaits the greeting.
    pub(super) fn open(
        address: &Address,
        deadline: &Deadline,
        options: &Options,
    ) -> Result<Self, Error> {
        let peer = address.to_string();
        let open = || {
            let socket = Socket::connect(address, deadline)?;
            let (dispatcher, greeting) = Dispatcher::new(&peer);
            let reader = reader::spawn(&socket, &dispatcher)
                .map_err(|error| Error::new(ErrorKind::Connect).with_source(error))?;
            // From here on an early return ends the thread.
            let hangup = Hangup {
                socket: Mutex::new(socket),
                reader: Some(reader),
            };
            let greeting = await_greeting(&greeting, &dispatcher, deadline)?;
            Ok(Self {
                hangup,
                dispatcher,
                greeting,
                next_id: AtomicU64::new(first_id()),
                interrupt: options.interrupt.clone(),
            })
        };
        open().map_err(|error: Error| error.at(&peer))
    }

    /// With `to_the_end`, QEMU holds our end of the connection until it is done.
    fn pipeline(
        &self,
        commands: &[RawCommand],
        to_the_end: bool,
        on_sent: &mut dyn FnMut(),
    ) -> Vec<Result<Box<RawValue>, Error>> {
        let Some(held) = to_the_end.then(|| self.own_end()).flatten() else {
            return self.pipeline_with(commands, None, on_sent);
        };
        let name = || Some(serde_json::json!({"fdname": HELD}));
        let mut framed = vec![RawCommand::new("getfd", name())];
        framed.extend_from_slice(commands);
        framed.push(RawCommand::new("closefd", name()));
        let results = self.pipeline_with(&framed, Some(held.as_fd()), on_sent);
        results.into_iter().skip(1).take(commands.len()).collect()
    }

    fn own_end(&self) -> Option<OwnedFd> {
        let socket = self
            .hangup
            .socket
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        socket.duplicate()
    }

    fn pipeline_with(
        &self,
        commands: &[RawCommand],
        fd: Option<BorrowedFd<'_>>,
        on_sent: &mut dyn FnMut(),
    ) -> Vec<Result<Box<RawValue>, Error>> {
        let total = commands
            .iter()
            .fold(Duration::ZERO, |sum, c| sum.saturating_add(c.deadline));
        let deadline = Deadline::after(total, &self.interrupt);
        let mut text = Vec::new();
        let sent = commands
            .iter()
            .map(|c| self.prepare(&c.name, c.arguments.as_ref(), &mut text))
            .collect::<Result<Vec<_>, _>>()
            .and_then(|awaited| self.send(&text, fd, &deadline).map(|()| awaited));
        on_sent();
        let results: Vec<Result<_, _>> = match sent {
            Ok(awaited) => awaited.into_iter().map(|a| a.result(&deadline)).collect(),
            // Nothing was sent, or nobody knows how much: one cause for all.
            Err(error) => commands.iter().map(|_| Err(error.clone())).collect(),
        };
        let named = |(result, command): (Result<Box<RawValue>, Error>, &RawCommand)| {
            result.map_err(|error| error.at(self.dispatcher.peer()).during(&command.name))
        };
        results.into_iter().zip(commands).map(named).collect()
    }

    /// Appends a command to `text` and makes ready for its reply.
    fn prepare<A: Serialize + ?Sized>(
        &self,
        execute: &str,
        arguments: Option<&A>,
        text: &mut Vec<u8>,
    ) -> Result<Awaited<'_>, Error> {
        #[derive(Serialize)]
        struct Wire<'a, A: ?Sized> {
            execute: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            arguments: Option<&'a A>,
            id: u64,
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let command = Wire {
            execute,
            arguments,
            id,
        };
        serde_json::to_writer(&mut *text, &command)
            .map_err(|error| Error::new(ErrorKind::InvalidCommand).with_source(error))?;
        text.push(b'\n');
        self.dispatcher.expect(id)
    }

    fn send(
        &self,
        text: &[u8],
        fd: Option<BorrowedFd<'_>>,
        deadline: &Deadline,
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
        if deadline.is_interrupted() {
            // Nothing is out, so the connection stays whole.
            return Err(Error::new(ErrorKind::Interrupted));
        }
        socket.send(text, fd, deadline).map_err(|error| {
            // Half a command may be out: nothing that follows would be understood.
            let detail = if is_timeout(&error) {
                "it does not read"
            } else {
                "cannot send"
            };
            let error = self
                .dispatcher
                .close(Error::closed(error).with_detail(detail));
            socket.shutdown();
            error
        })
    }
}

impl Monitor for Connection {
    fn peer(&self) -> &str {
        self.dispatcher.peer()
    }

    fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    fn peer_process(&self) -> Option<u32> {
        let socket = &self.hangup.socket;
        let socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.peer_process()
    }

    fn passes_descriptors(&self) -> bool {
        let socket = &self.hangup.socket;
        let socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.passes_descriptors()
    }

    fn call(
        &self,
        name: &str,
        arguments: Option<&RawValue>,
        fd: Option<BorrowedFd<'_>>,
        deadline: Duration,
    ) -> Result<Box<RawValue>, Error> {
        let deadline = Deadline::after(deadline, &self.interrupt);
        let mut text = Vec::new();
        let result = self
            .prepare(name, arguments, &mut text)
            .and_then(|awaited| self.send(&text, fd, &deadline).map(|()| awaited))
            .and_then(|awaited| awaited.result(&deadline));
        result.map_err(|error| error.at(self.dispatcher.peer()).during(name))
    }

    fn call_all(
        &self,
        commands: &[RawCommand],
        to_the_end: bool,
        sent: &mut dyn FnMut(),
    ) -> Vec<Result<Box<RawValue>, Error>> {
        self.pipeline(commands, to_the_end, sent)
    }

    fn subscribe(&self) -> Subscription {
        self.dispatcher.subscribe()
    }

    fn closed(&self) -> Option<Error> {
        self.dispatcher.closed()
    }
}

/// What QEMU calls our end of the connection while it holds it.
const HELD: &str = "fleece-monitor";

fn await_greeting(
    greeting: &Receiver<Greeting>,
    dispatcher: &Dispatcher,
    deadline: &Deadline,
) -> Result<Greeting, Error> {
    match receive(greeting, deadline) {
        Ok(greeting) => Ok(greeting),
        Err(RecvTimeoutError::Timeout) if dispatcher.has_heard() => {
            Err(Error::new(ErrorKind::NotQmp).with_detail("no greeting came"))
        }
        Err(RecvTimeoutError::Timeout) => Err(deadline.passed(ErrorKind::Busy)),
        Err(RecvTimeoutError::Disconnected) => {
            let error = dispatcher
                .closed()
                .unwrap_or_else(|| Error::new(ErrorKind::Closed));
            Err(match error.kind() {
                ErrorKind::Protocol | ErrorKind::Oversized => error.with_kind(ErrorKind::NotQmp),
                _ => error,
            })
        }
    }
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
