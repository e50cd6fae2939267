//! Threads that can be abandoned: whoever waits for them waits for a limited time.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::fate::{Fate, Waited};
use super::sync::{Condvar, Mutex, MutexGuard, spawn, wait_until};

/// A few threads that run jobs which may hang for ever, such as writing into a dead target.
///
/// Dropping them lets the idle threads end; a thread that hangs keeps what its job holds until its
/// system call returns.
pub(super) struct Workers {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
    threads: usize,
}

type Job = Box<dyn FnOnce() + Send>;

/// How a call to a worker ended.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// With the job's result.
    Done(T),
    /// With the snapshot, for which the job was.
    Over,
    /// The job may still run, or be queued behind one that hangs.
    TimedOut,
}

impl Workers {
    pub(super) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let queue = Queue {
            jobs: VecDeque::new(),
            closed: false,
            threads: 0,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            changed: Condvar::new(),
        });
        let workers = Self { shared };
        for _ in 0..threads {
            let thread = Thread::enlist(&workers.shared);
            spawn(name, move || thread.work())?;
        }
        Ok(workers)
    }

    /// Run `job` and wait for its result, while the snapshot lasts and until `deadline`.
    pub(super) fn call<T: Send + 'static>(
        &self,
        fate: &Arc<Fate>,
        deadline: Instant,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Answer<T> {
        let result = Arc::new(Mutex::new(None));
        let (to, bell) = (Arc::clone(&result), Arc::clone(fate));
        let accepted = self.shared.push(Box::new(move || {
            let value = job();
            *to.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(value);
            bell.notify();
        }));
        if !accepted {
            return Answer::Over;
        }

        let mut answer = None;
        let waited = fate.wait(deadline, || {
            answer = result
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .take();
            answer.is_some()
        });
        match (waited, answer) {
            (_, Some(value)) => Answer::Done(value),
            (Waited::TimedOut, None) => Answer::TimedOut,
            (_, None) => Answer::Over,
        }
    }

    /// Forget what is queued, and wait until the running jobs have ended; false if some have not
    /// until `deadline`, and are abandoned.
    pub(super) fn close(&self, deadline: Instant) -> bool {
        let mut queue = self.shared.close();
        while queue.threads > 0 {
            let in_time;
            (queue, in_time) = wait_until(&self.shared.changed, queue, deadline);
            if !in_time {
                return queue.threads == 0;
            }
        }
        true
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        drop(self.shared.close());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Queue a job; false once the workers are closed, when nobody would run or drop it.
    fn push(&self, job: Job) -> bool {
        let mut queue = self.lock();
        if queue.closed {
            return false;
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.changed.notify_one();
        true
    }

    fn close(&self) -> MutexGuard<'_, Queue> {
        let mut queue = self.lock();
        queue.closed = true;
        // Outside the lock: what a job holds may need it to be dropped.
        let forgotten = std::mem::take(&mut queue.jobs);
        drop(queue);
        drop(forgotten);
        self.changed.notify_all();
        self.lock()
    }
}

/// One thread, counted for as long as it lives, even if a job panics.
struct Thread(Arc<Shared>);

impl Thread {
    fn enlist(shared: &Arc<Shared>) -> Self {
        let mut queue = shared.lock();
        queue.threads = queue.threads.saturating_add(1);
        drop(queue);
        Self(Arc::clone(shared))
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.0.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = self
                .0
                .changed
                .wait(queue)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.threads = queue.threads.saturating_sub(1);
        drop(queue);
        self.0.changed.notify_all();
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}
