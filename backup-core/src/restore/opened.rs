//! The archive that is restored, which may come through a pipe.

use std::fs::File;
use std::path::Path;

use fleece_encryption::Identities;
use fleece_vma_format::container::Container;
use fleece_vma_format::{Archive, Header};

use super::failure::archive_error;
use crate::input::Input;
use crate::job::cancel::CancelToken;
use crate::report::error::Error;

/// An archive whose header has been read.
pub(super) struct Opened {
    pub(super) archive: Archive<'static>,
    /// How many bytes it has, compressed as it is; unknown for a pipe.
    pub(super) size: Option<u64>,
    /// Its file, if blocks of that are blocks of disks.
    pub(super) file: Option<File>,
}

impl Opened {
    /// Opens `archive`, `-` being standard input.
    pub(super) fn open(
        archive: &Path,
        identities: &Identities,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let mut input = Input::open(archive, cancel)?.with_identities(identities);
        let (size, file) = (input.size(), input.shared_file());
        let archive = input.archive();
        let archive = archive.map_err(|error| archive_error(error, cancel))?;
        let is_plain = archive.container() == Container::Plain && archive.is_seekable();
        Ok(Self {
            archive,
            size,
            file: file.filter(|_| is_plain),
        })
    }

    pub(super) const fn header(&self) -> &Header {
        self.archive.header()
    }
}
