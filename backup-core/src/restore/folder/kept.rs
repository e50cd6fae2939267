//! Images that are in the folder already, of which only what differs is written.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use fleece_storage::VolumeFormat;
use fleece_storage::block::ImageLock;

use super::super::copy::{Disk, To};
use super::super::failure::target_error;
use super::super::mapped;
use super::super::plan::Found;
use super::machine::Image;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};

/// The format of the image that the folder has of a device, if it has one; of two, the one that is asked for.
pub(super) fn format(folder: &Path, name: &str, asked: VolumeFormat) -> VolumeFormat {
    let is_there = |format: &VolumeFormat| folder.join(file(name, *format)).exists();
    let formats = [asked, VolumeFormat::Raw, VolumeFormat::Qcow2];
    formats.into_iter().find(is_there).unwrap_or(asked)
}

/// What an image of the folder is called.
pub(super) fn file(name: &str, format: VolumeFormat) -> String {
    format!("disk-{name}.{format}")
}

/// Opens an image that nobody else uses meanwhile. Nothing is changed yet.
pub(super) fn open(
    folder: &Path,
    found: &Found,
    image: &Image,
    written: &Arc<AtomicU64>,
) -> Result<(Disk, ImageLock), Error> {
    let path = path(folder, found, image)?;
    let failed = |error| {
        let message = format!("cannot write into {}", path.display());
        Error::caused(ErrorKind::Target, message, error)
    };
    let lock = ImageLock::for_writing(&path).map_err(failed)?;
    let disk = mapped::open_image(&path, image.format, found.device.size());
    let disk = Disk {
        device: found.device.clone(),
        to: To::Old {
            disk: disk.map_err(|error| match error {
                mapped::NotOpened::Size(error) => error,
                mapped::NotOpened::Image(error) => target_error(error),
            })?,
            written: Arc::clone(written),
        },
    };
    Ok((disk, lock))
}

/// Where the image is: a file of this folder, and no link to somewhere else.
pub(super) fn path(folder: &Path, found: &Found, image: &Image) -> Result<PathBuf, Error> {
    let path = folder.join(&image.file);
    if fs::symlink_metadata(&path).is_ok_and(|there| there.is_file()) {
        return Ok(path);
    }
    let name = found.device.name();
    let message = format!("{name}: there is no image {} to write into", path.display());
    let error = Error::new(ErrorKind::Request, message);
    Err(error.advise(Advice::SkipDisk(name.to_owned())))
}
