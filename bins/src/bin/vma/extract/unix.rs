//! Images of any kind, in a directory or where a map says.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fleece_backup_core::restore::{Directory, Extraction};
use fleece_bins::signals;
use fleece_storage::VolumeFormat;
use fleece_vma_format::container::Container;
use fleece_vma_format::{self as format, Archive, Device, Header, Tally, map};

use super::place::Place;
use crate::cli::ExtractArgs;
use crate::copy::{Make, open_seekable};
use crate::failure::{Failure, Result};
use crate::input::open;

/// Where everything goes.
pub(super) struct Places {
    directory: Directory,
    extraction: Extraction,
    format: VolumeFormat,
    written: Option<Arc<AtomicU64>>,
    sync: bool,
}

/// The archive, or a copy of it, where that spares reading all of it.
pub(super) fn opened(args: &ExtractArgs) -> Result<Archive<'static>> {
    let to_stdout = args.directory.as_os_str() == "-";
    let mut input = open(&args.archive)?;
    match input.is_file() && args.map.is_none() && (to_stdout || args.drives.is_some()) {
        true if to_stdout => open_seekable(&args.archive, &args.copy, Make::Needed),
        true => open_seekable(&args.archive, &args.copy, Make::Asked),
        false => Ok(input.archive()?),
    }
}

/// The format of the images; what is written by others' programs comes with the commands.
fn format(args: &ExtractArgs) -> Result<VolumeFormat> {
    match args.format.as_str() {
        "raw" => Ok(VolumeFormat::Raw),
        "qcow2" => Ok(VolumeFormat::Qcow2),
        other @ ("vmdk" | "vhdx" | "vdi" | "vpc" | "vhd" | "qed" | "parallels") => {
            let other = if other == "vhd" { "vpc" } else { other };
            let archive = args.archive.to_string_lossy();
            let archive = shlex::try_quote(&archive).unwrap_or_default();
            Err(Failure::usage(format!(
                "{other} images are written by qemu-img: `vma serve {archive} SOCKET`, and then for each URI that it prints \
                 `qemu-img convert -f raw -O {other} URI DISK`; or extract raw images, and convert those"
            )))
        }
        other => Err(Failure::usage(format!(
            "there is no image format {other}: use raw or qcow2"
        ))),
    }
}

/// What the command line says that cannot be done is refused before anything is opened.
pub(super) fn check(args: &ExtractArgs) -> Result<()> {
    format(args).map(drop)
}

impl Places {
    /// The directory, with the configurations.
    pub(super) fn create(args: &ExtractArgs, header: &Header) -> Result<Self> {
        let directory = Directory::create(&args.directory)?;
        for config in header.configs() {
            directory.write(config.name(), config.data())?;
        }
        Ok(Self {
            directory,
            extraction: Extraction::new(!args.no_sync, signals::token()),
            format: format(args)?,
            written: args.in_place.then(Arc::default),
            sync: !args.no_sync,
        })
    }

    /// A device to a file of its own.
    pub(super) fn device(&mut self, device: &Device) -> Result<Option<PathBuf>> {
        self.device_as(device, self.format)
    }

    fn device_as(&mut self, device: &Device, format: VolumeFormat) -> Result<Option<PathBuf>> {
        Ok(self
            .extraction
            .to_directory(device, format, &mut self.directory)?)
    }

    /// Every device to where the map says.
    pub(super) fn mapped(&mut self, wanted: &[&Device], path: &Path) -> Result<Vec<Place>> {
        let cannot_open = |e| Failure::io(format!("unable to open fifo {}", path.display()), e);
        // Both wait for whoever says where the disks go.
        let records = signals::at_once(|| {
            let file = File::open(path).map_err(cannot_open)?;
            map::read(BufReader::new(file)).map_err(Failure::from)
        })?;
        let mut places = Vec::new();
        for device in wanted.iter().filter(|device| device.is_vmstate()) {
            let path = self.device_as(device, VolumeFormat::Raw)?;
            places.push(Place::of(device, path.as_deref()));
        }
        let written = self.written.as_ref();
        let mapped: Result<Vec<_>> = self.extraction.to_mapped(wanted, records, written);
        for (device, path) in mapped? {
            places.push(Place::at(device, path));
        }
        Ok(places)
    }

    /// The devices that are read to write those that are wanted.
    pub(super) fn reads<'a>(&self, archive: &'a Archive<'_>) -> Vec<&'a Device> {
        self.extraction.reads(archive)
    }

    pub(super) fn run(
        &mut self,
        args: &ExtractArgs,
        archive: &mut Archive<'_>,
        progress: &mut dyn FnMut(&Tally) -> format::Result<()>,
    ) -> format::Result<()> {
        if archive.container() == Container::Plain && archive.is_seekable() {
            // What cannot be opened once more is read all the same.
            let file = open(&args.archive)
                .ok()
                .and_then(|input| input.shared_file());
            file.into_iter()
                .for_each(|file| self.extraction.share_with(file));
        }
        self.extraction.run(archive, progress)
    }

    /// Makes everything durable and gives it its final name. The result is how many bytes were written, if that is counted.
    pub(super) fn finish(mut self) -> Result<Option<u64>> {
        self.extraction.finish()?;
        self.directory.publish(self.sync)?;
        let written = self.written;
        Ok(written.map(|written| written.load(Ordering::Relaxed)))
    }
}
