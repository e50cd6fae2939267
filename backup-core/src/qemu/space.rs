//! How much room the fleecing storage had, at its lowest.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use fleece_storage::Plugin;

/// Looks at a storage's free space while a backup runs, on a thread of its own, since a storage may hang.
///
/// When QEMU gives the point in time up, nobody says why, and by then there may be room again: what the
/// backup had released was freed, or somebody else's files went.
pub(crate) struct SpaceWatch {
    seen: Arc<Mutex<Seen>>,
    /// A look is asked for, and answered when it was taken; dropping it ends the thread.
    ask: Sender<Sender<()>>,
}

/// What was seen of the free space, in bytes.
#[derive(Debug, Default)]
struct Seen {
    last: Option<u64>,
    lowest: Option<u64>,
    /// Most that was taken from one look to the next.
    fastest_fall: u64,
}

/// What can be said of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// It was full, or so nearly that it was by the next look; this much was seen at the lowest.
    RanFull(u64),
    /// It had room.
    Enough,
    /// It does not say.
    Silent,
}

/// Less than this left means that the next copy of a few clusters does not fit.
pub(crate) const FULL: u64 = 1 << 20;

/// A guest that writes 100 MiB/s takes 25 MiB from look to look.
const INTERVAL: Duration = Duration::from_millis(250);

/// A storage whose status takes long is asked less often.
const SHARE: u32 = 20;

/// How long the last look may take.
const PATIENCE: Duration = Duration::from_secs(3);

impl SpaceWatch {
    pub(crate) fn start(storage: Arc<dyn Plugin>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (ask, asked) = bounded::<Sender<()>>(1);
        let shared = Arc::clone(&seen);
        let watch = move || {
            let mut waiting: Option<Sender<()>> = None;
            loop {
                let start = Instant::now();
                if let Ok(status) = storage.status() {
                    let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.note(status.available);
                    drop(seen);
                    if let Some(waiting) = waiting.take() {
                        let _ = waiting.send(());
                    }
                }
                let rest = INTERVAL.max(start.elapsed().saturating_mul(SHARE));
                match asked.recv_timeout(rest) {
                    Ok(sender) => waiting = Some(sender),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        // Without the thread nothing is known, which is what is said then.
        let _ = thread::Builder::new().name("space".into()).spawn(watch);
        Self { seen, ask }
    }

    /// Looks once more, and tells.
    pub(crate) fn space(&self) -> Space {
        let (done, looked) = bounded(1);
        let asked = self.ask.send_timeout(done, PATIENCE);
        if asked.is_err() || looked.recv_timeout(PATIENCE).is_err() {
            return Space::Silent;
        }
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .space()
    }
}

impl Seen {
    fn note(&mut self, available: u64) {
        let fall = self.last.unwrap_or(available).saturating_sub(available);
        self.fastest_fall = self.fastest_fall.max(fall);
        self.lowest = Some(self.lowest.unwrap_or(available).min(available));
        self.last = Some(available);
    }

    fn space(&self) -> Space {
        match self.lowest {
            Some(lowest) if lowest < FULL.saturating_add(self.fastest_fall) => {
                Space::RanFull(lowest)
            }
            Some(_) => Space::Enough,
            None => Space::Silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(looks: &[u64]) -> Space {
        let mut seen = Seen::default();
        for mib in looks {
            seen.note(mib << 20);
        }
        seen.space()
    }

    #[test]
    fn a_storage_that_was_full_is_called_so_even_if_it_has_room_again() {
        assert_eq!(after(&[90, 0, 90]), Space::RanFull(0));
        // What was left was less than what went from one look to the next.
        assert_eq!(after(&[90, 50, 10, 40]), Space::RanFull(10 << 20));
        assert_eq!(after(&[90, 85, 80, 75]), Space::Enough);
        assert_eq!(after(&[]), Space::Silent);
    }
}
