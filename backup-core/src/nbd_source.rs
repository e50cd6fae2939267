//! A disk behind an NBD export as a [`Source`].

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fleece_nbd::{Client, Pending};

use crate::source::{Extent, Source};
use crate::{Error, ErrorKind};

/// What an error of the server means, and what more there is to say of it.
pub(crate) type Meaning = fn(&fleece_nbd::Error) -> (ErrorKind, &'static str);

/// An exported disk at one instant, whose released ranges the server frees.
#[derive(Debug)]
pub(crate) struct NbdSource {
    name: String,
    client: Client,
    meaning: Meaning,
    /// Releases that have been sent and not yet answered.
    releasing: Mutex<VecDeque<Pending>>,
}

/// Releases on their way at once; beyond, the oldest is waited for.
const MAX_RELEASING: usize = 16;

/// Largest range freed by one request: the protocol's lengths have 32 bits. A multiple of every cluster
/// size.
const MAX_TRIM: u64 = 1 << 30;

impl NbdSource {
    pub(crate) fn new(name: String, client: Client, meaning: Meaning) -> Self {
        Self {
            name,
            client,
            meaning,
            releasing: Mutex::new(VecDeque::new()),
        }
    }

    /// One big read first, which makes later ones faster, see [`Client::prime`].
    pub(crate) fn prime(&self) -> Result<(), Error> {
        self.client
            .prime()
            .map_err(|error| self.error("read the first bytes", error))
    }

    fn error(&self, what: &str, error: fleece_nbd::Error) -> Error {
        let (kind, more) = (self.meaning)(&error);
        Error::caused(kind, format!("{}: cannot {what}{more}", self.name), error)
    }

    fn releasing(&self) -> MutexGuard<'_, VecDeque<Pending>> {
        self.releasing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn send_release(&self, offset: u64, length: u64) -> Result<(), Error> {
        let pending = self
            .client
            .submit_trim(offset, length)
            .map_err(|error| self.error("free what was read", error))?;
        let oldest = {
            let mut releasing = self.releasing();
            releasing.push_back(pending);
            if releasing.len() > MAX_RELEASING {
                releasing.pop_front()
            } else {
                None
            }
        };
        oldest.map_or(Ok(()), |oldest| self.await_release(oldest))
    }

    fn await_release(&self, pending: Pending) -> Result<(), Error> {
        pending
            .wait()
            .map(drop)
            .map_err(|error| self.error("free what was read", error))
    }
}

impl Source for NbdSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.client.size()
    }

    fn block_status(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        let extents = self
            .client
            .block_status(offset, length)
            .map_err(|error| self.error("ask for the block status", error))?;
        let extent = |extent: fleece_nbd::Extent| Extent {
            length: extent.length,
            zero: extent.zero,
        };
        Ok(extents.into_iter().map(extent).collect())
    }

    fn read(&self, offset: u64, buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
        self.client
            .submit_read(offset, buffer)
            .and_then(Pending::wait)
            .map_err(|error| self.error(&format!("read at {offset}"), error))
    }

    fn release(&self, offset: u64, length: u64) -> Result<(), Error> {
        if !self.client.can_trim() {
            return Ok(());
        }
        let mut rest = offset..offset.saturating_add(length);
        while !rest.is_empty() {
            let step = rest.end.saturating_sub(rest.start).min(MAX_TRIM);
            self.send_release(rest.start, step)?;
            rest.start = rest.start.saturating_add(step);
        }
        Ok(())
    }

    fn abort(&self) {
        self.client.abort();
    }

    fn finish(&self) -> Result<(), Error> {
        let all = std::mem::take(&mut *self.releasing());
        all.into_iter()
            .try_for_each(|pending| self.await_release(pending))
    }
}
