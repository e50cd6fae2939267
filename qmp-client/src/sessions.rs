//! A monitor that others need, too: connected only while there is something to say.
//!
//! QEMU serves one client of a monitor at a time, and others wait for it to hang up. On a Proxmox VE host, where a
//! guest has one monitor, Proxmox's own commands wait for it for five seconds and then fail. So a session is ended
//! after a moment without commands, and in any case before others have waited for long; the next client in the queue
//! gets its turn before us. Nothing that a backup makes in QEMU depends on the session, except for descriptors: they
//! cannot be passed here.
//!
//! Events are heard only during sessions. Whoever needs to know what has happened meanwhile must query it.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::address::Address;
use crate::client::Client;
use crate::command::RawCommand;
use crate::deadline::{Deadline, Interrupt};
use crate::error::{Error, ErrorKind};
use crate::message::Greeting;
use crate::monitor::Monitor;
use crate::options::Options;
use crate::subscription::{Feed, Subscription};

/// A session without commands ends after this time.
const IDLE: Duration = Duration::from_millis(100);

/// A session is ended between two commands when it is so old: well below the five seconds for which others wait.
const OLD: Duration = Duration::from_secs(1);

/// How long others may keep the monitor: longer than each of Proxmox's commands takes, except for those that wait for a
/// storage.
const TURN: Duration = Duration::from_secs(60);

/// Short sessions on a QMP socket that others need, too: it is connected only while there is something to say, and in
/// between others have their turn. Events are heard only during sessions, and no descriptors can be passed.
///
/// ```no_run
/// use fleece_qmp_client::{Address, Client, Options, Sessions};
///
/// let address = Address::unix("/run/qemu-server/100.qmp");
/// let client = Client::over(Sessions::open(&address, &Options::default())?);
/// # Ok::<(), fleece_qmp_client::Error>(())
/// ```
#[derive(Debug)]
pub struct Sessions {
    shared: Arc<Shared>,
    greeting: Greeting,
    process: Option<u32>,
    peer: String,
    closer: Option<JoinHandle<()>>,
}

impl Sessions {
    /// Begins the first session. Others may keep the monitor for a minute before.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn open(address: &Address, options: &Options) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            address: address.clone(),
            options: Options {
                deadline: options.deadline.max(TURN),
                ..options.clone()
            },
            slot: Mutex::new(Slot::default()),
            changed: Condvar::new(),
        });
        let session = shared.begin()?;
        let (greeting, process) = (session.greeting().clone(), session.peer_process());
        shared.end(session);
        let theirs = Arc::clone(&shared);
        let closer = thread::Builder::new()
            .name("qmp-sessions".to_owned())
            .spawn(move || theirs.close_idle())
            .map_err(|error| Error::new(ErrorKind::Connect).with_source(error))?;
        Ok(Self {
            shared,
            greeting,
            process,
            peer: address.to_string(),
            closer: Some(closer),
        })
    }

    /// Does something in a session.
    fn with<T>(&self, job: impl FnOnce(&dyn Monitor) -> T) -> Result<T, Error> {
        let session = self.shared.begin()?;
        let done = job(session.monitor());
        self.shared.end(session);
        Ok(done)
    }
}

#[derive(Debug)]
struct Shared {
    address: Address,
    options: Options,
    slot: Mutex<Slot>,
    changed: Condvar,
}

/// The session, if there is one.
#[derive(Debug, Default)]
struct Slot {
    session: Option<Client>,
    began: Option<Instant>,
    /// The end of the last command.
    last: Option<Instant>,
    /// Commands under way.
    users: usize,
    feeds: Vec<Feed>,
    /// QEMU is gone, for this reason.
    gone: Option<Error>,
    ends: bool,
}

impl Slot {
    /// How long the session may still live if no command comes; `None` without one, or while commands are under way.
    fn rest(&self) -> Option<Duration> {
        self.session.as_ref().filter(|_| self.users == 0)?;
        let old = OLD.saturating_sub(self.began?.elapsed());
        Some(IDLE.saturating_sub(self.last?.elapsed()).min(old))
    }
}

