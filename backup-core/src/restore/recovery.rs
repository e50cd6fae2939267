//! Getting out of a damaged archive all that is intact, into a directory.

use std::io::{self, Read, Write};
use std::path::Path;

use fleece_archive_io::{Input, Recovery, RecoveryFolder, recover_to};
use fleece_storage::VolumeFormat;
use fleece_vma_format::restore::Targets;
use fleece_vma_format::verify::Watch;
use fleece_vma_format::{self as format, Device};

use super::directory::Directory;
use super::extraction::Extraction;
use crate::job::cancel::CancelToken;
use crate::report::error::Error;

/// Recovers the configs and disks of an archive into a new directory, checked against its index if there is one.
/// `watch` is told what is damaged.
///
/// # Errors
/// An archive whose header cannot be used, and what fails when writing; there is no directory then.
pub fn recover_into<E: From<format::Error> + From<Error>>(
    directory: &Path,
    input: &mut Input,
    index: Option<&mut dyn Read>,
    watch: &mut dyn Watch,
    cancel: &CancelToken,
) -> Result<Recovery, E> {
    let folder = Folder {
        directory: Directory::create(directory)?,
        extraction: Extraction::new(true, cancel),
    };
    recover_to(folder, input, index, watch, cancel)
}

/// Where everything goes.
struct Folder {
    directory: Directory,
    extraction: Extraction,
}

impl RecoveryFolder for Folder {
    type Error = Error;

    fn config(&mut self, name: &str, data: &[u8]) -> Result<(), Error> {
        self.directory.write(name, data)
    }

    fn device(&mut self, device: &Device) -> Result<(), Error> {
        let raw = VolumeFormat::Raw;
        self.extraction
            .to_directory(device, raw, &mut self.directory)
            .map(drop)
    }

    fn targets(&self) -> Targets<'static> {
        self.extraction.targets()
    }

    fn file(
        &mut self,
        name: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        self.directory.write_with(name, |out| write(out))
    }

    fn written(&mut self) -> Result<(), Error> {
        self.extraction.finish()
    }

    fn publish(&mut self) -> Result<(), Error> {
        self.directory.publish(true)
    }
}
