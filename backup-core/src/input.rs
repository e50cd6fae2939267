//! The archive that is restored: a file, or a pipe.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use fleece_vma_format::container::{self, Stream};
use fleece_vma_format::{Header, Reader};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind};
use crate::restore::failure::archive_error;

/// An archive whose header has been read.
pub(crate) struct Input {
    pub(crate) reader: Reader<Stream<'static>>,
    /// How many bytes it has, compressed as it is; unknown for a pipe.
    pub(crate) size: Option<u64>,
}

impl Input {
    /// Opens `archive`, `-` being standard input.
    pub(crate) fn open(archive: &Path, cancel: &CancelToken) -> Result<Self, Error> {
        let failed = |error| {
            let message = format!("cannot open the archive {}", archive.display());
            Error::caused(ErrorKind::Archive, message, error)
        };
        let file = if archive.as_os_str() == "-" {
            File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?)
        } else {
            File::open(archive).map_err(failed)?
        };
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let size = metadata.is_file().then_some(metadata.len());
        let watched = Watched {
            file,
            may_wait: size.is_none(),
            cancel: cancel.clone(),
        };
        let reader = container::open(watched).and_then(Reader::new);
        Ok(Self {
            reader: reader.map_err(|error| archive_error(error, cancel))?,
            size,
        })
    }

    pub(crate) fn header(&self) -> &Header {
        self.reader.header()
    }
}

/// Reads that end when the job is cancelled, also those from a pipe into which nobody writes.
struct Watched {
    file: File,
    may_wait: bool,
    cancel: CancelToken,
}

/// How long it may take until a cancelled job is noticed.
const INTERVAL: Duration = Duration::from_millis(100);

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(reason) = self.cancel.reason() {
                return Err(io::Error::other(reason.to_string()));
            }
            if !self.may_wait {
                return self.file.read(buffer);
            }
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
