//! The gate that every guest write passes, closed only for the instant of attaching.

use std::time::Instant;

use super::sync::{AtomicUsize, Condvar, Mutex, Ordering, wait_until};

/// Counts who is inside; can be closed, and then be waited for to be empty.
///
/// Entering and leaving an open gate is one atomic addition each.
#[derive(Debug)]
pub(super) struct Gate {
    /// How many are inside, plus [`CLOSED`].
    state: AtomicUsize,
    room: Mutex<()>,
    changed: Condvar,
}

/// The top bit: more threads than the rest can count do not exist.
const CLOSED: usize = !(usize::MAX >> 1);

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            state: AtomicUsize::new(0),
            room: Mutex::new(()),
            changed: Condvar::new(),
        }
    }

    /// Enter, waiting while the gate is closed.
    pub(super) fn enter(&self) -> Inside<'_> {
        loop {
            if self.state.fetch_add(1, Ordering::SeqCst) & CLOSED == 0 {
                return Inside(self);
            }
            drop(Inside(self));
            self.wait_while(None, |state| state & CLOSED != 0);
        }
    }

    /// Close the gate to all that come from now on, waiting for whoever has closed it already;
    /// `None` if that takes until `deadline`.
    pub(super) fn close(&self, deadline: Instant) -> Option<Closed<'_>> {
        while self.state.fetch_or(CLOSED, Ordering::SeqCst) & CLOSED != 0 {
            if !self.wait_while(Some(deadline), |state| state & CLOSED != 0) {
                return None;
            }
        }
        Some(Closed(self))
    }

    /// Wait until `holds` does not hold for the state; false if `deadline` comes before.
    fn wait_while(&self, deadline: Option<Instant>, holds: impl Fn(usize) -> bool) -> bool {
        let mut guard = self
            .room
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        while holds(self.state.load(Ordering::SeqCst)) {
            guard = match deadline {
                None => self
                    .changed
                    .wait(guard)
                    .unwrap_or_else(std::sync::PoisonError::into_inner),
                Some(deadline) => match wait_until(&self.changed, guard, deadline) {
                    (guard, true) => guard,
                    (_, false) => return !holds(self.state.load(Ordering::SeqCst)),
                },
            }
        }
        true
    }

    /// Wake all who wait; with the lock, so that none is between looking and waiting.
    fn notify(&self) {
        drop(self.room.lock());
        self.changed.notify_all();
    }
}

/// Somebody is inside the gate.
#[derive(Debug)]
pub(super) struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if self.0.state.fetch_sub(1, Ordering::SeqCst) == CLOSED | 1 {
            self.0.notify();
        }
    }
}

/// The gate is closed until this is dropped.
#[derive(Debug)]
pub(super) struct Closed<'a>(&'a Gate);

impl Closed<'_> {
    /// Wait until all who were inside have left; false if that takes until `deadline`.
    pub(super) fn wait_until_empty(&self, deadline: Instant) -> bool {
        self.0
            .wait_while(Some(deadline), |state| state & !CLOSED != 0)
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!CLOSED, Ordering::SeqCst);
        self.0.notify();
    }
}
