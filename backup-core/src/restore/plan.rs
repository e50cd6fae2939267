//! Which device of an archive becomes which drive, where, and in what format.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use fleece_guest_config::{GuestConfig, is_drive_key};
use fleece_storage::{Capabilities, Plugin, Storages, VolumeFormat};
use fleece_vma_format::{Device, Header};

use crate::advice::Advice;
use crate::error::{Error, ErrorKind};

/// What is to become of one disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Choice {
    /// It is not restored.
    Skip,
    /// It goes to this storage, in this format or in the storage's own.
    To(String, Option<VolumeFormat>),
}

/// `drive-scsi0=STORAGE[:FORMAT]` or `drive-scsi0=skip`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskChoice {
    /// The device's name in the archive, or its drive's key.
    pub disk: String,
    /// What becomes of it.
    pub choice: Choice,
}

impl FromStr for DiskChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (disk, choice) = text
            .split_once('=')
            .filter(|(disk, choice)| !disk.is_empty() && !choice.is_empty())
            .ok_or("expected DISK=STORAGE, DISK=STORAGE:FORMAT, or DISK=skip")?;
        let choice = match choice.rsplit_once(':') {
            None if choice == "skip" => Choice::Skip,
            None => Choice::To(choice.to_owned(), None),
            Some((storage, format)) => match format.parse() {
                Ok(format) => Choice::To(storage.to_owned(), Some(format)),
                Err(_) => return Err(format!("'{format}' is not a format: expected raw or qcow2")),
            },
        };
        Ok(Self {
            disk: disk.to_owned(),
            choice,
        })
    }
}

/// A device of the archive, and the drive that it is in the archived configuration.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) device: Device,
    pub(super) key: Option<String>,
    /// The storage and the format that it had, if the archive tells.
    pub(super) storage: Option<String>,
    pub(super) format: Option<VolumeFormat>,
}

/// All disks of an archive, in its order; a RAM state is none.
pub(super) fn find(header: &Header, config: &GuestConfig) -> Result<Vec<Found>, Error> {
    let drives = config.drives().map_err(|error| {
        let message = "the archived guest configuration is malformed";
        Error::caused(ErrorKind::Target, message, error).advise(Advice::ExtractDisks)
    })?;
    let maps = config.qmdump_maps();
    let mut taken = BTreeSet::new();
    let devices = header
        .devices()
        .iter()
        .filter(|device| !device.is_vmstate());
    let found = devices.map(|device| {
        let name = device.name();
        let map = maps.iter().find(|map| map.device == name);
        let by_map = map.map(|map| map.key.as_str());
        let by_drive = drives.iter().find(|drive| drive.device_name() == name);
        let key = by_map
            .or_else(|| by_drive.map(|drive| drive.key.as_str()))
            .or_else(|| name.strip_prefix("drive-"))
            .filter(|key| is_drive_key(key) && taken.insert((*key).to_owned()));
        Found {
            device: device.clone(),
            key: key.map(str::to_owned),
            storage: map.map(|map| map.storage.clone()),
            format: map.and_then(|map| map.format.parse().ok()),
        }
    });
    Ok(found.collect())
}

/// What was chosen for each disk, in their order.
pub(super) fn choices<'a>(
    found: &[Found],
    choices: &'a [DiskChoice],
) -> Result<Vec<Option<&'a Choice>>, Error> {
    let is = |found: &Found, name: &str| {
        found.device.name() == name || found.key.as_deref() == Some(name)
    };
    if let Some(unknown) = choices
        .iter()
        .find(|choice| !found.iter().any(|found| is(found, &choice.disk)))
    {
        let known: Vec<_> = found.iter().map(|found| found.device.name()).collect();
        let message = format!(
            "the archive has no disk '{}'; it has: {}",
            unknown.disk,
            known.join(", ")
        );
        return Err(Error::new(ErrorKind::Request, message));
    }
    let last = |found: &Found| choices.iter().rev().find(|choice| is(found, &choice.disk));
    Ok(found
        .iter()
        .map(|found| last(found).map(|c| &c.choice))
        .collect())
}

