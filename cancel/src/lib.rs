//! One token that every blocking step of a job listens to.
//!
//! A [`CancelToken`] is cancelled once, for good. Whoever blocks looks at [`CancelToken::reason`], or selects on
//! [`CancelToken::fired`]. What waits for somebody's answer takes the token's [`Interrupt`], which tells the work, whose
//! waiting ends, from the way back, which is gone all the same.
//!
//! All calls return at once, and there are no threads.

mod interrupt;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

pub use interrupt::{Interrupt, Waiting};

/// Why a job was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// SIGINT, or the embedding program's own wish.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// SIGHUP: the terminal is gone.
    HungUp,
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
            Self::HungUp => "terminal hung up",
        })
    }
}

/// Cancels once, for good; clones are the same token.
#[derive(Clone)]
pub struct CancelToken {
    inner: Arc<Inner>,
}

struct Inner {
    /// Ends the waiting for answers.
    interrupt: Interrupt,
    reason: OnceLock<CancelReason>,
    /// Dropped on cancellation, which wakes everyone who selects on `fired`.
    armed: Mutex<Option<Sender<()>>>,
    fired: Receiver<()>,
}

impl CancelToken {
    /// A token that has not fired.
    #[must_use]
    pub fn new() -> Self {
        let (armed, fired) = bounded(0);
        Self {
            inner: Arc::new(Inner {
                interrupt: Interrupt::default(),
                reason: OnceLock::new(),
                armed: Mutex::new(Some(armed)),
                fired,
            }),
        }
    }

    /// Fires the token. Only the first reason is kept.
    pub fn cancel(&self, reason: CancelReason) {
        let _ = self.inner.reason.set(reason);
        self.inner.interrupt.fire();
        self.inner
            .armed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// The reason, once the token has fired.
    #[must_use]
    pub fn reason(&self) -> Option<CancelReason> {
        self.inner.reason.get().copied()
    }

    /// What ends the waiting for others' answers. The teardown, which is to be done all the same, lets it
    /// [hear](Interrupt::hear) first.
    #[must_use]
    pub fn interrupt(&self) -> &Interrupt {
        &self.inner.interrupt
    }

    /// A channel that never carries a message and is disconnected by [`CancelToken::cancel`]:
    /// for `select!`.
    #[must_use]
    pub fn fired(&self) -> &Receiver<()> {
        &self.inner.fired
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("reason", &self.reason())
            .finish()
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_first_reason_is_kept_and_waiters_wake() {
        let token = CancelToken::new();
        assert_eq!(token.reason(), None);
        let waiter = std::thread::spawn({
            let token = token.clone();
            move || token.fired().recv_timeout(Duration::from_secs(20))
        });
        token.cancel(CancelReason::Terminated);
        token.cancel(CancelReason::Interrupted);
        assert_eq!(
            waiter.join().unwrap(),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected)
        );
        assert_eq!(token.reason(), Some(CancelReason::Terminated));
    }
}
