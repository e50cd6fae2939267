//! How much room the fleecing storage had, at its lowest.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use fleece_storage::Plugin;

use super::shared::SharedSpace;

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
    /// What there was at first, and what the storage has in all.
    first: Option<u64>,
    total: u64,
    /// What the guest's own disks may yet take of it.
    wanted: u64,
}

/// Room that the guest's own disks and the fleecing images share, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    /// What is left.
    pub(crate) left: u64,
    /// What the guest's disks may yet take.
    pub(crate) wanted: u64,
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
const TIMEOUT: Duration = Duration::from_secs(3);

impl SpaceWatch {
    pub(crate) fn start(storage: Arc<dyn Plugin>, shared_space: SharedSpace) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (ask, asked) = bounded::<Sender<()>>(1);
        let shared = Arc::clone(&seen);
        let watch = move || {
            let mut waiting: Option<Sender<()>> = None;
            loop {
                let start = Instant::now();
                if let Ok(status) = storage.status() {
                    let wanted = shared_space.wanted();
                    let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.wanted = wanted;
                    seen.total = status.total;
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

    /// What the guest's disks and the images share, at the last look; `None` if they do not, or if that is
    /// not known.
    pub(crate) fn shared(&self) -> Option<Shared> {
        self.seen().shared()
    }

    /// The same if so little is left that the guest may soon have none.
    pub(crate) fn short(&self) -> Option<Shared> {
        self.seen().short()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks once more, and tells.
    pub(crate) fn space(&self) -> Space {
        let (done, looked) = bounded(1);
        let asked = self.ask.send_timeout(done, TIMEOUT);
        if asked.is_err() || looked.recv_timeout(TIMEOUT).is_err() {
            return Space::Silent;
        }
        self.seen().space()
    }
}

impl Seen {
    fn note(&mut self, available: u64) {
        let fall = self.last.unwrap_or(available).saturating_sub(available);
        self.fastest_fall = self.fastest_fall.max(fall);
        self.lowest = Some(self.lowest.unwrap_or(available).min(available));
        self.first = self.first.or(Some(available));
        self.last = Some(available);
    }

    fn shared(&self) -> Option<Shared> {
        let left = self.last?;
        let wanted = self.wanted;
        (wanted > 0).then_some(Shared { left, wanted })
    }

    /// The teardown takes about a second, and what it gives back is the guest's again. Where there was little
    /// from the start, half of it is used.
    fn short(&self) -> Option<Shared> {
        let shared = self.shared()?;
        let share = (self.total / 64).clamp(FULL, 1 << 30);
        let margin = share.max(self.fastest_fall.saturating_mul(4));
        let half = self.first? / 2;
        (shared.left < margin.min(shared.wanted).min(half)).then_some(shared)
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
    fn space_that_the_guest_needs_is_short_before_it_is_gone() {
        let seen = |wanted: u64, looks: &[u64]| {
            let mut seen = Seen {
                wanted: wanted << 20,
                total: 64 << 30,
                ..Seen::default()
            };
            for mib in looks {
                seen.note(mib << 20);
            }
            seen.short().map(|shared| shared.left >> 20)
        };
        assert_eq!(seen(9000, &[5000, 4900]), None);
        assert_eq!(seen(9000, &[5000, 4800, 4600, 900]), Some(900));
        // It is used up fast.
        assert_eq!(seen(9000, &[5000, 4000, 3000, 2000]), Some(2000));
        // Nothing is shared, or not more is wanted than there is.
        assert_eq!(seen(0, &[5000, 10]), None);
        assert_eq!(seen(100, &[5000, 200]), None);
        // There was little from the start.
        assert_eq!(seen(9000, &[500, 300]), None);
        assert_eq!(seen(9000, &[500, 200]), Some(200));
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
