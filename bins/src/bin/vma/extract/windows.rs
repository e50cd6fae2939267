//! Raw images in a directory.

use std::path::{Path, PathBuf};

use fleece_archive_io::{Folder, read_devices, write_devices};
use fleece_vma_format::{self as format, Archive, Device, Header, Tally};

use super::place::Place;
use crate::cli::ExtractArgs;
use crate::failure::{Failure, Result};
use crate::input::open;

/// Where everything goes.
pub(super) struct Places {
    folder: Folder,
    sync: bool,
}

pub(super) fn opened(args: &ExtractArgs) -> Result<Archive<'static>> {
    Ok(open(&args.archive)?.archive()?)
}

/// What the command line says that cannot be done is refused before anything is opened.
pub(super) fn check(args: &ExtractArgs) -> Result<()> {
    if args.format != "raw" {
        return Err(Failure::usage(
            "on Windows, images are raw: convert them with qemu-img",
        ));
    }
    if args.map.is_some() {
        return Err(Failure::usage(
            "on Windows, disks go to a directory: a map is for Linux",
        ));
    }
    Ok(())
}

impl Places {
    /// The directory, with the configurations.
    pub(super) fn create(args: &ExtractArgs, header: &Header) -> Result<Self> {
        let mut folder = Folder::create(&args.directory)?;
        for config in header.configs() {
            folder.write(config.name(), config.data())?;
        }
        Ok(Self {
            folder,
            sync: !args.no_sync,
        })
    }

    /// A device to a file of its own.
    pub(super) fn device(&mut self, device: &Device) -> Result<Option<PathBuf>> {
        Ok(self.folder.device(device)?)
    }

    /// Refused before.
    #[expect(clippy::unused_self, reason = "elsewhere it is used")]
    pub(super) fn mapped(&mut self, _wanted: &[&Device], _path: &Path) -> Result<Vec<Place>> {
        Ok(Vec::new())
    }

    /// The devices that are read to write those that are wanted.
    pub(super) fn reads<'a>(&self, archive: &'a Archive<'_>) -> Vec<&'a Device> {
        read_devices(archive, &self.folder.targets())
    }

    pub(super) fn run(
        &mut self,
        _args: &ExtractArgs,
        archive: &mut Archive<'_>,
        progress: &mut dyn FnMut(&Tally) -> format::Result<()>,
    ) -> format::Result<()> {
        write_devices(archive, &self.folder.targets(), progress)
    }

    /// Makes everything durable and gives it its final name.
    pub(super) fn finish(mut self) -> Result<Option<u64>> {
        self.folder.publish(self.sync)?;
        Ok(None)
    }
}
