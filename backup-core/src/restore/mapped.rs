//! Devices of an archive on their way to disks that a [map](fleece_vma_format::map) names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use fleece_storage::VolumeFormat;
use fleece_storage::block::{self, Access, BlockDevice, Qcow2, RawFile};
use fleece_vma_format::Device;
use fleece_vma_format::map::{Disk, Record};

use super::extraction::Extraction;
use crate::pace::rate::RateLimit;
use crate::report::error::{Error, ErrorKind};

/// How much larger than the device a target may be, in bytes, as in the reference.
pub(super) const MAX_EXCESS: u64 = 4 << 20;

impl Extraction {
    /// Sends `devices` to where the records of a map say. The result is where each of those goes that is not skipped.
    /// Saved RAM has no place in a map. If there is something to count it in, only what differs is
    /// [written](Self::onto_disk).
    ///
    /// # Errors
    /// Kind [`ErrorKind::Request`] for a device that the map does not name, or a target of another size, and what opening it says.
    pub fn to_mapped<'d, E: From<Error> + From<block::Error>>(
        &mut self,
        devices: &[&'d Device],
        records: Vec<Record>,
        written: Option<&Arc<AtomicU64>>,
    ) -> Result<Vec<(&'d Device, PathBuf)>, E> {
        let mut disks = HashMap::new();
        for record in records {
            match record {
                Record::Skip(device) => disks.insert(device, None),
                Record::Disk(disk) => disks.insert(disk.device.clone(), Some(disk)),
                _ => None,
            };
        }
        let mut limits = HashMap::new();
        let mut places = Vec::new();
        for device in devices.iter().filter(|device| !device.is_vmstate()) {
            let disk = disks.get(device.name()).ok_or_else(|| {
                let message = format!("no device name mapping for {}", device.name());
                Error::new(ErrorKind::Request, message)
            })?;
            let Some(disk) = disk else { continue };
            let target = open_target::<E>(disk, device.size())?;
            let limit = limit(disk, &mut limits);
            match written {
                Some(written) => self.onto_disk(device, target, written, limit),
                None => self.to_disk(device, target, disk.write_zeroes, limit),
            }
            places.push((*device, disk.path.clone()));
        }
        Ok(places)
    }
}

/// The limit that a disk shares with its group.
fn limit(disk: &Disk, limits: &mut HashMap<String, Arc<RateLimit>>) -> Option<Arc<RateLimit>> {
    let rate = disk.bytes_per_second.filter(|&rate| rate > 0)?;
    let alone = || disk.path.display().to_string();
    let group = disk.group.clone().unwrap_or_else(alone);
    let limit = limits.entry(group);
    Some(Arc::clone(
        limit.or_insert_with(|| Arc::new(RateLimit::new(rate))),
    ))
}

/// Opens an existing image or block device for a device of `size` bytes.
fn open_target<E: From<Error> + From<block::Error>>(
    disk: &Disk,
    size: u64,
) -> Result<Arc<dyn BlockDevice>, E> {
    let path = &disk.path;
    let format: VolumeFormat = match &disk.format {
        Some(format) => format
            .parse()
            .map_err(|error| Error::caused(ErrorKind::Request, "cannot write the image", error))?,
        None => format_by_name(path),
    };
    open_image(path, format, size).map_err(|error| match error {
        NotOpened::Size(error) => error.into(),
        NotOpened::Image(error) => error.into(),
    })
}

/// Why an image cannot be written into.
pub(super) enum NotOpened {
    Size(Error),
    Image(block::Error),
}

/// Opens an image that is there, or a block device, for a device of `size` bytes.
pub(super) fn open_image(
    path: &Path,
    format: VolumeFormat,
    size: u64,
) -> Result<Arc<dyn BlockDevice>, NotOpened> {
    let device: Arc<dyn BlockDevice> = if format == VolumeFormat::Qcow2 {
        Arc::new(Qcow2::open_writable(path).map_err(NotOpened::Image)?)
    } else {
        Arc::new(RawFile::open(path, Access::ReadWrite).map_err(NotOpened::Image)?)
    };
    let there = device.size();
    if there < size || there.saturating_sub(size) > MAX_EXCESS {
        let message = format!(
            "{}: unexpected size {there} for a device of {size} bytes (up to 4 MiB more is fine)",
            path.display()
        );
        return Err(NotOpened::Size(Error::new(ErrorKind::Request, message)));
    }
    Ok(device)
}

/// The format of a target that does not say: nothing is guessed from contents.
fn format_by_name(path: &Path) -> VolumeFormat {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("qcow2") => VolumeFormat::Qcow2,
        _ => VolumeFormat::Raw,
    }
}
