//! The restored guest's configuration.

use fleece_guest_config::{GuestConfig, GuestId, Restoration, drive_size, is_drive_key};
use fleece_storage::{Storages, VolumeId};
use fleece_vma_format::Header;

use super::plan::Found;
use crate::job::archive::content::GUEST_CONFIG;
use crate::report::Counting;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};

/// The first three bytes of new MAC addresses: Proxmox's own (OUI of Proxmox Server Solutions).
const MAC_PREFIX: [u8; 3] = [0xbc, 0x24, 0x11];

/// What a guest gets of which the archive does not tell anything.
const MINIMAL: &str = "memory: 2048\ncores: 2\nscsihw: virtio-scsi-pci\n";

/// The guest's configuration in the archive, or a minimal one.
pub(super) fn archived(header: &Header, reporter: &Counting<'_>) -> Result<GuestConfig, Error> {
    let failed = |error| {
        let message = "the archived guest configuration is malformed";
        Error::caused(ErrorKind::Target, message, error).advise(Advice::ExtractDisks)
    };
    let config = header
        .configs()
        .iter()
        .find(|config| config.name() == GUEST_CONFIG);
    let Some(config) = config else {
        reporter.warning(format!(
            "the archive has no guest configuration ({GUEST_CONFIG}); the guest gets 2 GiB of memory, two \
             processors and no network"
        ));
        return GuestConfig::parse(MINIMAL).map_err(failed);
    };
    GuestConfig::parse(config.data()).map_err(failed)
}

/// A restored disk of the archive: where it came from and where it is.
pub(super) type Disk<'a> = (&'a Found, &'a VolumeId);

/// The archived configuration with new volumes.
pub(super) fn restored(
    archived: &GuestConfig,
    disks: &[Disk<'_>],
    guest: &GuestId,
    unique: bool,
    storages: &Storages,
    reporter: &Counting<'_>,
) -> Result<GuestConfig, Error> {
    let mut restoration = identity(unique);
    for (found, volume) in disks {
        if let Some(key) = &found.key {
            restoration = restoration.with_volume(key, &volume.to_string(), found.device.size());
        }
    }
    let is_restored = |key: &str| {
        disks
            .iter()
            .any(|(found, _)| found.key.as_deref() == Some(key))
    };
    for drive in archived.drives().map_err(malformed)? {
        let (key, volume) = (drive.key.as_str(), drive.volume.as_str());
        if is_restored(key) {
            continue;
        }
        if drive.is_cdrom && !volume.contains("cloudinit") {
            continue;
        }
        if drive.is_cdrom {
            if is_own(volume, guest, storages) {
                continue;
            }
            reporter.warning(format!(
                "the cloud-init drive {key} is not in the archive and its line becomes a comment; \
                 make a new one"
            ));
        } else if drive.is_included() {
            reporter.warning(format!(
                "{key} ({volume}) is not restored; its line becomes a comment"
            ));
        }
        restoration = restoration.without_drive(key);
    }
    let mut config = archived.restored(&restoration, random).map_err(malformed)?;
    // A template's disks have names of their own, and clones; these here are a guest's.
    let is_template = config.main().get("template").is_some_and(|set| set != "0");
    if config.main_mut().remove("template") && is_template {
        reporter.warning(
            "it was a template and is a guest now; `qm template` makes it a template again"
                .to_owned(),
        );
    }
    for (found, volume) in disks {
        if !config.uses_volume(&volume.to_string()) {
            add_drive(&mut config, found, volume, reporter)?;
        }
    }
    Ok(config)
}

/// What becomes of the guest's identity.
pub(super) fn identity(unique: bool) -> Restoration {
    let restoration = Restoration::new();
    if unique {
        restoration.unique(MAC_PREFIX)
    } else {
        restoration
    }
}

pub(super) fn random() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}

/// A disk that no line of the configuration tells of gets one.
fn add_drive(
    config: &mut GuestConfig,
    found: &Found,
    volume: &VolumeId,
    reporter: &Counting<'_>,
) -> Result<(), Error> {
    let free = |key: &String| is_drive_key(key) && config.main().get(key).is_none();
    let mut keys = found.key.clone().into_iter().chain(free_keys());
    let name = found.device.name();
    let Some(key) = keys.find(free) else {
        let message = format!("the guest has no slot left for {name}");
        return Err(Error::new(ErrorKind::Target, message));
    };
    reporter.info(format!(
        "{name} has no drive in the archived configuration and becomes {key}"
    ));
    let value = format!("{volume},size={}", drive_size(found.device.size()));
    config.main_mut().set(&key, &value).map_err(malformed)
}

/// Where a disk goes of which the configuration does not tell: `scsi0` and on, then the buses with fewer places.
pub(super) fn free_keys() -> impl Iterator<Item = String> {
    let of = |bus: &'static str| {
        let keys = (0..).map(move |n| format!("{bus}{n}"));
        keys.take_while(|key| is_drive_key(key))
    };
    ["scsi", "virtio", "sata"].into_iter().flat_map(of)
}

/// Whether the guest's own volume of that name is there.
fn is_own(volume: &str, guest: &GuestId, storages: &Storages) -> bool {
    let id: Result<VolumeId, _> = volume.parse();
    id.and_then(|id| {
        let own = storages.resolve(&id)?.list(Some(guest))?;
        Ok(own.iter().any(|own| own.id == id))
    })
    .unwrap_or(false)
}

fn malformed(error: fleece_guest_config::Error) -> Error {
    Error::caused(
        ErrorKind::Target,
        "cannot make the guest's configuration",
        error,
    )
}
