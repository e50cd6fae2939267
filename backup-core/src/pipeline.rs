//! From the disks of one instant to the bytes of an archive.
//!
//! ```text
//!            chunks, in order of disks and clusters
//!   planner ──┬───────────────────────────────────────► encoder ─► store
//!             │ reads to do                               ▲  ▲        │
//!             └─► readers (as many as the gate lets in) ──┘  └────────┘
//!                   buffers go round, extents go round      empty extents
//! ```
//!
//! The planner asks each disk which parts are zero and cuts the rest into chunks; what is smaller shares one with its
//! neighbours. Readers fill the chunks in any order; the encoder takes them in the planner's order, so the archive's bytes do not
//! depend on how many readers there are. The store writes one extent while the next is encoded.
//!
//! Memory is bounded by the number of chunk buffers and extents, whatever the disks' sizes.
//! When one thread ends, for whatever reason, its channels close and the others end too; the error
//! that is told is the first one.

mod encode;
mod fleecing_limit;
mod plan;
mod read;
mod shared_fleecing;
pub(crate) mod source;
mod store;
pub(crate) mod transfer;

use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use fleece_vma_format::{CLUSTER_SIZE, DeviceId, Encoder, Header, Output, Summary};

use crate::pace::gate::DepthGate;
use crate::pace::rate::RateLimit;
use crate::pipeline::source::Source;
use crate::report::Counters;
use crate::report::error::{Error, ErrorKind};
use crate::target::deadline::LAST_CHANCE;

/// The unit of block status, in bytes.
const CLUSTER: u64 = CLUSTER_SIZE as u64;

/// Bytes that one read asks for: large enough that the request itself costs nothing, small enough
/// that a guest write never waits long behind it.
const CHUNK_SIZE: usize = 1 << 20;

/// Chunks that may be on their way between planner and encoder.
const CHUNK_BUFFERS: usize = 16;

/// Hand-overs of extents that wait between encoder and store, beside the one that each of them holds, so
/// that neither stops for the other's hiccup.
const HANDED_OVER: usize = 1;

/// How far the threads stand back behind a guest's where both want a processor: with 10 they get a tenth
/// of what it gets.
const NICENESS: i32 = 10;

/// What a pipeline may do.
#[derive(Debug)]
pub(crate) struct Limits {
    /// How many reads may be in flight; shared with whoever steers it.
    pub(crate) gate: Arc<DepthGate>,
    /// Bytes per second read from the sources.
    pub(crate) rate: Option<RateLimit>,
}

/// One disk and its place in the archive.
pub(crate) struct PipelineDisk {
    pub(crate) device: DeviceId,
    pub(crate) source: Arc<dyn Source>,
}

/// A pipeline at work.
pub(crate) struct Pipeline<W> {
    shared: Arc<Shared>,
    outcome: Receiver<(W, Summary)>,
    threads: Vec<JoinHandle<()>>,
    sources: Vec<Arc<dyn Source>>,
}

/// What the threads share.
struct Shared {
    gate: Arc<DepthGate>,
    counters: Arc<Counters>,
    stopped: AtomicBool,
    first_error: Mutex<Option<Error>>,
}

impl Shared {
    /// Starts a thread; if that cannot be, everything stops.
    fn spawn(
        self: &Arc<Self>,
        name: &str,
        body: impl FnOnce(&Self) + Send + 'static,
    ) -> Option<JoinHandle<()>> {
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name(name.into());
        let spawned = thread.spawn(move || {
            let _guard = PanicGuard(&shared);
            // Only takes effect where guests want the processors too.
            let _ = rustix::process::nice(NICENESS);
            body(&shared);
        });
        let failed = |error| {
            let message = format!("cannot start the thread {name}");
            self.fail(Error::caused(ErrorKind::Internal, message, error));
        };
        spawned.map_err(failed).ok()
    }

