//! The requests that wait for their replies.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::coverage::Coverage;
use crate::error::{Error, ErrorKind};
use crate::extent::Extent;

/// What a request wants, and what has come of it so far.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Fill `buffer` with what is at `offset`.
    Read {
        offset: u64,
        buffer: Vec<u8>,
        filled: Coverage,
    },
    /// Nothing to bring back but success: a write, a trim, a flush.
    NoData,
    /// Extents of the metadata context with this id.
    Status {
        context: Option<u32>,
        extents: Vec<Extent>,
    },
}

impl Operation {
    pub(crate) fn read(offset: u64, buffer: Vec<u8>) -> Self {
        Self::Read {
            offset,
            buffer,
            filled: Coverage::default(),
        }
    }

    pub(crate) fn status(context: Option<u32>) -> Self {
        Self::Status {
            context,
            extents: Vec::new(),
        }
    }
}

/// How a request ended; the operation carries the results.
pub(crate) type Outcome = Result<Operation, Error>;

/// A request of which the reply is not complete.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    /// The first error chunk of a reply that goes on.
    pub(crate) error: Option<Error>,
    done: Sender<Outcome>,
}

impl Request {
    pub(crate) fn finish(self, outcome: Result<(), Error>) {
        let outcome = match (self.error, outcome) {
            (Some(error), Ok(())) | (_, Err(error)) => Err(error),
            (None, Ok(())) => Ok(self.operation),
        };
        // Nobody listens when the caller has lost interest.
        let _ = self.done.send(outcome);
    }
}

/// The requests of all connections of a client, by cookie.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next_cookie: u64,
    waiting: HashMap<u64, Request>,
    failure: Option<Error>,
}

impl Requests {
    /// Enters a request; its outcome will come through the channel. Fails once the client has failed.
    pub(crate) fn add(&self, operation: Operation) -> Result<(u64, Receiver<Outcome>), Error> {
        let mut table = self.table();
        if let Some(failure) = &table.failure {
            return Err(failure.clone());
        }
        let cookie = table.next_cookie;
        table.next_cookie = cookie.wrapping_add(1);
        let (done, outcome) = bounded(1);
        table.waiting.insert(
            cookie,
            Request {
                operation,
                error: None,
                done,
            },
        );
        Ok((cookie, outcome))
    }

    /// Takes a request out, for as long as one piece of its reply is being received.
    pub(crate) fn take(&self, cookie: u64) -> Result<Request, Error> {
        self.table()
            .waiting
            .remove(&cookie)
            .ok_or_else(|| Error::protocol(format!("a reply with the unknown cookie {cookie}")))
    }

    /// Puts a request back, to wait for the rest of its reply.
    pub(crate) fn put_back(&self, cookie: u64, request: Request) {
        let mut table = self.table();
        match table.failure.clone() {
            Some(failure) => request.finish(Err(failure)),
            None => {
                table.waiting.insert(cookie, request);
            }
        }
    }

    /// Fails every waiting and every later request. Only the first failure counts.
    pub(crate) fn fail(&self, failure: Error) {
        let mut table = self.table();
        let failure = table.failure.get_or_insert(failure).clone();
        for (_, request) in table.waiting.drain() {
            request.finish(Err(failure.clone()));
        }
    }

    /// Why the client failed.
    pub(crate) fn failure(&self) -> Error {
        self.table().failure.clone().unwrap_or_else(|| {
            Error::new(
                ErrorKind::Disconnected,
                "the connection to the NBD server is closed",
            )
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is consistent after each statement above, so a panic elsewhere does no harm.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
