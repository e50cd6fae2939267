//! A guest that writes all over its disks, and what it feels.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use fleece_backup_core::cbw::Filter;
use fleece_backup_core::pace::GuestWrites;
use fleece_backup_core::{Error, ErrorKind, RateLimit};
use fleece_report::Felt;
use fleece_storage::block::{Geometry as _, WriteAt as _};
use hdrhistogram::Histogram;

/// Writes under way at once, as of a guest with a few busy programs.
const WRITERS: u64 = 4;

/// Sizes and places of writes are multiples of this many bytes.
const PAGE: u64 = 4 << 10;

/// The longest write in pages: 64 KiB.
const MAX_PAGES: u64 = 16;

/// What was felt is told for stretches of this length, or of one write if it takes longer.
const STRETCH: Duration = Duration::from_millis(250);

/// Threads that write to random places until they are stopped.
pub(super) struct Load {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<()>>,
}

struct Shared {
    disks: Vec<Arc<Filter>>,
    /// What the guest asks for; it gets less when its writes are held back.
    rate: RateLimit,
    stopped: AtomicBool,
    /// Each write reads it; whoever holds it for writing holds the guest.
    running: RwLock<()>,
    tally: Mutex<Tally>,
}

/// What the guest has experienced since the last [`Load::restart`].
struct Tally {
    since: Instant,
    /// In nanoseconds.
    latency: Histogram<u64>,
    sum: Duration,
    bytes: u64,
    /// The same of the stretch under way, and where it ends.
    stretch: Histogram<u64>,
    end: Duration,
    felt: Vec<Felt>,
    /// Bytes in the fleecing images, when they were last looked at.
    held: Option<u64>,
    error: Option<Error>,
}

/// What a guest experienced for a while.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// How long writes took, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) bytes: u64,
    pub(super) time: Duration,
    /// Stretch by stretch.
    pub(super) felt: Vec<Felt>,
}

impl Measured {
    /// What this share of all writes did not exceed.
    pub(super) fn latency(&self, share: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(share))
    }
}

impl Load {
    /// Start writing `rate` bytes per second to `disks`, or less if they do not take it.
    pub(super) fn start(disks: Vec<Arc<Filter>>, rate: u64) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            disks,
            rate: RateLimit::new(rate),
            stopped: AtomicBool::new(false),
            running: RwLock::new(()),
            tally: Mutex::new(Tally::new()?),
        });
        let mut load = Self {
            shared,
            writers: Vec::new(),
        };
        for number in 0..WRITERS {
            let shared = Arc::clone(&load.shared);
            let writer = thread::Builder::new()
                .name(format!("guest-{number}"))
                .spawn(move || shared.write(number))
                .map_err(|error| {
                    Error::caused(ErrorKind::Internal, "cannot start the guest", error)
                })?;
            load.writers.push(writer);
        }
        Ok(load)
    }

    /// Hold the guest, after its writes under way, for as long as the guard lives.
    pub(super) fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.shared
            .running
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Measure from now on.
    pub(super) fn restart(&self) {
        self.shared.tally().restart();
    }

    /// What the fleecing images hold now.
    pub(super) fn note_held(&self, held: u64) {
        self.shared.tally().held = Some(held);
    }

    /// For the backup, which goes by what the guest feels.
    pub(super) fn writes(&self) -> GuestWrites {
        let tally = self.shared.tally();
        GuestWrites::new(tally.latency.len(), tally.sum)
    }

    /// End the guest. A write that is held back must be able to end.
    ///
    /// # Errors
    /// The first write that failed.
    pub(super) fn stop(mut self) -> Result<Measured, Error> {
        let time = self.shared.tally().since.elapsed();
        self.join();
        let mut tally = self.shared.tally();
        tally.end_stretch();
        match tally.error.take() {
            Some(error) => Err(error),
            None => Ok(Measured {
                latency: tally.latency.clone(),
                bytes: tally.bytes,
                time,
                felt: std::mem::take(&mut tally.felt),
            }),
        }
    }

    fn join(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        for writer in self.writers.drain(..) {
            let _ = writer.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.join();
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, number: u64) {
        let mut random = Rng::with_seed(number);
        let mut buffer = Vec::new();
        while !self.stopped.load(Ordering::Relaxed) {
            let Some(disk) = random.choice(&self.disks) else {
                return;
            };
            let pages = random.u64(1..=MAX_PAGES);
            let length = pages.saturating_mul(PAGE).min(disk.size());
            let last_page = disk.size().saturating_sub(length) / PAGE;
            let page = random.u64(..=last_page);
            compose(&mut buffer, length, &mut random);
            thread::sleep(self.rate.book(length, Instant::now()));

            let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
            let start = Instant::now();
            let written = disk.write_at(&buffer, page.saturating_mul(PAGE));
            let mut tally = self.tally();
            match written {
                Ok(()) => tally.write(start.elapsed(), length),
                Err(error) => tally.fail(error),
            }
            drop(tally);
            drop(running);
        }
    }
}

/// Noise or text that no other write has, as much of each as the disks have had from the beginning.
fn compose(buffer: &mut Vec<u8>, length: u64, random: &mut Rng) {
    let length = usize::try_from(length).unwrap_or(0);
    buffer.clear();
    if random.u8(..3) == 0 {
        buffer.resize(length, 0);
        random.fill(buffer);
    } else {
        let line = format!("what guest {:016x} writes\n", random.u64(..));
        buffer.extend(line.bytes().cycle().take(length));
    }
}

impl Tally {
    fn new() -> Result<Self, Error> {
        // Two digits of each percentile are exact, up to an hour.
        let latency = Histogram::new_with_bounds(1, 3_600_000_000_000, 2).map_err(|error| {
            Error::caused(ErrorKind::Internal, "cannot measure the guest", error)
        })?;
        Ok(Self {
            since: Instant::now(),
            stretch: latency.clone(),
            latency,
            sum: Duration::ZERO,
            bytes: 0,
            end: STRETCH,
            felt: Vec::new(),
            held: None,
            error: None,
        })
    }

    fn restart(&mut self) {
        self.since = Instant::now();
        self.latency.reset();
        self.sum = Duration::ZERO;
        self.bytes = 0;
        self.stretch.reset();
        self.end = STRETCH;
        self.felt.clear();
        self.held = None;
        self.error = None;
    }

    fn write(&mut self, latency: Duration, bytes: u64) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency.saturating_record(nanoseconds);
        self.sum = self.sum.saturating_add(latency);
        self.bytes = self.bytes.saturating_add(bytes);
        self.stretch.saturating_record(nanoseconds);
        if self.since.elapsed() >= self.end {
            self.end_stretch();
        }
    }

    fn end_stretch(&mut self) {
        let now = self.since.elapsed();
        let of = |share| self.stretch.value_at_quantile(share) / 1000;
        // What is left at the end may be too short to tell anything.
        let begin = self.felt.last().map_or(0.0, |felt| felt.until);
        let is_short = now.as_secs_f64() - begin < STRETCH.as_secs_f64() / 2.0;
        if !self.stretch.is_empty() && (!is_short || self.felt.is_empty()) {
            self.felt.push(Felt {
                until: now.as_secs_f64(),
                p50_us: Some(of(0.5)),
                p99_us: Some(of(0.99)),
                fleecing: self.held,
            });
        }
        self.stretch.reset();
        self.end = now.saturating_add(STRETCH);
    }

    fn fail(&mut self, error: fleece_storage::block::Error) {
        self.error.get_or_insert_with(|| {
            Error::caused(ErrorKind::Guest, "a write of the guest failed", error)
        });
    }
}
