//! When to stop waiting.

use std::time::{Duration, Instant};

pub use fleece_cancel::{Interrupt, Waiting};

use crate::error::{Error, ErrorKind};

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
