//! The end of waiting for somebody's answer, after which the way back is still to be gone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Ends the waiting of all that has it, say when the program is told to end. Clones are the same one.
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
    /// Ends all waiting, now and later. What was asked for already may still take effect.
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
