//! A point in time by which something must have happened.

use std::time::{Duration, Instant};

/// When to stop waiting; `None` means later than the clock can tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn after(duration: Duration) -> Self {
        Self(Instant::now().checked_add(duration))
    }

    /// What is left, zero once it has passed.
    pub(crate) fn remaining(self) -> Duration {
        self.0.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }

    /// What is left as a socket timeout, which may be neither zero nor huge.
    /// `None` once it has passed.
    pub(crate) fn socket_timeout(self) -> Option<Duration> {
        let remaining = self.remaining();
        (!remaining.is_zero()).then(|| remaining.clamp(SHORTEST, LONGEST))
    }
}

/// The kernel counts socket timeouts in microseconds and takes zero for "for ever".
const SHORTEST: Duration = Duration::from_millis(1);
/// Far below where a `timeval` overflows.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
