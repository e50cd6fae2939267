//! Getting out of a damaged archive all that is intact, into a directory.

use std::io::Read;
use std::path::Path;

use fleece_storage::VolumeFormat;
use fleece_vma_format::recover::{Recovered, ddrescue_map, recover};
use fleece_vma_format::restore::Targets;
use fleece_vma_format::verify::Watch;
use fleece_vma_format::{self as format, Header};

use super::directory::Directory;
use super::extraction::Extraction;
use crate::input::{Cancellable, Input};
use crate::job::cancel::CancelToken;
use crate::report::error::Error;

/// A disk of which all that is intact was recovered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveredDisk {
    /// The device's name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// How many of them are lost.
    pub lost: u64,
    /// The name of the file that says which, in the format of GNU ddrescue.
    pub map: String,
}

/// What was recovered.
#[derive(Debug)]
#[non_exhaustive]
pub struct Recovery {
    /// The disks; RAM state, whose length no archive tells, is none.
    pub disks: Vec<RecoveredDisk>,
    /// Whether there is RAM state.
    pub has_vmstate: bool,
    /// How many damages there are.
    pub damages: u64,
}

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
    let mut job = Job {
        directory: Directory::create(directory)?,
        extraction: Extraction::new(true, cancel),
        header: None,
    };
    let seekable = input.forgiving();
    let stream: Box<dyn Read + '_> = match &seekable {
        Some(zstd) => Box::new(zstd.reader()),
        None => Box::new(input.stream()?),
    };
    let stream = Cancellable::new(stream, cancel);
    let open = |header: &Header| job.prepare(header).map_err(E::from);
    let recovered = recover(stream, index, open, watch)?;
    Ok(job.finish(&recovered)?)
}

/// Where everything goes.
struct Job {
    directory: Directory,
    extraction: Extraction,
    header: Option<Header>,
}

impl Job {
    fn prepare(&mut self, header: &Header) -> Result<Targets<'static>, Error> {
        self.header = Some(header.clone());
        for config in header.configs() {
            self.directory.write(config.name(), config.data())?;
        }
        for device in header.devices() {
            self.extraction
                .to_directory(device, VolumeFormat::Raw, &mut self.directory)?;
        }
        Ok(self.extraction.targets())
    }

    /// Writes beside each disk what it lacks.
    fn finish(mut self, recovered: &Recovered) -> Result<Recovery, Error> {
        self.extraction.finish()?;
        let devices = self.header.iter().flat_map(Header::devices);
        let (vmstates, devices): (Vec<_>, Vec<_>) = devices.partition(|device| device.is_vmstate());
        let mut disks = Vec::new();
        for device in devices {
            let (name, size) = (device.name().to_owned(), device.size());
            let (map, mut lost) = (format!("disk-{name}.map"), 0_u64);
            let ranges = recovered.lost(device.id()).inspect(|range| {
                lost = lost.saturating_add(range.end.saturating_sub(range.start));
            });
            self.directory
                .write_with(&map, |out| ddrescue_map(out, size, ranges))?;
            disks.push(RecoveredDisk {
                name,
                size,
                lost,
                map,
            });
        }
        self.directory.publish(true)?;
        Ok(Recovery {
            disks,
            has_vmstate: !vmstates.is_empty(),
            damages: recovered.damages(),
        })
    }
}
