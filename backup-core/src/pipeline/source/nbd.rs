//! A disk behind an NBD export as a [`Source`].

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleece_nbd::{Client, Pending};

use crate::job::cancel::CancelToken;
use crate::pipeline::source::{Extent, Source};
use crate::report::error::{Error, ErrorKind};

/// What an error of the server means, and what more there is to say of it.
pub(crate) type Meaning = fn(&fleece_nbd::Error) -> (ErrorKind, &'static str);

/// An exported disk at one instant, whose released ranges the server frees.
#[derive(Debug)]
pub(crate) struct NbdSource {
    name: String,
    client: Client,
    meaning: Meaning,
    /// No request crosses a multiple of this.
    step: Option<u64>,
    /// Whether the server takes a discard for "not needed any more", and not for "to be zeroed".
    releases: bool,
    /// Releases that have been sent and not yet answered.
    releasing: Mutex<VecDeque<Pending>>,
}

/// How often a wait looks whether the job is cancelled.
const SLICE: Duration = Duration::from_millis(100);

/// Releases on their way at once; beyond, the oldest is waited for.
const MAX_RELEASING: usize = 16;

/// Largest range freed by one request: the protocol's lengths have 32 bits. A multiple of every cluster
/// size.
const MAX_TRIM: u64 = 1 << 30;

impl NbdSource {
    pub(crate) fn new(name: String, client: Client, meaning: Meaning) -> Self {
        Self {
            name,
            releases: client.can_trim(),
            client,
            meaning,
            step: None,
            releasing: Mutex::new(VecDeque::new()),
        }
    }

    /// Discards nothing, for a server that would lose data.
    #[must_use]
    pub(crate) fn keep(self) -> Self {
        Self {
            releases: false,
            ..self
        }
    }

    /// With no read, and no question for zeroes that is to be believed, across a multiple of `step`, for a
    /// server that answers those wrongly.
    #[must_use]
    pub(crate) fn in_steps(self, step: Option<u64>) -> Self {
        Self { step, ..self }
    }

    /// One big read first, which makes later ones faster, see [`Client::submit_prime`].
    pub(crate) fn prime(&self, cancel: &CancelToken) -> Result<(), Error> {
        let failed = |error| self.error("read the first bytes", error);
        let Some(pending) = self.client.submit_prime().map_err(failed)? else {
            return Ok(());
        };
        while pending.wait_timeout(SLICE).map_err(failed)?.is_none() {
            if let Some(reason) = cancel.reason() {
                return Err(Error::cancelled(reason));
            }
        }
        Ok(())
    }

    /// Sends all parts of a read before it waits for the first, so that this costs the server's time only.
    fn read_in_steps(
        &self,
        offset: u64,
        mut buffer: Vec<u8>,
        step: u64,
    ) -> Result<Vec<u8>, fleece_nbd::Error> {
        let end = offset.saturating_add(buffer.len() as u64);
        let mut under_way = Vec::new();
        let mut at = offset;
        while at < end {
            let beyond = at.checked_rem(step).unwrap_or_default();
            let length = step.saturating_sub(beyond).min(end.saturating_sub(at));
            let part = vec![0; usize::try_from(length).unwrap_or_default()];
            under_way.push(self.client.submit_read(at, part)?);
            at = at.saturating_add(length);
        }
        buffer.clear();
        for pending in under_way {
            buffer.extend_from_slice(&pending.wait()?);
        }
        Ok(buffer)
    }

    /// Zeroes only where a question within one step has found them; of data it need not be asked twice,
    /// since a read will tell.
    fn block_status_in_steps(
        &self,
        offset: u64,
        length: u64,
        step: u64,
    ) -> Result<Vec<fleece_nbd::Extent>, fleece_nbd::Error> {
        let mut extents = Vec::new();
        let mut at = offset;
        for extent in self.client.block_status(offset, length)? {
            if extent.zero {
                extents.extend(self.client.block_status_in_steps(at, extent.length, step)?);
            } else {
                extents.push(extent);
            }
            at = at.saturating_add(extent.length);
        }
        Ok(extents)
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
        let extents = match self.step {
            Some(step) => self.block_status_in_steps(offset, length, step),
            None => self.client.block_status(offset, length),
        };
        let extents = extents.map_err(|error| self.error("ask for the block status", error))?;
        let extent = |extent: fleece_nbd::Extent| Extent {
            length: extent.length,
            zero: extent.zero,
        };
        Ok(extents.into_iter().map(extent).collect())
    }

    fn read(&self, offset: u64, buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
        let read = match self.step {
            Some(step) => self.read_in_steps(offset, buffer, step),
            None => self
                .client
                .submit_read(offset, buffer)
                .and_then(Pending::wait),
        };
        read.map_err(|error| self.error(&format!("read at {offset}"), error))
    }

    fn release(&self, offset: u64, length: u64) -> Result<(), Error> {
        if !self.releases {
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