    /// Keeps the first error and stops everything.
    fn fail(&self, error: Error) {
        self.first_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.stop();
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.gate.close();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// A thread's way out when another one has ended first; that one's error is what counts.
struct Stopped;

impl<W: Write + Send + 'static> Pipeline<W> {
    /// Starts the threads; `disks` are the devices of `header`, in its order.
    pub(crate) fn start(
        disks: Vec<PipelineDisk>,
        header: Header,
        output: Output<W>,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Self {
        let Limits { gate, rate } = limits;
        let readers = gate.max();
        let shared = Arc::new(Shared {
            gate,
            counters,
            stopped: AtomicBool::new(false),
            first_error: Mutex::new(None),
        });

        let (free_chunk, chunks) = bounded(CHUNK_BUFFERS);
        for _ in 0..CHUNK_BUFFERS {
            // Grown to CHUNK_SIZE by the first read that needs it.
            let _ = free_chunk.send(Vec::new());
        }
        let (plan_read, reads) = bounded(readers);
        let (plan_piece, pieces) = bounded(CHUNK_BUFFERS);
        let (store, parts) = bounded(HANDED_OVER);
        let (write, written) = bounded(encode::MOST_EMPTY);
        let (done, outcome) = bounded(1);

        let sources: Vec<_> = disks.iter().map(|disk| Arc::clone(&disk.source)).collect();
        let to_finish = sources.clone();
        let mut threads = Vec::new();
        threads.extend(shared.spawn("plan", move |shared| {
            let planner = plan::Planner {
                shared,
                rate,
                chunks,
                plan_read,
                plan_piece,
            };
            let _ = planner.run(&disks);
        }));
        for number in 0..readers {
            let reads = reads.clone();
            let read = move |shared: &Shared| read::run(shared, &reads);
            threads.extend(shared.spawn(&format!("read-{number}"), read));
        }
        drop(reads);
        let encoder = Encoder::new(&header);
        threads.extend(shared.spawn("encode", move |shared| {
            let worker = encode::Worker {
                shared,
                pieces,
                free_chunk,
                store,
                written,
            };
            let _ = worker.run(encoder, &to_finish);
        }));
        threads.extend(shared.spawn("store", move |shared| {
            if let Some(finished) = store::run(shared, &header, output, &parts, &write) {
                let _ = done.send(finished);
            }
        }));
        Self {
            shared,
            outcome,
            threads,
            sources,
        }
    }

    /// Waits up to `timeout` for the end. `None`: still at work.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Option<Result<(W, Summary), Error>> {
        match self.outcome.recv_timeout(timeout) {
            Err(RecvTimeoutError::Timeout) => None,
            Ok(finished) => {
                for thread in self.threads.drain(..) {
                    let _ = thread.join();
                }
                Some(Ok(finished))
            }
            Err(RecvTimeoutError::Disconnected) => Some(Err(self.take_error())),
        }
    }

    /// Gives up. Returns whether the output has been dropped; it is not if the store hangs in a
    /// write, and nobody should wait for that.
    pub(crate) fn abort(self) -> bool {
        self.shared.stop();
        for source in &self.sources {
            source.abort();
        }
        let Self { outcome, .. } = self;
        !matches!(
            outcome.recv_timeout(LAST_CHANCE),
            Err(RecvTimeoutError::Timeout)
        )
    }

    /// The first error, if one has happened already: the way to hear of a dead source while the
    /// store hangs.
    pub(crate) fn error(&self) -> Option<Error> {
        self.shared
            .first_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn take_error(&self) -> Error {
        // Only a thread that panics ends without an error: its channels close before its guard tells.
        self.error().unwrap_or_else(Error::panicked)
    }
}

/// Turns a panic of a worker into an ordinary failure of the job.
struct PanicGuard<'a>(&'a Shared);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Error::panicked());
        }
    }
}

/// Neighbouring clusters of one kind. Starts on a cluster; ends on one or with the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    offset: u64,
    length: u64,
    kind: Kind,
}

/// Where the bytes of clusters come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// They are zero.
    Zero,
    /// They are read.
    Data,
    /// The base has them, as the source [knows](Source::known).
    Known,
}

impl Run {
    fn clusters(&self) -> Range<u64> {
        let end = self.offset.saturating_add(self.length);
        self.offset / CLUSTER..end.div_ceil(CLUSTER)
    }

    /// How many bytes of it are read.
    fn data(&self) -> u64 {
        match self.kind {
            Kind::Data => self.length,
            Kind::Zero | Kind::Known => 0,
        }
    }
}

/// The next thing that goes into the archive: runs of one disk, in order.
struct Piece {
    device: DeviceId,
    source: Arc<dyn Source>,
    runs: Arc<[Run]>,
    /// What is read, one run after the other; `None` if nothing is.
    chunk: Option<Receiver<Vec<u8>>>,
}

/// A read to do: of the runs of data, as many bytes as the buffer has.
struct Read {
    source: Arc<dyn Source>,
    runs: Arc<[Run]>,
    buffer: Vec<u8>,
    reply: Sender<Vec<u8>>,
}

#[cfg(test)]
mod tests;
