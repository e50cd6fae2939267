//! How much may be read at once; changes while it is read.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::pace::effort::Pace;

/// A counting gate in front of the source.
///
/// Reading is what a backup takes from a running guest, so this gate is the one knob by which the guest
/// is protected (see [`Pacer`](crate::pace::Pacer)). A pace of less than one read is kept by rests: whoever has read
/// keeps its place for a while and does nothing.
#[derive(Debug)]
pub struct DepthGate {
    state: Mutex<State>,
    changed: Condvar,
    max: usize,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    inside: usize,
    /// How many wait to get in.
    outside: usize,
    done: Reads,
    closed: bool,
}

/// Reads that are done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reads {
    /// Bytes.
    pub bytes: u64,
    /// What they have taken, added up: with the time that has passed it tells how many were in flight.
    pub took: Duration,
}

/// No rest is longer, so that a faster pace takes effect soon and a slow disk does not stop a backup.
const LONGEST_REST: Duration = Duration::from_secs(1);

impl DepthGate {
    /// A gate that lets at most `max` reads through at once, however fast the pace; at least one.
    #[must_use]
    pub fn new(pace: Pace, max: usize) -> Self {
        let state = State {
            pace,
            inside: 0,
            outside: 0,
            done: Reads::default(),
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            max: max.max(1),
        }
    }

    /// The most that are ever let through.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// The current pace.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.lock().pace
    }

    /// Sets the pace. Those inside stay.
    pub fn set_pace(&self, pace: Pace) {
        self.lock().pace = pace;
        self.changed.notify_all();
    }

    /// What has been read so far.
    #[must_use]
    pub fn done(&self) -> Reads {
        self.lock().done
    }

    /// Waits for a place; `None` when the gate was closed.
    pub(crate) fn enter(&self) -> Option<Permit<'_>> {
        let mut state = self.lock();
        while !state.closed && state.inside >= self.places(state.pace) {
            state.outside = state.outside.saturating_add(1);
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.outside = state.outside.saturating_sub(1);
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

    fn places(&self, pace: Pace) -> usize {
        pace.places().min(self.max)
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

impl Permit<'_> {
    /// Bytes to read next.
    pub(crate) fn piece(&self) -> usize {
        self.gate.pace().piece
    }

    /// Rests for as long as the pace wants after a read of `bytes` that took `read`.
    pub(crate) fn rest(&self, bytes: usize, read: Duration) {
        let start = Instant::now();
        let mut state = self.gate.lock();
        state.done.bytes = state.done.bytes.saturating_add(bytes as u64);
        state.done.took = state.done.took.saturating_add(read);
        while !state.closed {
            let rest = read.mul_f64(state.pace.rest()).min(LONGEST_REST);
            let left = rest.saturating_sub(start.elapsed());
            if left.is_zero() {
                return;
            }
            state = self
                .gate
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.inside = state.inside.saturating_sub(1);
        let is_wanted = state.outside > 0;
        drop(state);
        if is_wanted {
            self.gate.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn gentle(reads: f64) -> Pace {
        Pace {
            reads,
            ..Pace::full(1)
        }
    }

    #[test]
    fn never_more_inside_than_the_pace_at_entry() {
        let gate = DepthGate::new(Pace::full(2), 8);
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
    fn a_faster_pace_lets_a_waiter_in_and_closing_turns_it_away() {
        let gate = DepthGate::new(Pace::full(1), 2);
        let first = gate.enter().unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| gate.enter().is_some());
            gate.set_pace(Pace::full(2));
            assert!(second.join().unwrap());
            // The second place is free again, the first is not.
            gate.set_pace(Pace::full(1));
            let third = scope.spawn(|| gate.enter().is_some());
            gate.close();
            assert!(!third.join().unwrap());
        });
        drop(first);
    }

    #[test]
    fn however_fast_the_pace_no_more_than_the_maximum_get_in() {
        let gate = DepthGate::new(Pace::full(99), 1);
        let first = gate.enter();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| gate.enter().is_some());
            gate.close();
            assert!(!second.join().unwrap());
        });
        drop(first);
    }

    #[test]
    fn a_quarter_of_a_read_rests_three_times_as_long_as_it_reads() {
        let gate = DepthGate::new(gentle(0.25), 1);
        let permit = gate.enter().unwrap();
        let start = Instant::now();
        permit.rest(1, Duration::from_millis(10));
        assert!(start.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn what_reads_take_is_added_up_without_rests() {
        let gate = DepthGate::new(gentle(0.5), 2);
        let permit = gate.enter().unwrap();
        permit.rest(20, Duration::from_millis(2));
        permit.rest(30, Duration::from_millis(3));
        let done = gate.done();
        assert_eq!((done.bytes, done.took), (50, Duration::from_millis(5)));
    }

    #[test]
    fn a_rest_ends_when_the_pace_rises_or_the_gate_closes() {
        for wake in [
            (|gate| gate.set_pace(Pace::full(1))) as fn(&DepthGate),
            DepthGate::close,
        ] {
            let gate = DepthGate::new(gentle(0.1), 1);
            let permit = gate.enter().unwrap();
            let start = Instant::now();
            std::thread::scope(|scope| {
                scope.spawn(|| wake(&gate));
                permit.rest(1, Duration::from_secs(1000));
            });
            assert!(start.elapsed() < LONGEST_REST, "it was woken");
        }
    }
}
