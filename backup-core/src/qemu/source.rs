//! A live guest's disk as a [`Source`]: a snapshot view that QEMU exports over NBD.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use fleece_nbd::{Client, Errno, ErrorKind as NbdErrorKind, Pending};

use crate::source::{Extent, Source};
use crate::{Error, ErrorKind};

/// A disk behind an NBD export of a `snapshot-access` node.
#[derive(Debug)]
pub(crate) struct NbdSource {
    name: String,
    client: Client,
    /// Releases that have been sent and not yet answered.
    releasing: Mutex<VecDeque<Pending>>,
}

/// Releases on their way at once; beyond, the oldest is waited for.
const MAX_RELEASING: usize = 16;

impl NbdSource {
    pub(crate) fn new(name: String, client: Client, prime: bool) -> Result<Self, Error> {
        let source = Self {
            name,
            client,
            releasing: Mutex::new(VecDeque::new()),
        };
        if prime {
            source
                .client
                .prime()
                .map_err(|error| source.error("read the first bytes", error))?;
        }
        Ok(source)
    }

    fn error(&self, what: &str, error: fleece_nbd::Error) -> Error {
        // QEMU's snapshot-access answers EACCES once the snapshot is broken, which its NBD server
        // sends as EINVAL; there is no event and no other sign of it.
        let broken = matches!(
            error.kind(),
            NbdErrorKind::Server(Errno::Invalid | Errno::Permission)
        );
        let advice = if broken {
            ": QEMU gave up the point in time because it could not save old data to the fleecing \
             image (full, failing, or slower than --cbw-timeout)"
        } else {
            ""
        };
        let kind = if broken {
            ErrorKind::Snapshot
        } else {
            ErrorKind::Guest
        };
        Error::caused(kind, format!("{}: cannot {what}{advice}", self.name), error)
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
        Ok(extents
            .into_iter()
            .map(|extent| Extent {
                length: extent.length,
                zero: extent.zero,
            })
            .collect())
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
        let mut offset = offset;
        let mut length = length;
        while length > 0 {
            let step = length.min(MAX_TRIM);
            let pending = self
                .client
                .submit_trim(offset, step)
                .map_err(|error| self.error("free what was read", error))?;
            let oldest = {
                let mut releasing = self
                    .releasing
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                releasing.push_back(pending);
                if releasing.len() > MAX_RELEASING {
                    releasing.pop_front()
                } else {
                    None
                }
            };
            if let Some(oldest) = oldest {
                self.await_release(oldest)?;
            }
            offset = offset.saturating_add(step);
            length = length.saturating_sub(step);
        }
        Ok(())
    }

    fn abort(&self) {
        self.client.abort();
    }

    fn finish(&self) -> Result<(), Error> {
        let all = std::mem::take(
            &mut *self
                .releasing
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        all.into_iter()
            .try_for_each(|pending| self.await_release(pending))
    }
}

/// Largest range freed by one request: the protocol's lengths have 32 bits.
const MAX_TRIM: u64 = 1 << 30;
