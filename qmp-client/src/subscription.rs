//! Events on their way to those who want them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::deadline::{Deadline, Interrupt};
use crate::error::Error;
use crate::message::Event;

/// All events of a connection since [`Client::subscribe`](crate::client::Client::subscribe), in order.
///
/// Subscribe first, then send the command whose event is awaited. The connection never waits
/// for a subscriber: once [`CAPACITY`](Self::CAPACITY) events or
/// [`CAPACITY_BYTES`](Self::CAPACITY_BYTES) bytes are unread, the
/// oldest is dropped and [`lost`](Self::lost) counts it.
#[derive(Debug)]
pub struct Subscription(Arc<Queue>);

impl Subscription {
    /// Unread events that are kept; a backup sees a few per disk.
    pub const CAPACITY: usize = 1024;

    /// Bytes of unread events that are kept, counted as they came over the socket. Parsed they
    /// take up to some 30 times that.
    pub const CAPACITY_BYTES: usize = 1 << 20;

    /// The next event, or `None` if none comes in time.
    ///
    /// # Errors
    ///
    /// The reason why the connection ended, once all events before that are read.
    pub fn next(&self, timeout: Duration) -> Result<Option<Event>, Error> {
        let deadline = Deadline::after(timeout, &Interrupt::default());
        let mut unread = self.0.lock();
        loop {
            if let Some((event, size)) = unread.events.pop_front() {
                unread.bytes = unread.bytes.saturating_sub(size);
                return Ok(Some(event));
            }
            if let Some(error) = &unread.closed {
                return Err(error.clone());
            }
            let remaining = deadline.remaining();
            if remaining.is_zero() {
                return Ok(None);
            }
            let waited = self.0.arrived.wait_timeout(unread, remaining);
            unread = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Passes over events until one satisfies `wanted`; `None` if none comes in time.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub fn wait_for(
        &self,
        mut wanted: impl FnMut(&Event) -> bool,
        timeout: Duration,
    ) -> Result<Option<Event>, Error> {
        let deadline = Deadline::after(timeout, &Interrupt::default());
        loop {
            match self.next(deadline.remaining())? {
                Some(event) if wanted(&event) => return Ok(Some(event)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// How many events were dropped because nobody read them in time. After a loss, what an
    /// event would have told must be asked with a query.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lock().lost
    }

    /// A subscription, and what feeds it.
    #[must_use]
    pub fn fed() -> (Feed, Self) {
        let queue = Arc::new(Queue::default());
        (Feed(Arc::downgrade(&queue)), Self(queue))
    }
}

/// What feeds one subscription with events.
#[derive(Clone, Debug)]
pub struct Feed(Weak<Queue>);

impl Feed {
    /// Adds an event that came as `size` bytes; whether anybody is still subscribed.
    pub fn push(&self, event: Event, size: usize) -> bool {
        let queue = self.0.upgrade();
        if let Some(queue) = &queue {
            queue.push(event, size);
        }
        queue.is_some()
    }

    /// Whether anybody is still subscribed.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// No more events will come, for this reason.
    pub fn close(&self, error: &Error) {
        if let Some(queue) = self.0.upgrade() {
            queue.close(error);
        }
    }
}

/// The unread events of one subscription.
#[derive(Debug, Default)]
struct Queue {
    unread: Mutex<Unread>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Unread {
    events: VecDeque<(Event, usize)>,
    bytes: usize,
    lost: u64,
    closed: Option<Error>,
}

impl Queue {
    /// Adds an event that came as `size` bytes.
    fn push(&self, event: Event, size: usize) {
        let mut unread = self.lock();
        unread.bytes = unread.bytes.saturating_add(size);
        unread.events.push_back((event, size));
        while unread.events.len() > Subscription::CAPACITY
            || unread.bytes > Subscription::CAPACITY_BYTES
        {
            let Some((_, size)) = unread.events.pop_front() else {
                break;
            };
            unread.bytes = unread.bytes.saturating_sub(size);
            unread.lost = unread.lost.saturating_add(1);
        }
        drop(unread);
        self.arrived.notify_all();
    }

    /// No more events will come.
    fn close(&self, error: &Error) {
        self.lock().closed = Some(error.clone());
        self.arrived.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
