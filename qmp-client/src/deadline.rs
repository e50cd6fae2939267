//! When to stop waiting.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};

/// Ends the waiting of the clients and agents that have it in their [`Options`](crate::options::Options), say when
/// the program is told to end. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    fired: AtomicUsize,
    heard: AtomicUsize,
    last: Mutex<Option<Instant>>,
    is_on_the_way_back: AtomicBool,
}

impl Interrupt {
    /// Ends all waiting, now and later, with [`ErrorKind::Interrupted`]. A command that was sent may still
    /// take effect.
    pub fn fire(&self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.0.fired.fetch_add(1, Ordering::SeqCst);
    }

    /// From now on comes what is to be done all the same, the way back: only waits that have begun already
    /// are ended, and what answers within a moment is heard out.
    pub fn hear(&self) {
        self.0.is_on_the_way_back.store(true, Ordering::SeqCst);
        let fired = self.0.fired.load(Ordering::SeqCst);
        self.0.heard.store(fired, Ordering::SeqCst);
    }

    /// Whether it has fired, heard or not: then whatever is still asked gets a moment to answer.
    #[must_use]
    pub fn has_fired(&self) -> bool {
        self.0.fired.load(Ordering::SeqCst) != 0
    }

    /// Whether it has fired and was not heard.
    #[must_use]
    pub fn is_fired(&self) -> bool {
        self.0.fired.load(Ordering::SeqCst) != self.0.heard.load(Ordering::SeqCst)
    }

    /// Begins to wait for something.
    #[must_use]
    pub fn wait(&self) -> Waiting {
        let seen = match self.0.is_on_the_way_back.load(Ordering::SeqCst) {
            true => &self.0.fired,
            false => &self.0.heard,
        };
        Waiting {
            seen: seen.load(Ordering::SeqCst),
            interrupt: self.clone(),
        }
    }
}

/// Somebody's waiting, which an [`Interrupt`] may end.
#[derive(Clone, Debug)]
pub struct Waiting {
    interrupt: Interrupt,
    seen: usize,
}

impl Waiting {
    /// Whether to wait no longer.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        let Inner {
            fired,
            last,
            is_on_the_way_back,
            ..
        } = &*self.interrupt.0;
        if fired.load(Ordering::SeqCst) == self.seen {
            return false;
        }
        let last = *last.lock().unwrap_or_else(PoisonError::into_inner);
        !is_on_the_way_back.load(Ordering::SeqCst)
            || last.is_none_or(|last| last.elapsed() >= MOMENT)
    }
}

/// How long what is under way on the way back is heard out.
const MOMENT: Duration = Duration::from_millis(700);

/// A point in time by which something must have happened, unless the waiting is interrupted.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    /// `None` means later than the clock can tell.
    at: Option<Instant>,
    waiting: Waiting,
}

impl Deadline {
    pub(crate) fn after(duration: Duration, interrupt: &Interrupt) -> Self {
        Self {
            at: Instant::now().checked_add(duration),
            waiting: interrupt.wait(),
        }
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.waiting.is_interrupted()
    }

    /// What is left, zero once it has passed.
    pub(crate) fn remaining(&self) -> Duration {
        self.at.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }

    /// How long to wait before asking again; `None` once it has passed or is interrupted.
    pub(crate) fn slice(&self) -> Option<Duration> {
        let remaining = self.remaining();
        let goes_on = !remaining.is_zero() && !self.is_interrupted();
        goes_on.then(|| remaining.clamp(SHORTEST, SLICE))
    }

    /// The error of a wait that has ended without success.
    pub(crate) fn passed(&self, kind: ErrorKind) -> Error {
        Error::new(match self.is_interrupted() {
            true => ErrorKind::Interrupted,
            false => kind,
        })
    }
}

/// The kernel counts socket timeouts in microseconds and takes zero for "for ever".
pub(crate) const SHORTEST: Duration = Duration::from_millis(1);
/// How long an interrupt may go unnoticed.
const SLICE: Duration = Duration::from_millis(100);
