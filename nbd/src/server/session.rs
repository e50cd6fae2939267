//! The transmission phase of one connection: one thread reads requests, workers execute them.

use std::io::{self, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, TrySendError, bounded};

use super::budget::{Budget, Loan};
use super::execute::execute;
use super::negotiation::Agreement;
use super::receive::{data_length, read_data, read_header};
use crate::error::Error;
use crate::protocol::DEFAULT_MAX_PAYLOAD;
use crate::protocol::request::RequestHeader;
use crate::stream::Stream;

/// Bytes that all requests of a connection hold at once: one of the largest that there are.
const BUDGET: u64 = DEFAULT_MAX_PAYLOAD as u64;

/// Bytes read ahead, so that small requests share a system call.
const READ_AHEAD: usize = 16 << 10;

/// Largest reply buffer that an idle worker keeps. Requests of kernels and QEMU are smaller.
const KEPT_BUFFER: usize = 2 << 20;

/// Serves a connection until the client leaves or breaks the protocol, or reading is shut down.
/// Requests that were read are answered before it returns.
pub(super) fn serve(stream: &Stream, agreement: &Agreement, workers: usize) -> Result<(), Error> {
    let session = Session {
        stream,
        agreement,
        writing: Mutex::new(()),
        broken: AtomicBool::new(false),
    };
    let budget = Budget::new(BUDGET);
    let export = &*agreement.export;
    thread::scope(|scope| {
        let (jobs, waiting) = bounded::<Job<'_>>(0);
        let mut count = 0;
        let mut input = BufReader::with_capacity(READ_AHEAD, stream);
        while let Some(request) = read_header(&mut input)? {
            let loan = budget.borrow(data_length(&request, export));
            let Some(data) = read_data(&mut input, &request, export)? else {
                break;
            };
            let job = Job {
                request,
                data,
                _loan: loan,
            };
            // A worker that waits takes the job at once. If none does, there is need for one
            // more, up to the limit.
            let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = jobs.try_send(job)
            else {
                continue;
            };
            if count < workers.max(1) {
                let (session, waiting) = (&session, waiting.clone());
                thread::Builder::new()
                    .name("nbd-worker".to_owned())
                    .spawn_scoped(scope, move || session.work(&waiting))
                    .map_err(|error| Error::connection("starting a thread", error))?;
                count = usize::saturating_add(count, 1);
            }
            // `waiting` is open as long as this loop runs, so this cannot fail.
            let _ = jobs.send(job);
        }
        Ok(())
        // Here `jobs` is dropped; the workers finish what they have and end.
    })
}

/// A request with all that belongs to it.
struct Job<'a> {
    request: RequestHeader,
    data: Vec<u8>,
    _loan: Loan<'a>,
}

/// What the workers of a connection share.
struct Session<'a> {
    stream: &'a Stream,
    agreement: &'a Agreement,
    /// Held while one reply is written.
    writing: Mutex<()>,
    /// There will be no replies any more.
    broken: AtomicBool,
}

impl Session<'_> {
    fn work(&self, waiting: &Receiver<Job<'_>>) {
        let mut reply = Vec::new();
        for job in waiting {
            if self.broken.load(Ordering::Relaxed) {
                continue;
            }
            // A panic in an export costs the connection: its client must not wait for a reply
            // that never comes, nor the reader for a worker that is gone.
            let executed = catch_unwind(AssertUnwindSafe(|| {
                execute(self.agreement, &job.request, &job.data, &mut reply);
            }));
            if executed.is_err() || self.send(&reply).is_err() {
                self.broken.store(true, Ordering::Relaxed);
                self.stream.shutdown();
            }
            if reply.capacity() > KEPT_BUFFER {
                reply = Vec::new();
            }
        }
    }

    fn send(&self, reply: &[u8]) -> io::Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = self.stream;
        stream.write_all(reply)
    }
}
