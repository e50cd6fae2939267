//! Which device of an archive becomes which drive, where, and in what format.

use std::collections::BTreeSet;
use std::sync::Arc;

use fleece_guest_config::{GuestConfig, is_drive_key};
use fleece_storage::{Capabilities, Plugin, Storages, VolumeFormat};
use fleece_vma_format::{Device, Header};

use super::choice::{Choice, DiskChoice, StorageChoice};
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};

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
        let device = found.device.name();
        device == name
            || device.strip_prefix("drive-") == Some(name)
            || found.key.as_deref() == Some(name)
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
/// else to the one that it came from if this host has it. A dry run makes no storage usable, and only looks at it.
pub(super) fn volumes(
    found: Vec<Found>,
    chosen: &[DiskChoice],
    default: Option<&StorageChoice>,
    storages: &Storages,
    dry: bool,
) -> Result<Vec<Planned>, Error> {
    let chosen = choices(&found, chosen)?;
    let mut planned = Vec::new();
    for (found, choice) in found.into_iter().zip(chosen) {
        let origin = found.storage.clone();
        let (name, format) = match (choice, default) {
            (Some(Choice::Skip), _) => continue,
            (Some(Choice::To(to)), _) => (Some(to.storage.as_str()), to.format),
            // As Proxmox: swtpm's state is a raw volume.
            (None, Some(to)) if found.key.as_deref() == Some("tpmstate0") => (
                Some(to.storage.as_str()),
                to.format.and(Some(VolumeFormat::Raw)),
            ),
            (None, Some(to)) => (Some(to.storage.as_str()), to.format),
            (None, None) => (origin.as_deref(), None),
        };
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
            let disk = found.device.name();
            let message = format!("where does {disk} go? the archive does not say");
            Error::new(ErrorKind::Request, message).advise(Advice::NameStorage(disk.to_owned()))
        })?;
        planned.push(plan(found, name, format, storages, dry)?);
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
    dry: bool,
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
    match dry {
        true => storage.status().map(drop),
        false => storage.activate(),
    }
    .map_err(failed)?;
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
