//! What the rest of the host sees of a backup while it runs: `fleece status`, `systemctl status`, and a word when it stalls.

use std::path::Path;
use std::time::{Duration, Instant};

use fleece_backup_core::{Event, Progress, units};
use fleece_fleet::Manager;
use fleece_fleet::status::{Status, StatusFile};

/// The file is written at most this often.
const EVERY: Duration = Duration::from_secs(1);

/// A backup that has not got on for so long stalls.
pub(crate) const STALLS: Duration = Duration::from_secs(60);

/// A backup that runs; of one that has ended nothing is seen.
pub(crate) struct Watch {
    file: StatusFile,
    status: Status,
    written: Option<Instant>,
    manager: Option<Manager>,
    stall: Stall,
}

impl Watch {
    /// Of a guest, whose status is in a state directory.
    pub(crate) fn begin(
        directory: &Path,
        guest: &str,
        archive: Option<&Path>,
        job: Option<&str>,
    ) -> Self {
        let mut status = Status::begin(guest);
        status.archive = archive.map(|archive| archive.display().to_string());
        status.job = job.filter(|job| !job.is_empty()).map(str::to_owned);
        let mut watch = Self {
            file: StatusFile::new(directory, guest),
            status,
            written: None,
            manager: Manager::of_environment(),
            stall: Stall::new(),
        };
        watch.write();
        watch
    }

    /// Takes an event; returns what is to be said of it.
    pub(crate) fn take(&mut self, event: &Event) -> Option<String> {
        let said = match event {
            Event::Info(message) => {
                self.status.message.clone_from(message);
                self.moved();
                self.stall.restart();
                // What is said is little, and what follows may take long.
                self.written = None;
                None
            }
            Event::Progress(progress) => self.progress(progress),
            _ => None,
        };
        if self.written.is_none_or(|at| at.elapsed() >= EVERY) {
            self.write();
        }
        said
    }

    fn progress(&mut self, progress: &Progress) -> Option<String> {
        let status = &mut self.status;
        let has_moved = (status.done, status.total) != (progress.done, progress.total);
        (status.done, status.total) = (progress.done, progress.total);
        status.rate = progress.rate;
        status.eta = progress.eta.map(|eta| eta.as_secs_f64());
        status.fleecing = progress.fleecing;
        if has_moved {
            self.moved();
        }
        self.stall.look(progress, Instant::now())
    }

    fn moved(&mut self) {
        self.status.moved = self.status.moved.max(fleece_fleet::status::now());
    }

    fn write(&mut self) {
        self.written = Some(Instant::now());
        // Who cannot write it is not kept from the backup.
        let _ = self.file.write(&mut self.status);
        if let Some(manager) = &self.manager {
            let Status {
                guest,
                message,
                done,
                total,
                ..
            } = &self.status;
            manager.status(&match total {
                0 => format!("{guest}: {message}"),
                _ => format!("{guest}: {}%", units::percent(*done, *total)),
            });
        }
    }
}

/// Whether data flows.
struct Stall {
    last: (u64, u64, u64),
    since: Instant,
    told: bool,
}

impl Stall {
    fn new() -> Self {
        Self {
            last: (0, 0, 0),
            since: Instant::now(),
            told: false,
        }
    }

    fn restart(&mut self) {
        self.since = Instant::now();
    }

    /// What is to be said at `now`: that nothing flows, once, and that it does again.
    fn look(&mut self, progress: &Progress, now: Instant) -> Option<String> {
        let flown = (progress.done, progress.read, progress.written);
        let still = now.saturating_duration_since(self.since);
        if flown != self.last || progress.done >= progress.total {
            (self.last, self.since) = (flown, now);
            return std::mem::take(&mut self.told)
                .then(|| format!("the backup gets on again, after {}", units::duration(still)));
        }
        if still < STALLS || self.told {
            return None;
        }
        self.told = true;
        Some(format!(
            "the backup stalls: for {} nothing was read and nothing written; {} of {} are done",
            units::duration(still),
            units::bytes(progress.done),
            units::bytes(progress.total)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u64) -> Progress {
        let mut progress = Progress::default();
        (progress.total, progress.done) = (100, done);
        progress
    }

    #[test]
    fn a_backup_that_stalls_says_so_once_and_when_it_gets_on_again() {
        let mut stall = Stall::new();
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert_eq!(stall.look(&progress(10), after(0)), None);
        assert_eq!(stall.look(&progress(10), after(50)), None);
        let said = stall.look(&progress(10), after(70)).unwrap();
        assert!(said.starts_with("the backup stalls: for 1m "), "{said}");
        assert_eq!(stall.look(&progress(10), after(80)), None);
        let said = stall.look(&progress(11), after(90)).unwrap();
        assert!(said.contains("gets on again"), "{said}");
        // What is done is synced, however long that takes.
        assert_eq!(stall.look(&progress(100), after(100)), None);
        assert_eq!(stall.look(&progress(100), after(900)), None);
    }
}
