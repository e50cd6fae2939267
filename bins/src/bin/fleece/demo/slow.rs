//! A target as slow as an old network.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fleece_backup_core::{CancelToken, Error, RateLimit, Staged, Target};

/// Another target, slowed down to a rate that others may share.
#[derive(Debug)]
pub(super) struct SlowTarget<T> {
    inner: T,
    limit: Arc<RateLimit>,
    cancel: CancelToken,
}

impl<T> SlowTarget<T> {
    /// Waits for nothing any more when `cancel` has fired.
    pub(super) fn new(inner: T, limit: Arc<RateLimit>, cancel: &CancelToken) -> Self {
        Self {
            inner,
            limit,
            cancel: cancel.clone(),
        }
    }
}

impl<T: Target> Target for SlowTarget<T> {
    fn path(&self) -> Option<&Path> {
        self.inner.path()
    }

    fn begin(&self) -> Result<Box<dyn Staged>, Error> {
        Ok(Box::new(Slow {
            inner: self.inner.begin()?,
            limit: Arc::clone(&self.limit),
            cancel: self.cancel.clone(),
        }))
    }
}

#[derive(Debug)]
struct Slow {
    inner: Box<dyn Staged>,
    limit: Arc<RateLimit>,
    cancel: CancelToken,
}

impl Write for Slow {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        let wait = self.limit.book(count as u64, Instant::now());
        // Nothing is ever received: it ends by the time, or by the token.
        let _ = self.cancel.fired().recv_timeout(wait);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Staged for Slow {
    fn sync(&mut self) -> Result<(), Error> {
        self.inner.sync()
    }

    fn commit(self: Box<Self>) -> Result<Option<String>, Error> {
        self.inner.commit()
    }
}
