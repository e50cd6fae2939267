//! How many reads may be under way at once; changes while they run.

use std::sync::{Condvar, Mutex, PoisonError};

/// A counting gate in front of the source.
///
/// Reading is what a backup takes from a running guest, so the number of reads in flight is the one
/// knob by which the guest is protected (see [`crate::pace`]).
#[derive(Debug)]
pub struct DepthGate {
    state: Mutex<State>,
    changed: Condvar,
    max: usize,
}

#[derive(Debug)]
struct State {
    limit: usize,
    inside: usize,
    closed: bool,
}

impl DepthGate {
    /// A gate that lets `limit` of at most `max` through; both at least one.
    #[must_use]
    pub fn new(limit: usize, max: usize) -> Self {
        let max = max.max(1);
        let state = State {
            limit: limit.clamp(1, max),
            inside: 0,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            max,
        }
    }

    /// The largest limit that can be set.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// The current limit.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.lock().limit
    }

    /// Sets how many may be inside, clamped to `1 ..= max`. Those inside stay.
    pub fn set_limit(&self, limit: usize) {
        self.lock().limit = limit.clamp(1, self.max);
        self.changed.notify_all();
    }

    /// Waits for a place; `None` when the gate was closed.
    pub(crate) fn enter(&self) -> Option<Permit<'_>> {
        let mut state = self.lock();
        while !state.closed && state.inside >= state.limit {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return None;
        }
        state.inside = state.inside.saturating_add(1);
        Some(Permit { gate: self })
    }

    /// Turns away everyone who waits or comes.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place behind the gate, given back on drop.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    gate: &'a DepthGate,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.inside = state.inside.saturating_sub(1);
        drop(state);
        self.gate.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn never_more_inside_than_the_limit_at_entry() {
        let gate = DepthGate::new(2, 8);
        let inside = AtomicUsize::new(0);
        let worst = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let permit = gate.enter().unwrap();
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        worst.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
        });
        assert!(worst.load(Ordering::SeqCst) <= 2);
    }

    #[test]
    fn raising_the_limit_lets_a_waiter_in_and_closing_turns_it_away() {
        let gate = DepthGate::new(1, 2);
        let first = gate.enter().unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| gate.enter().is_some());
            gate.set_limit(2);
            assert!(second.join().unwrap());
            // The second place is free again, the first is not.
            gate.set_limit(1);
            let third = scope.spawn(|| gate.enter().is_some());
            gate.close();
            assert!(!third.join().unwrap());
        });
        drop(first);
    }

    #[test]
    fn the_limit_stays_between_one_and_the_maximum() {
        let gate = DepthGate::new(0, 4);
        assert_eq!(gate.limit(), 1);
        gate.set_limit(99);
        assert_eq!(gate.limit(), 4);
    }
}
