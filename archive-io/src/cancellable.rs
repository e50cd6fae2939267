//! Reads that end when the job is cancelled.

use std::fs::File;
use std::io::{self, Read};
#[cfg(unix)]
use std::time::Duration;

use fleece_cancel::CancelToken;
use fleece_vma_format::ReadAt;
#[cfg(unix)]
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// An input whose reads are errors once a job is cancelled.
#[derive(Debug)]
pub struct Cancellable<S> {
    input: S,
    cancel: CancelToken,
}

impl<S> Cancellable<S> {
    /// Wraps `input`.
    #[must_use]
    pub fn new(input: S, cancel: &CancelToken) -> Self {
        Self {
            input,
            cancel: cancel.clone(),
        }
    }
}

/// Not `Interrupted`, which readers take as a request to try again.
fn go_on(cancel: &CancelToken) -> io::Result<()> {
    match cancel.reason() {
        None => Ok(()),
        Some(reason) => Err(io::Error::other(reason.to_string())),
    }
}

impl<S: Read> Read for Cancellable<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        go_on(&self.cancel)?;
        self.input.read(buffer)
    }
}

impl<S: ReadAt> ReadAt for Cancellable<S> {
    fn size(&self) -> io::Result<u64> {
        self.input.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        go_on(&self.cancel)?;
        self.input.read_exact_at(buffer, offset)
    }
}

/// A pipe, into which perhaps nobody writes.
#[derive(Debug)]
pub(crate) struct Pipe {
    file: File,
    cancel: CancelToken,
}

/// How long it may take until a cancelled job is noticed.
#[cfg(unix)]
const INTERVAL: Duration = Duration::from_millis(100);

impl Pipe {
    pub(crate) fn new(file: File, cancel: &CancelToken) -> Self {
        Self {
            file,
            cancel: cancel.clone(),
        }
    }
}

#[cfg(unix)]
impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            go_on(&self.cancel)?;
            let interval = Timespec::try_from(INTERVAL).map_err(io::Error::other)?;
            let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut fds, Some(&interval)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.file.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Elsewhere nobody can tell whether there is something to be read: a job that is cancelled ends with the next bytes, or
/// with the process.
#[cfg(not(unix))]
impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        go_on(&self.cancel)?;
        self.file.read(buffer)
    }
}
