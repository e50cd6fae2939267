//! The transmission phase of one connection.
//!
//! Several threads take turns at reading: the one whose turn it is reads one request, passes the
//! turn on, executes the request and sends the reply. So requests run side by side and are
//! answered as they finish, and none waits for another thread to wake up.

use std::io::{self, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};

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

/// Largest reply buffer that a thread keeps. Requests of kernels and QEMU are smaller.
const KEPT_BUFFER: usize = 2 << 20;

/// Serves a connection until the client leaves or breaks the protocol, or reading is shut down.
/// Requests that were read are answered before it returns. At most `limit` run at once.
pub(super) fn serve(stream: &Stream, agreement: &Agreement, limit: usize) -> Result<(), Error> {
    let transmission = Transmission {
        stream,
        agreement,
        budget: Budget::new(BUDGET),
        reading: Mutex::new(Reading {
            input: BufReader::with_capacity(READ_AHEAD, stream),
            threads: 1,
            limit,
            ended: None,
        }),
        waiting: AtomicUsize::new(1),
        writing: Mutex::new(()),
        broken: AtomicBool::new(false),
    };
    thread::scope(|scope| transmission.work(scope));
    let reading = transmission.reading.into_inner();
    let ended = reading.unwrap_or_else(PoisonError::into_inner).ended;
    ended.unwrap_or(Ok(()))
}

/// What the threads of a connection share.
struct Transmission<'a> {
    stream: &'a Stream,
    agreement: &'a Agreement,
    budget: Budget,
    /// Held by the thread whose turn it is to read.
    reading: Mutex<Reading<'a>>,
    /// Threads that wait for their turn.
    waiting: AtomicUsize,
    /// Held while one reply is written.
    writing: Mutex<()>,
    /// There will be no replies any more.
    broken: AtomicBool,
}

struct Reading<'a> {
    input: BufReader<&'a Stream>,
    threads: usize,
    limit: usize,
    /// How the last request was followed by none.
    ended: Option<Result<(), Error>>,
}

impl<'a> Transmission<'a> {
    fn work<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let (mut data, mut reply) = (Vec::new(), Vec::new());
        while let Some((request, _loan)) = self.next_request(scope, &mut data) {
            // A panic in an export costs the connection: its client must not wait for a reply
            // that never comes.
            let executed = catch_unwind(AssertUnwindSafe(|| {
                execute(self.agreement, &request, &data, &mut reply);
            }));
            if executed.is_err() || self.send(&reply).is_err() {
                self.broken.store(true, Ordering::Relaxed);
                self.stream.shutdown();
            }
            for buffer in [&mut data, &mut reply] {
                if buffer.capacity() > KEPT_BUFFER {
                    *buffer = Vec::new();
                }
            }
            self.waiting.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for the turn to read, and reads one request with its data. The loan is for the
    /// memory of both data and reply. `None` when there are no more requests.
    fn next_request<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        data: &mut Vec<u8>,
    ) -> Option<(RequestHeader, Loan<'scope>)> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        if reading.ended.is_some() || self.broken.load(Ordering::Relaxed) {
            return None;
        }
        match self.read(&mut reading.input, data) {
            Ok(Some(request)) => {
                if self.waiting.load(Ordering::Relaxed) == 0 && reading.threads < reading.limit {
                    self.add_thread(scope, &mut reading.threads);
                }
                Some(request)
            }
            Ok(None) => {
                reading.ended = Some(Ok(()));
                None
            }
            Err(error) => {
                reading.ended = Some(Err(error));
                None
            }
        }
    }

    fn read(
        &self,
        input: &mut BufReader<&'a Stream>,
        data: &mut Vec<u8>,
    ) -> Result<Option<(RequestHeader, Loan<'_>)>, Error> {
        let export = &*self.agreement.export;
        let Some(request) = read_header(input)? else {
            return Ok(None);
        };
        let loan = self.budget.borrow(data_length(&request, export));
        let all = read_data(input, &request, export, data)?;
        Ok(all.then_some((request, loan)))
    }

    /// Starts a thread that takes the next turn.
    fn add_thread<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, threads: &mut usize) {
        let worker = thread::Builder::new().name("nbd-worker".to_owned());
        match worker.spawn_scoped(scope, || self.work(scope)) {
            Ok(_) => {
                *threads = threads.saturating_add(1);
                self.waiting.fetch_add(1, Ordering::Relaxed);
            }
            // The threads that there are do the work, fewer at once.
            Err(error) => tracing::warn!(%error, "no further thread for an NBD client"),
        }
    }

    fn send(&self, reply: &[u8]) -> io::Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = self.stream;
        stream.write_all(reply)
    }
}
