//! What `src/cbw/sync.rs` is to the library, made of shuttle's locks and threads.

use std::cell::Cell;
use std::io;
use std::time::Instant;

use shuttle::rand::Rng;
pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock};

/// How waiting with a deadline behaves, for there is no time in an explored schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// It lasts until somebody notifies; a notification that gets lost is a deadlock, and found.
    Endless,
    /// The time may be up at any moment.
    Random,
}

thread_local! {
    /// All tasks of one exploration run on the thread of its test.
    static WAITING: Cell<Waiting> = const { Cell::new(Waiting::Endless) };
}

pub(super) fn set_waiting(waiting: Waiting) {
    WAITING.set(waiting);
}

pub(super) fn wait_until<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    _deadline: Instant,
) -> (MutexGuard<'a, T>, bool) {
    match WAITING.get() {
        Waiting::Endless => (condvar.wait(guard).expect("nobody panics"), true),
        Waiting::Random => {
            shuttle::thread::yield_now();
            (guard, shuttle::rand::thread_rng().gen_bool(0.7))
        }
    }
}

pub(super) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    shuttle::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map(drop)
}
