//! What a job tells while it runs.

pub(crate) mod advice;
pub(crate) mod error;
pub(crate) mod foresight;
pub(crate) mod meter;
pub(crate) mod series;
pub mod units;

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::pace::latency::WriteLatency;
use crate::report::advice::Advice;
use crate::report::error::Error;

/// Receives what a job has to say; called from the job's own thread, never from a worker.
pub trait Reporter {
    /// Takes one event.
    fn report(&self, event: &Event);

    /// Hears that a phase begins, and may refuse: then the job ends with this error. It waits as long as this takes.
    ///
    /// # Errors
    /// Whatever there is to say against it.
    fn enter(&self, _phase: Phase) -> Result<(), Error> {
        Ok(())
    }
}

/// What is done with the guest so that its disks are of one instant; called as Proxmox's `vzdump` calls it. All three
/// come in this order in every mode, whether the guest is stopped or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Before it is stopped, if it is.
    PreStop,
    /// The instant is fixed. A guest that was powered down boots behind this; another one goes on already.
    PreRestart,
    /// It runs again.
    PostRestart,
}

impl Phase {
    /// Its name: `pre-stop`, `pre-restart` or `post-restart`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreStop => "pre-stop",
            Self::PreRestart => "pre-restart",
            Self::PostRestart => "post-restart",
        }
    }
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A step was taken.
    Info(String),
    /// Something is not as it should be, but the job goes on.
    Warning(Warning),
    /// Where the job is.
    Progress(Progress),
}

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// What it is.
    pub message: String,
    /// What can be done about it, where that is not in the message.
    pub advice: Option<Advice>,
}

impl Warning {
    /// A warning with what can be done about it.
    pub(crate) fn advised(message: impl Into<String>, advice: Advice) -> Self {
        Self {
            message: message.into(),
            advice: Some(advice),
        }
    }
}

impl From<String> for Warning {
    fn from(message: String) -> Self {
        Self {
            message,
            advice: None,
        }
    }
}

impl From<&Error> for Warning {
    fn from(error: &Error) -> Self {
        Self {
            message: error.chain(),
            advice: error.advice().cloned(),
        }
    }
}

impl From<Error> for Warning {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<fleece_fleecing::Error> for Warning {
    fn from(error: fleece_fleecing::Error) -> Self {
        Self::from(Error::from(error))
    }
}

/// Passes events on and counts the warnings.
pub(crate) struct Counting<'a> {
    to: &'a dyn Reporter,
    warnings: Cell<usize>,
}

impl<'a> Counting<'a> {
    pub(crate) fn new(to: &'a dyn Reporter) -> Self {
        Self {
            to,
            warnings: Cell::new(0),
        }
    }

    pub(crate) fn info(&self, message: String) {
        self.report(&Event::Info(message));
    }

    pub(crate) fn warning(&self, warning: impl Into<Warning>) {
        self.report(&Event::Warning(warning.into()));
    }

    pub(crate) fn warnings(&self) -> usize {
        self.warnings.get()
    }
}

impl Reporter for Counting<'_> {
    fn report(&self, event: &Event) {
        if matches!(event, Event::Warning(_)) {
            self.warnings.set(self.warnings.get().saturating_add(1));
        }
        self.to.report(event);
    }

    fn enter(&self, phase: Phase) -> Result<(), Error> {
        self.to.enter(phase)
    }
}

/// A snapshot of the counters, see [`Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Sum of the disks' sizes in bytes.
    pub total: u64,
    /// Bytes of disks dealt with, zeroes included.
    pub done: u64,
    /// Bytes actually read from the guest's disks.
    pub read: u64,
    /// Bytes of disks found to be zero, whether read or skipped.
    pub zero: u64,
    /// Bytes of archive written, after compression.
    pub written: u64,
    /// Since the first read.
    pub elapsed: Duration,
    /// Disk bytes per second over the last interval.
    pub rate: f64,
    /// Archive bytes per second over the last interval.
    pub write_rate: f64,
    /// Estimated time left, once a rate is known.
    pub eta: Option<Duration>,
    /// Reads in flight, on average, steered by the guest's latency; below one there are pauses.
    pub depth: f64,
    /// Bytes that the fleecing images hold now.
    pub fleecing: Option<u64>,
    /// Bytes that they may hold.
    pub fleecing_limit: Option<u64>,
    /// What the guest's writes took over the last interval; `None` if it wrote nothing, or cannot be watched.
    pub latency: Option<WriteLatency>,
    /// What 99 of 100 of them took before the backup touched the guest, if it wrote then.
    pub latency_before: Option<Duration>,
}

/// Counters that the pipeline's threads advance.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) done: AtomicU64,
    pub(crate) read: AtomicU64,
    /// What was taken over of an earlier archive, and not read.
    pub(crate) unread: AtomicU64,
    pub(crate) zero: AtomicU64,
    pub(crate) written: AtomicU64,
    /// Since when the target has been taking a write, while it does.
    pub(crate) writing: Mutex<Option<Instant>>,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, bytes: u64) {
        counter.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// A write to the target.
    pub(crate) fn timed<T>(&self, write: impl FnOnce() -> T) -> T {
        self.note_write(Some(Instant::now()));
        let result = write();
        self.note_write(None);
        result
    }

    fn note_write(&self, since: Option<Instant>) {
        *self.writing.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// How long the write has taken that the target is busy with.
    pub(crate) fn write_takes(&self) -> Option<Duration> {
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing.map(|since| since.elapsed())
    }
}
