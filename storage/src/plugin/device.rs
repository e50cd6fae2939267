//! Storages that keep block devices: what LVM, LVM-thin, ZFS and RBD have in common. Each device is a raw volume,
//! called as the device is.

use std::fmt::Display;
use std::path::Path;

use fleece_guest_config::GuestId;
use serde_json::{Value, json};

use super::{Freed, Plugin, foreign, no_such_format};
use crate::error::{Error, ErrorKind};
use crate::name::{VolumeFormat, VolumeName, is_name_byte, owner};
use crate::volume::{Volume, VolumeId};

/// A block device of a storage.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
    /// The bytes that it takes, where that is known.
    pub(super) used: Option<u64>,
}

/// The devices that are named as a guest's volumes are, of one guest or of all, sorted by id.
pub(super) fn volumes(
    storage: &dyn Plugin,
    guest: Option<&GuestId>,
    devices: impl IntoIterator<Item = Device>,
) -> Vec<Volume> {
    let volumes = devices.into_iter().filter_map(|device| {
        Some(Volume {
            id: VolumeId::configured(storage.id(), &device.name).ok()?,
            guest: owner(&device.name)?,
            name: device.name,
            format: VolumeFormat::Raw,
            size: Some(device.size),
            used: device.used,
        })
    });
    let mut volumes: Vec<_> = volumes
        .filter(|volume| guest.is_none_or(|guest| *guest == volume.guest))
        .collect();
    volumes.sort_by(|a, b| a.id.cmp(&b.id));
    volumes
}

/// The id of a volume that has the name of its device.
pub(super) fn volume_id(
    storage: &dyn Plugin,
    name: &VolumeName,
    format: VolumeFormat,
) -> Result<VolumeId, Error> {
    match format {
        VolumeFormat::Raw => VolumeId::configured(storage.id(), name.as_str()),
        _ => Err(no_such_format(storage, format)),
    }
}

/// The name of a volume's device: `ID:[BASE/]NAME`.
pub(super) fn device_name<'a>(storage: &dyn Plugin, id: &'a VolumeId) -> Result<&'a str, Error> {
    let volume = id.volume().filter(|_| id.storage() == Some(storage.id()));
    let name = volume.and_then(|volume| volume.rsplit('/').next());
    let known = |name: &&str| owner(name).is_some() && name.bytes().all(is_name_byte);
    name.filter(known).ok_or_else(|| foreign(storage, id))
}

/// QEMU's options for a raw volume with a device node.
pub(super) fn blockdev(path: &Path) -> Value {
    json!({ "driver": "raw", "file": { "driver": "host_device", "filename": path } })
}

/// Why a device could not be made: a taken name is told by looking, not by reading what a program says.
/// `found` is what there is under its name.
pub(super) fn not_made<T>(
    error: Error,
    found: Result<Option<T>, Error>,
    subject: impl Display,
) -> Error {
    match found {
        Ok(Some(_)) => {
            let message = "a volume of this name exists already";
            Error::new(ErrorKind::AlreadyExists, subject, message)
        }
        _ => error,
    }
}

/// What became of a device that could not be removed, likewise.
pub(super) fn not_removed<T>(
    error: Error,
    found: Result<Option<T>, Error>,
    subject: impl Display,
    busy: &str,
) -> Result<Freed, Error> {
    match found {
        Ok(Some(_)) => Err(Error::new(ErrorKind::Busy, subject, busy).caused_by(error)),
        // Somebody else was faster.
        Ok(None) => Ok(Freed::Removed),
        Err(_) => Err(error),
    }
}
