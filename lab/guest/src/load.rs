//! A load that goes on for as long as somebody wants to look at it.

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fleece_lab_guest::aligned::{BLOCK_SIZE, BUFFER_SIZE, Buffer};

use crate::Result;
use crate::disk::{Disk, Durability};
use crate::latency;

/// When this file appears, what was measured so far is forgotten.
const AGAIN: &str = "/tmp/again";

/// When this one does, the load ends. Both are removed.
const ENOUGH: &str = "/tmp/enough";

/// How often they are looked for.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy)]
pub(crate) enum Order {
    Random,
    Sequential,
}

/// What to write.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// 0: until there is [`ENOUGH`].
    pub(crate) seconds: u64,
    pub(crate) size: usize,
    pub(crate) span: u64,
    /// Writes at once.
    pub(crate) threads: u32,
    /// Writes a second of all threads; 0: as many as there can be.
    pub(crate) rate: u32,
    pub(crate) order: Order,
}

/// How often it was begun anew, and whether it ends.
#[derive(Default)]
struct Told {
    again: AtomicU32,
    enough: AtomicBool,
}

pub(crate) fn run(load: Load, path: &str) -> Result<String> {
    if load.size == 0 || load.size > BUFFER_SIZE || !load.size.is_multiple_of(BLOCK_SIZE) {
        return Err(format!(
            "the size must be blocks of {BLOCK_SIZE} up to {BUFFER_SIZE}"
        ));
    }
    let disk = Disk::open(path, Durability::Accepted)?;
    let told = Told::default();
    let (elapsed, samples) = thread::scope(|scope| {
        let workers: Vec<_> = (0..load.threads)
            .map(|thread| {
                let (disk, told) = (&disk, &told);
                scope.spawn(move || {
                    let samples = write(load, thread, disk, told);
                    told.enough.fetch_or(samples.is_err(), Ordering::Relaxed);
                    samples
                })
            })
            .collect();
        let elapsed = listen(load, &told);
        let samples = workers.into_iter().map(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err("a thread panicked".to_owned()))
        });
        let samples: Result<Vec<Vec<Duration>>> = samples.collect();
        samples.map(|samples| (elapsed, samples.concat()))
    })?;
    latency::report(elapsed, samples)
}

/// Until the end; gives the time since the last beginning.
fn listen(load: Load, told: &Told) -> Duration {
    let mut start = Instant::now();
    while !told.enough.load(Ordering::Relaxed) {
        thread::sleep(LOOK);
        if fs::remove_file(Path::new(AGAIN)).is_ok() {
            told.again.fetch_add(1, Ordering::Relaxed);
            start = Instant::now();
        }
        let is_over = load.seconds > 0 && start.elapsed() >= Duration::from_secs(load.seconds);
        if is_over || fs::remove_file(Path::new(ENOUGH)).is_ok() {
            told.enough.store(true, Ordering::Relaxed);
        }
    }
    start.elapsed()
}

/// One thread's writes, each of which begins when it is due, or when the one before is done.
fn write(load: Load, thread: u32, disk: &Disk, told: &Told) -> Result<Vec<Duration>> {
    let step = u64::try_from(load.size).map_err(|_| "the size is too big")?;
    let places = load
        .span
        .checked_div(step)
        .and_then(NonZeroU64::new)
        .ok_or("the span is shorter than one write")?;
    let buffer = Buffer::filled(0xa5);
    let bytes = buffer.0.get(..load.size).ok_or("the size is too big")?;
    let pause = load
        .threads
        .checked_mul(1_000_000)
        .and_then(|micros| micros.checked_div(load.rate))
        .map(|micros| Duration::from_micros(micros.into()));
    let mut samples = Vec::new();
    let mut random = 88_172_645_463_325_252_u64.wrapping_add(thread.into());
    let mut number = 0_u64;
    let mut begun = 0;
    let mut due = Instant::now();
    while !told.enough.load(Ordering::Relaxed) && samples.len() < latency::MAX_SAMPLES {
        let again = told.again.load(Ordering::Relaxed);
        if again != begun {
            begun = again;
            samples.clear();
        }
        if let Some(pause) = pause {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // Time that was lost is not made up for.
            due = due.max(Instant::now()).checked_add(pause).unwrap_or(due);
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        number = number.wrapping_add(1);
        let place = match load.order {
            Order::Random => random % places,
            Order::Sequential => number % places,
        };
        let before = Instant::now();
        disk.write(bytes, place.saturating_mul(step))?;
        samples.push(before.elapsed());
    }
    Ok(samples)
}
