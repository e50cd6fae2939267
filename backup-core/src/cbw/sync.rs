//! The locks and threads that the filter is made of.
//!
//! They stand here, and are used only through here, so that `tests/schedules` can compile the same
//! sources against a scheduler that tries many interleavings.

use std::io;
use std::time::Instant;

pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard, RwLock};

/// Wait to be notified until `deadline`; false once that has passed. May return early.
pub(super) fn wait_until<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Instant,
) -> (MutexGuard<'a, T>, bool) {
    let remaining = deadline.saturating_duration_since(Instant::now());
    if remaining.is_zero() {
        return (guard, false);
    }
    let (guard, _) = condvar
        .wait_timeout(guard, remaining)
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    (guard, true)
}

/// Start a thread that nobody joins.
pub(super) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map(drop)
}
