//! What is written in one place and committed in another.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::target::place::Staged;
use crate::target::share::Shares;

/// A staged archive or index that several hold; whoever takes it ends it for the others.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Option<Box<dyn Staged>>>>);

impl Shared {
    pub(crate) fn new(staged: Box<dyn Staged>) -> Self {
        Self(Arc::new(Mutex::new(Some(staged))))
    }

    pub(crate) fn take(&self) -> Option<Box<dyn Staged>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Write for Shared {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let mut staged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match staged.as_mut() {
            Some(staged) => staged.write(buffer),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    /// Whether it can share blocks with `from`.
    pub(crate) fn can_share(&self, from: &File) -> bool {
        let staged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        staged.as_ref().is_some_and(|staged| staged.can_share(from))
    }
}

impl Shares for Shared {
    fn share(&mut self, from: &File, offset: u64, length: u64) -> io::Result<u64> {
        let mut staged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match staged.as_mut() {
            Some(staged) => staged.share(from, offset, length),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}
