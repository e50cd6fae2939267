//! The thread that reads a connection, and where it delivers what it reads.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde_json::value::RawValue;

use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind};
use crate::framer::{Framer, Junk};
use crate::message::{Greeting, Message, Reply};
use crate::socket::Socket;
use crate::subscription::{Feed, Subscription};

/// Starts the thread; it ends when the connection does.
pub(super) fn spawn(socket: &Socket, dispatcher: &Arc<Dispatcher>) -> io::Result<JoinHandle<()>> {
    let mut socket = socket.try_clone()?;
    let dispatcher = Arc::clone(dispatcher);
    std::thread::Builder::new()
        .name("qmp-reader".to_owned())
        .spawn(move || {
            let Err(error) = read(&mut socket, &dispatcher);
            socket.shutdown();
            dispatcher.close(error);
        })
}

fn read(socket: &mut Socket, dispatcher: &Dispatcher) -> Result<Never, Error> {
    let mut framer = Framer::new(Junk::Refuse);
    let mut buffer = [0; 16 << 10];
    loop {
        let length = match socket.read(&mut buffer) {
            Ok(0) => return Err(Error::new(ErrorKind::Closed)),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::closed(error)),
        };
        dispatcher.heard.store(true, Ordering::Relaxed);
        let mut input = buffer.get(..length).unwrap_or_default();
        while let Some(text) = framer.next(&mut input)? {
            dispatcher.deliver(Message::parse(&text)?, text.len());
        }
    }
}

/// There is no such value: the loop above only ends with an error.
enum Never {}

/// Connects what comes in with those who wait for it.
#[derive(Debug)]
pub(super) struct Dispatcher {
    peer: String,
    waiters: Mutex<Waiters>,
    /// Whether anything came at all.
    heard: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiters {
    greeting: Option<SyncSender<Greeting>>,
    replies: HashMap<u64, SyncSender<Result<Box<RawValue>, Error>>>,
    subscribers: Vec<Feed>,
    closed: Option<Error>,
}

impl Dispatcher {
    pub(super) fn new(peer: &str) -> (Arc<Self>, Receiver<Greeting>) {
        let (sender, receiver) = sync_channel(1);
        let waiters = Waiters {
            greeting: Some(sender),
            ..Waiters::default()
        };
        let dispatcher = Self {
            peer: peer.to_owned(),
            waiters: Mutex::new(waiters),
            heard: AtomicBool::new(false),
        };
        (Arc::new(dispatcher), receiver)
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    pub(super) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    pub(super) fn closed(&self) -> Option<Error> {
        self.waiters().closed.clone()
    }

    pub(super) fn subscribe(&self) -> Subscription {
        let (feed, subscription) = Subscription::fed();
        let mut waiters = self.waiters();
        match &waiters.closed {
            Some(error) => feed.close(error),
            None => waiters.subscribers.push(feed),
        }
        subscription
    }

    /// Makes ready for the reply to the command `id`, which is about to be sent.
    pub(super) fn expect(&self, id: u64) -> Result<Awaited<'_>, Error> {
        let (sender, receiver) = sync_channel(1);
        let mut waiters = self.waiters();
        if let Some(error) = &waiters.closed {
            return Err(error.clone());
        }
        waiters.replies.insert(id, sender);
        Ok(Awaited {
            dispatcher: self,
            id,
            receiver,
        })
    }

    /// Ends the connection for all who wait, unless it has ended; returns the first cause.
    pub(super) fn close(&self, error: Error) -> Error {
        let mut waiters = self.waiters();
        let cause = waiters
            .closed
            .get_or_insert_with(|| error.at(&self.peer))
            .clone();
        waiters.greeting = None;
        for (_, reply) in waiters.replies.drain() {
            // Each channel has room for its one reply; a receiver that is gone needs none.
            let _ = reply.try_send(Err(cause.clone()));
        }
        for feed in waiters.subscribers.drain(..) {
            feed.close(&cause);
        }
        cause
    }

    /// Hands over one message that came as `size` bytes. Never waits.
    fn deliver(&self, message: Message, size: usize) {
        let mut waiters = self.waiters();
        match message {
            Message::Greeting(greeting) => {
                if let Some(sender) = waiters.greeting.take() {
                    let _ = sender.try_send(greeting);
                }
            }
            Message::Event(event) => {
                let subscribers = &mut waiters.subscribers;
                subscribers.retain(|feed| feed.push(event.clone(), size));
            }
            Message::Reply(Reply { id, result }) => {
                match id.and_then(|id| waiters.replies.remove(&id)) {
                    Some(sender) => {
                        let _ = sender.try_send(result.map_err(Error::from));
                    }
                    // Its command passed its deadline, or is that of a client before us.
                    None => tracing::debug!(?id, peer = self.peer, "a reply to no request"),
                }
            }
        }
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes through a channel before the deadline.
pub(super) fn receive<T>(
    receiver: &Receiver<T>,
    deadline: &Deadline,
) -> Result<T, RecvTimeoutError> {
    loop {
        // What is there already is taken, however late it is.
        let slice = deadline.slice();
        match receiver.recv_timeout(slice.unwrap_or_default()) {
            Err(RecvTimeoutError::Timeout) if slice.is_some() => {}
            received => return received,
        }
    }
}

/// The reply to one command. Dropped, the reply is no longer awaited.
#[derive(Debug)]
pub(super) struct Awaited<'a> {
    dispatcher: &'a Dispatcher,
    id: u64,
    receiver: Receiver<Result<Box<RawValue>, Error>>,
}

impl Awaited<'_> {
    pub(super) fn result(self, deadline: &Deadline) -> Result<Box<RawValue>, Error> {
        match receive(&self.receiver, deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(deadline.passed(ErrorKind::Deadline)),
            Err(RecvTimeoutError::Disconnected) => Err(Error::new(ErrorKind::Closed)),
        }
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.dispatcher.waiters().replies.remove(&self.id);
    }
}
