//! A request that was sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::connection::Shared;
use super::requests::{Operation, Outcome};
use crate::error::{Error, ErrorKind};

/// A request that was sent and whose result has not been fetched yet.
///
/// Dropping it does not take the request back; its result is thrown away when it comes.
#[derive(Debug)]
#[must_use = "the result of a request comes only when it is waited for"]
pub struct Pending {
    shared: Arc<Shared>,
    outcome: Receiver<Outcome>,
    deadline: Option<Instant>,
}

impl Pending {
    pub(super) fn new(
        shared: Arc<Shared>,
        outcome: Receiver<Outcome>,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            shared,
            outcome,
            deadline,
        }
    }

    /// Waits for the reply and returns the buffer of a read, filled, or an empty one.
    ///
    /// # Errors
    /// [`ErrorKind::Server`] with the server's error number; [`ErrorKind::Timeout`] when the
    /// client's timeout is over, and then the client is disconnected;
    /// [`ErrorKind::Disconnected`] or [`ErrorKind::Protocol`] when the connection is gone.
    pub fn wait(self) -> Result<Vec<u8>, Error> {
        self.wait_for_operation().map(into_buffer)
    }

    /// As [`Pending::wait`], for `limit` at most: `None` if the request is not done by then, and may be waited for
    /// again. What was returned once does not come a second time.
    ///
    /// # Errors
    /// Those of [`Pending::wait`].
    pub fn wait_timeout(&self, limit: Duration) -> Result<Option<Vec<u8>>, Error> {
        let until = Instant::now().checked_add(limit);
        match (until, self.deadline) {
            (Some(until), deadline) if deadline.is_none_or(|deadline| until < deadline) => {
                match self.outcome.recv_deadline(until) {
                    Ok(outcome) => outcome.map(into_buffer).map(Some),
                    Err(RecvTimeoutError::Timeout) => Ok(None),
                    Err(RecvTimeoutError::Disconnected) => Err(self.shared.requests.failure()),
                }
            }
            _ => self.finish().map(into_buffer).map(Some),
        }
    }

    pub(super) fn wait_for_operation(self) -> Outcome {
        self.finish()
    }

    fn finish(&self) -> Outcome {
        let received = match self.deadline {
            Some(deadline) => self.outcome.recv_deadline(deadline),
            None => self.outcome.recv().map_err(RecvTimeoutError::from),
        };
        match received {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Disconnected) => Err(self.shared.requests.failure()),
            Err(RecvTimeoutError::Timeout) => {
                // The reader may be writing into the buffer, and the server may answer much
                // later: only closing the connection makes sure that this request is over.
                self.shared.fail(Error::new(
                    ErrorKind::Timeout,
                    "the NBD server did not answer a request in time; the connection was closed",
                ));
                Err(self.shared.requests.failure())
            }
        }
    }
}

fn into_buffer(operation: Operation) -> Vec<u8> {
    match operation {
        Operation::Read { buffer, .. } => buffer,
        Operation::NoData | Operation::Status { .. } => Vec::new(),
    }
}