/// A disk that is restored to a volume.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) found: Found,
    pub(super) storage: Arc<dyn Plugin>,
    pub(super) capabilities: Capabilities,
    pub(super) format: VolumeFormat,
}

/// Where each disk goes that is not skipped: to the storage that was chosen for it, else to `default`,
/// else to the one that it came from if this host has it.
pub(super) fn volumes(
    found: Vec<Found>,
    chosen: &[DiskChoice],
    default: Option<&str>,
    storages: &Storages,
) -> Result<Vec<Planned>, Error> {
    let chosen = choices(&found, chosen)?;
    let mut planned = Vec::new();
    for (found, choice) in found.into_iter().zip(chosen) {
        let origin = found.storage.clone();
        let (name, format) = match choice {
            Some(Choice::Skip) => continue,
            Some(Choice::To(storage, format)) => (Some(storage.as_str()), *format),
            None => (default.or(origin.as_deref()), None),
        };
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
            let disk = found.device.name();
            let message = format!("where does {disk} go? the archive does not say");
            Error::new(ErrorKind::Request, message).advise(Advice::NameStorage(disk.to_owned()))
        })?;
        planned.push(plan(found, name, format, storages)?);
    }
    if planned.is_empty() {
        let message = "there is nothing to restore: the archive has no disks, or all are skipped";
        return Err(Error::new(ErrorKind::Request, message));
    }
    Ok(planned)
}

fn plan(
    found: Found,
    name: &str,
    format: Option<VolumeFormat>,
    storages: &Storages,
) -> Result<Planned, Error> {
    let failed = |error| {
        let message = format!("{}: cannot use the storage {name}", found.device.name());
        Error::caused(ErrorKind::Storage, message, error)
    };
    let storage = storages.open(name).map_err(failed)?;
    if !storages.may_hold(name, "images") {
        let message = format!(
            "{}: the storage {name} is not for disks; choose another, or add images to its content in \
             storage.cfg",
            found.device.name()
        );
        return Err(Error::new(ErrorKind::Storage, message));
    }
    storage.activate().map_err(failed)?;
    let capabilities = storage.capabilities().map_err(failed)?;
    let has = |format: &VolumeFormat| capabilities.formats.contains(format);
    if let Some(format) = format.filter(|format| !has(format)) {
        let message = format!(
            "{}: the storage {name} has no {format} volumes",
            found.device.name()
        );
        return Err(Error::new(ErrorKind::Storage, message));
    }
    // As Proxmox: the format that it had, where the storage has that.
    let format = format
        .or_else(|| found.format.filter(has))
        .or_else(|| capabilities.formats.first().copied())
        .unwrap_or(VolumeFormat::Raw);
    Ok(Planned {
        found,
        storage,
        capabilities,
        format,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_names_a_disk_and_where_it_goes() {
        let to = |storage: &str, format| Choice::To(storage.to_owned(), format);
        for (text, disk, choice) in [
            ("drive-scsi0=skip", "drive-scsi0", Choice::Skip),
            ("scsi0=fast", "scsi0", to("fast", None)),
            (
                "scsi0=fast:qcow2",
                "scsi0",
                to("fast", Some(VolumeFormat::Qcow2)),
            ),
            (
                "a=/srv/x=y:raw",
                "a",
                to("/srv/x=y", Some(VolumeFormat::Raw)),
            ),
        ] {
            let disk = disk.to_owned();
            assert_eq!(text.parse(), Ok(DiskChoice { disk, choice }));
        }
        for text in ["", "scsi0", "=fast", "scsi0=", "scsi0=fast:vmdk"] {
            assert!(text.parse::<DiskChoice>().is_err(), "{text}");
        }
    }
}
