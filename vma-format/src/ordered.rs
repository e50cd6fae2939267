//! Work spread over threads, results in the order in which it was given.

use std::collections::VecDeque;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::error::{Error, ErrorKind, Result};

/// A few worker threads behind a queue. How much is queued is up to the caller, who sees it in
/// [`pending`](Self::pending).
pub(crate) struct Ordered<I, O> {
    jobs: Option<Sender<Job<I, O>>>,
    results: VecDeque<Outcome<O>>,
    workers: Vec<JoinHandle<()>>,
}

enum Outcome<O> {
    /// Known without a worker.
    Known(O),
    Awaited(Receiver<Result<O>>),
}

type Job<I, O> = (I, Sender<Result<O>>);

impl<I: Send + 'static, O: Send + 'static> Ordered<I, O> {
    /// Starts `threads` workers; `make` gives each its own function.
    pub(crate) fn new<F>(threads: usize, make: impl Fn() -> Result<F>) -> Result<Self>
    where
        F: FnMut(I) -> Result<O> + Send + 'static,
    {
        let (jobs, queue) = unbounded::<Job<I, O>>();
        let mut pool = Self {
            jobs: Some(jobs),
            results: VecDeque::new(),
            workers: Vec::new(),
        };
        for _ in 0..threads.max(1) {
            let queue = queue.clone();
            let mut work = make()?;
            let run = move || {
                for (input, result) in queue {
                    // Nobody waits for the result if the owner has gone.
                    let _ = result.send(work(input));
                }
            };
            let worker = std::thread::Builder::new().name("frames".into()).spawn(run);
            pool.workers
                .push(worker.map_err(|e| Error::io("cannot start a thread", e))?);
        }
        Ok(pool)
    }

    /// Queues a job.
    pub(crate) fn submit(&mut self, input: I) {
        let (result, receiver) = bounded(1);
        if let Some(jobs) = &self.jobs {
            // Fails only if all workers have died, which the receiver will tell.
            let _ = jobs.send((input, result));
        }
        self.results.push_back(Outcome::Awaited(receiver));
    }

    /// Puts an already known result into the order.
    pub(crate) fn submit_done(&mut self, output: O) {
        self.results.push_back(Outcome::Known(output));
    }

    /// How many jobs have been given whose results have not been taken.
    pub(crate) fn pending(&self) -> usize {
        self.results.len()
    }

    /// Waits for the result of the oldest job; `None` if there is none.
    pub(crate) fn take(&mut self) -> Option<Result<O>> {
        let died = |_| Error::new(ErrorKind::Io, "a compression thread has died");
        Some(match self.results.pop_front()? {
            Outcome::Known(output) => Ok(output),
            Outcome::Awaited(result) => result.recv().map_err(died).flatten(),
        })
    }
}

impl<I, O> Drop for Ordered<I, O> {
    fn drop(&mut self) {
        self.jobs = None;
        // What nobody will take need not be finished slowly: queued jobs are few.
        self.results.clear();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl<I, O> std::fmt::Debug for Ordered<I, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} threads", self.workers.len())
    }
}
