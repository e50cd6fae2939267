//! Whether a snapshot still holds, for all its disks at once.

use std::sync::OnceLock;
use std::time::Instant;

use super::sync::{AtomicBool, Condvar, Mutex, Ordering, wait_until};
use super::{Error, ErrorKind};

/// Shared by all disks of a snapshot: over or not, the first cause, and the room where all wait who
/// wait for anything of the snapshot, so that its end wakes them.
#[derive(Debug)]
pub(super) struct Fate {
    over: AtomicBool,
    cause: OnceLock<Error>,
    room: Mutex<()>,
    changed: Condvar,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// What was waited for has come.
    Done,
    /// The snapshot is over, so it does not matter any more.
    Over,
    /// The time is up.
    TimedOut,
}

impl Fate {
    pub(super) fn new() -> Self {
        Self {
            over: AtomicBool::new(false),
            cause: OnceLock::new(),
            room: Mutex::new(()),
            changed: Condvar::new(),
        }
    }

    /// Whether the snapshot is over. Guests write what they want then, and nothing that is read
    /// from the snapshot after this became true may be believed.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// The snapshot is over because of `cause`, unless it was before because of another.
    pub(super) fn end(&self, cause: Error) {
        let broke = cause.kind() != ErrorKind::Detached;
        if self.cause.set(cause).is_ok() && broke {
            tracing::warn!(cause = ?self.cause.get(), "the snapshot broke");
        }
        self.over.store(true, Ordering::SeqCst);
        self.notify();
    }

    /// `Ok` while the snapshot holds, else why it does not.
    pub(super) fn check(&self) -> super::Result<()> {
        if !self.is_over() {
            return Ok(());
        }
        Err(self
            .cause
            .get()
            .cloned()
            .unwrap_or_else(|| Error::new(ErrorKind::Detached)))
    }

    /// Something has happened that somebody may wait for.
    pub(super) fn notify(&self) {
        // With the lock, so that nobody is between looking and waiting.
        drop(self.room.lock());
        self.changed.notify_all();
    }

    /// Wait until `done`, the end of the snapshot, or `deadline`.
    pub(super) fn wait(&self, deadline: Instant, mut done: impl FnMut() -> bool) -> Waited {
        let mut guard = self
            .room
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        loop {
            if done() {
                return Waited::Done;
            }
            if self.is_over() {
                return Waited::Over;
            }
            let in_time;
            (guard, in_time) = wait_until(&self.changed, guard, deadline);
            if !in_time {
                return Waited::TimedOut;
            }
        }
    }
}
