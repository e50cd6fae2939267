//! A target that takes no more than a given rate.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::job::cancel::CancelToken;
use crate::pace::rate::RateLimit;
use crate::report::error::Error;
use crate::target::place::{Staged, Target};

/// Another target, slowed down to a rate that others may share.
#[derive(Debug)]
pub struct ThrottledTarget<T> {
    inner: T,
    limit: Arc<RateLimit>,
    cancel: CancelToken,
}

impl<T> ThrottledTarget<T> {
    /// Waits for nothing any more when `cancel` has fired.
    #[must_use]
    pub fn new(inner: T, limit: Arc<RateLimit>, cancel: &CancelToken) -> Self {
        Self {
            inner,
            limit,
            cancel: cancel.clone(),
        }
    }
}

impl<T: Target> Target for ThrottledTarget<T> {
    fn path(&self) -> Option<&Path> {
        self.inner.path()
    }

    fn begin(&self, most: u64) -> Result<Box<dyn Staged>, Error> {
        Ok(Box::new(Throttled {
            inner: self.inner.begin(most)?,
            limit: Arc::clone(&self.limit),
            cancel: self.cancel.clone(),
        }))
    }
}

#[derive(Debug)]
struct Throttled {
    inner: Box<dyn Staged>,
    limit: Arc<RateLimit>,
    cancel: CancelToken,
}

impl Write for Throttled {
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

impl Staged for Throttled {
    fn sync(&mut self) -> Result<(), Error> {
        self.inner.sync()
    }

    fn commit(self: Box<Self>) -> Result<Option<String>, Error> {
        self.inner.commit()
    }
}
