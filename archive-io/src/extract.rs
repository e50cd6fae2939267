//! The devices of an archive on their way to where they go.

use std::io::{self, Read, Write};

use fleece_cancel::CancelToken;
use fleece_vma_format::container::Container;
use fleece_vma_format::recover::{Recovered, ddrescue_map, recover};
use fleece_vma_format::restore::{self, Targets};
use fleece_vma_format::verify::Watch;
use fleece_vma_format::{self as format, Archive, Device, Header, Tally};

use crate::cancellable::Cancellable;
use crate::input::Input;

/// Writes devices of an archive to `targets`, on many threads, reading no more than they need where it can be read
/// anywhere.
///
/// # Errors
/// Those of reading and writing, and that of `progress`.
pub fn write_devices(
    archive: &mut Archive<'_>,
    targets: &Targets<'_>,
    progress: &mut dyn FnMut(&Tally) -> format::Result<()>,
) -> format::Result<()> {
    // Frames with nothing but what is skipped need not be decompressed.
    let is_partial = targets.len() < archive.header().devices().len();
    if is_partial
        && archive.container() == Container::Zstd
        && let Some(archive) = archive.if_random_access()?
    {
        return restore::from_archive(archive, targets, progress);
    }
    match archive.contents() {
        Some(contents) => restore::from_file(contents, targets, progress),
        None => restore::from_stream(&mut archive.reader()?, targets, progress),
    }
}

/// The devices that are read to write `targets`: all, unless the archive can be read anywhere.
#[must_use]
pub fn read_devices<'a>(archive: &'a Archive<'_>, targets: &Targets<'_>) -> Vec<&'a Device> {
    let devices = archive.header().devices().iter();
    let is_read = |device: &&Device| !archive.is_seekable() || targets.contains_key(&device.id());
    devices.filter(is_read).collect()
}

/// A directory in which what is intact of an archive is recovered; dropped before it is finished, it is gone.
pub trait RecoveryFolder {
    /// What fails there.
    type Error;

    /// Writes a configuration.
    ///
    /// # Errors
    /// Whatever fails.
    fn config(&mut self, name: &str, data: &[u8]) -> Result<(), Self::Error>;

    /// Makes the file for a device.
    ///
    /// # Errors
    /// Whatever fails.
    fn device(&mut self, device: &Device) -> Result<(), Self::Error>;

    /// What the devices are written to.
    fn targets(&self) -> Targets<'static>;

    /// Writes a file beside the disks.
    ///
    /// # Errors
    /// Whatever fails.
    fn file(
        &mut self,
        name: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Self::Error>;

    /// Waits until all that was written to the devices is on stable storage, before the files beside them are written.
    ///
    /// # Errors
    /// Whatever fails.
    fn written(&mut self) -> Result<(), Self::Error>;

    /// Gives everything its final name.
    ///
    /// # Errors
    /// Whatever fails.
    fn publish(&mut self) -> Result<(), Self::Error>;
}

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

/// Recovers the configs and disks of an archive into a folder, checked against its index if there is one. `watch` is told
/// what is damaged.
///
/// # Errors
/// An archive whose header cannot be used, and what fails when writing.
pub fn recover_to<F: RecoveryFolder, E: From<format::Error> + From<F::Error>>(
    mut folder: F,
    input: &mut Input,
    index: Option<&mut dyn Read>,
    watch: &mut dyn Watch,
    cancel: &CancelToken,
) -> Result<Recovery, E> {
    let seekable = input.forgiving();
    let stream: Box<dyn Read + '_> = match &seekable {
        Some(zstd) => Box::new(zstd.reader()),
        None => Box::new(input.stream()?),
    };
    let stream = Cancellable::new(stream, cancel);
    let mut found = None;
    let open = |header: &Header| -> Result<Targets<'static>, E> {
        found = Some(header.clone());
        for config in header.configs() {
            folder.config(config.name(), config.data())?;
        }
        for device in header.devices() {
            folder.device(device)?;
        }
        Ok(folder.targets())
    };
    let recovered = recover(stream, index, open, watch)?;
    Ok(finish(folder, found.as_ref(), &recovered)?)
}

/// Writes beside each disk what it lacks.
fn finish<F: RecoveryFolder>(
    mut folder: F,
    header: Option<&Header>,
    recovered: &Recovered,
) -> Result<Recovery, F::Error> {
    folder.written()?;
    let devices = header.into_iter().flat_map(Header::devices);
    let (vmstates, devices): (Vec<_>, Vec<_>) = devices.partition(|device| device.is_vmstate());
    let mut disks = Vec::new();
    for device in devices {
        let (name, size) = (device.name().to_owned(), device.size());
        let map = format!("disk-{name}.map");
        let ranges = || recovered.lost(device.id());
        let lengths = ranges().map(|range| range.end.saturating_sub(range.start));
        let lost = lengths.fold(0, u64::saturating_add);
        folder.file(&map, &mut |mut out| ddrescue_map(&mut out, size, ranges()))?;
        disks.push(RecoveredDisk {
            name,
            size,
            lost,
            map,
        });
    }
    folder.publish()?;
    Ok(Recovery {
        disks,
        has_vmstate: !vmstates.is_empty(),
        damages: recovered.damages(),
    })
}
