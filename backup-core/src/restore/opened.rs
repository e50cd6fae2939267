//! The archive that is restored, which may come through a pipe.

use std::path::Path;

use fleece_vma_format::container::Stream;
use fleece_vma_format::{Header, Reader};

use super::failure::archive_error;
use crate::input::Input;
use crate::job::cancel::CancelToken;
use crate::report::error::Error;

/// An archive whose header has been read.
pub(super) struct Opened {
    pub(super) reader: Reader<Stream<'static>>,
    /// How many bytes it has, compressed as it is; unknown for a pipe.
    pub(super) size: Option<u64>,
}

impl Opened {
    /// Opens `archive`, `-` being standard input.
    pub(super) fn open(archive: &Path, cancel: &CancelToken) -> Result<Self, Error> {
        let mut input = Input::open(archive, cancel)?;
        let size = input.size();
        let reader = input.stream().and_then(Reader::new);
        Ok(Self {
            reader: reader.map_err(|error| archive_error(error, cancel))?,
            size,
        })
    }

    pub(super) const fn header(&self) -> &Header {
        self.reader.header()
    }
}