impl Shared {
    /// The session, or a new one if it has had its time.
    fn begin(&self) -> Result<Client, Error> {
        let deadline = Deadline::after(self.options.deadline, &self.options.interrupt);
        let mut slot = self.lock();
        // Those who come now wait for the end of the commands under way, so that the session comes to an end.
        while slot.session.is_some() && slot.users > 0 && is_old(slot.began) {
            let Some(slice) = deadline.slice() else {
                return Err(deadline.passed(ErrorKind::Busy));
            };
            let waited = self.changed.wait_timeout(slot, slice);
            slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(error) = &slot.gone {
            return Err(error.clone());
        }
        if slot.users == 0 && is_old(slot.began) {
            slot.session = None;
        }
        let ended = slot
            .session
            .as_ref()
            .is_some_and(|client| client.closed().is_some());
        if ended && slot.users == 0 {
            slot.session = None;
        }
        let session = match &slot.session {
            Some(session) => session.clone(),
            None => {
                let session =
                    Client::connect(&self.address, &self.options).inspect_err(|error| {
                        if is_gone(error) {
                            slot.gone = Some(error.clone());
                            for feed in slot.feeds.drain(..) {
                                feed.close(error);
                            }
                        }
                    })?;
                slot.began = Some(Instant::now());
                slot.feeds.retain(Feed::is_wanted);
                pass_on(&session, slot.feeds.clone());
                slot.session.insert(session).clone()
            }
        };
        slot.users = slot.users.saturating_add(1);
        Ok(session)
    }

    fn end(&self, session: Client) {
        // The last clone hangs up, which the closer does.
        drop(session);
        let mut slot = self.lock();
        slot.users = slot.users.saturating_sub(1);
        slot.last = Some(Instant::now());
        drop(slot);
        self.changed.notify_all();
    }

    /// Ends sessions that have had their time, for as long as there are any to come.
    fn close_idle(&self) {
        let mut slot = self.lock();
        while !slot.ends {
            match slot.rest() {
                Some(Duration::ZERO) => {
                    slot.session = None;
                    self.changed.notify_all();
                }
                Some(rest) => {
                    let waited = self.changed.wait_timeout(slot, rest);
                    slot = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => slot = self.wait(slot),
            }
        }
        slot.session = None;
    }

    fn wait<'a>(&'a self, slot: MutexGuard<'a, Slot>) -> MutexGuard<'a, Slot> {
        let waited = self.changed.wait(slot);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_old(began: Option<Instant>) -> bool {
    began.is_some_and(|began| began.elapsed() >= OLD)
}

/// That nobody listens any more, as after the end of QEMU, and not just nobody answers.
fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NoSocket | ErrorKind::Refused)
}

/// Passes the events of a session on, until it ends.
fn pass_on(session: &Client, feeds: Vec<Feed>) {
    if feeds.is_empty() {
        return;
    }
    let events = session.subscribe();
    let name = "qmp-events".to_owned();
    let spawned = thread::Builder::new().name(name).spawn(move || {
        // The end of the session is no news to anybody.
        while let Ok(event) = events.next(Duration::MAX) {
            for (feed, event) in feeds.iter().zip(std::iter::repeat(event)) {
                if let Some(event) = event {
                    // What it took on the socket is bounded by the session's own queue.
                    feed.push(event, 0);
                }
            }
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no events of the guest");
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.shared.lock().ends = true;
        self.shared.changed.notify_all();
        if let Some(closer) = self.closer.take() {
            let _ = closer.join();
        }
    }
}

impl Monitor for Sessions {
    fn peer(&self) -> &str {
        &self.peer
    }

    fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    fn interrupt(&self) -> &Interrupt {
        &self.shared.options.interrupt
    }

    fn peer_process(&self) -> Option<u32> {
        self.process
    }

    /// QEMU forgets descriptors when the session ends.
    fn passes_descriptors(&self) -> bool {
        false
    }

    fn call(
        &self,
        name: &str,
        arguments: Option<&RawValue>,
        fd: Option<BorrowedFd<'_>>,
        deadline: Duration,
    ) -> Result<Box<RawValue>, Error> {
        if fd.is_some() {
            let detail = "descriptors do not outlive a short session";
            let error = Error::new(ErrorKind::InvalidCommand).with_detail(detail);
            return Err(error.at(&self.peer).during(name));
        }
        self.with(|monitor| monitor.call(name, arguments, None, deadline))
            .and_then(|reply| reply)
    }

    fn call_all(
        &self,
        commands: &[RawCommand],
        to_the_end: bool,
        sent: &mut dyn FnMut(),
    ) -> Vec<Result<Box<RawValue>, Error>> {
        let done = self.with(|monitor| monitor.call_all(commands, to_the_end, sent));
        done.unwrap_or_else(|error| {
            let refused = |command: &RawCommand| Err(error.clone().during(&command.name));
            commands.iter().map(refused).collect()
        })
    }

    fn subscribe(&self) -> Subscription {
        let (feed, subscription) = Subscription::fed();
        let mut slot = self.shared.lock();
        match &slot.gone {
            Some(error) => feed.close(error),
            None => {
                if let Some(session) = &slot.session {
                    pass_on(session, vec![feed.clone()]);
                }
                slot.feeds.push(feed);
            }
        }
        subscription
    }

    fn closed(&self) -> Option<Error> {
        self.shared.lock().gone.clone()
    }
}
