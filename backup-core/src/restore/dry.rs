//! What a restore to storages would do, without doing it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fleece_fleecing::Place;
use fleece_guest_config::GuestConfig;
use fleece_storage::{VolumeId, free_names};
use fleece_vma_format::Header;
use rustix::fs::{Access, access};

use super::job::GuestRestore;
use super::old::OldGuest;
use super::plan::{Found, Planned};
use super::{Restored, config, firewall};
use crate::report::Counting;
use crate::report::error::{Error, ErrorKind};
use crate::report::units;

/// Tells all that would be made, written, replaced and freed. What is told as a warning would be one.
pub(super) fn foresee(
    job: &GuestRestore,
    header: &Header,
    archived: &GuestConfig,
    planned: &[Planned],
    old: Option<&OldGuest>,
    reporter: &Counting<'_>,
) -> Result<Restored, Error> {
    writable(&job.config)?;
    let guest = job.record.guest();
    if Place::guests(job.record.directory())?.contains(guest) {
        reporter.info(
            "what an earlier backup or restore of this guest has left would be removed".into(),
        );
    }
    let ids = volumes(job, planned)?;
    let mut sizes: BTreeMap<&str, (&Planned, u64)> = BTreeMap::new();
    for (disk, id) in planned.iter().zip(&ids) {
        let device = &disk.found.device;
        let (name, size) = (device.name(), units::bytes(device.size()));
        let key = disk.found.key.as_deref().unwrap_or("a free place");
        let format = disk.format;
        reporter.info(format!(
            "would restore {name} ({size}) to {id} (format {format}), as {key}"
        ));
        let (_, sum) = sizes.entry(disk.storage.id()).or_insert((disk, 0));
        *sum = sum.saturating_add(device.size());
    }
    for (name, (disk, size)) in sizes {
        let thin = if disk.capabilities.thin {
            "at most, since it is thin"
        } else {
            "all of it at once"
        };
        let status = disk.storage.status().map_err(|error| {
            let message = format!("cannot use the storage {name}");
            Error::caused(ErrorKind::Storage, message, error)
        })?;
        let (size, free) = (units::bytes(size), units::bytes(status.available));
        reporter.info(format!(
            "the volumes on {name} would take {size}, {thin}; {free} are free"
        ));
    }
    let disks: Vec<(&Found, &VolumeId)> =
        planned.iter().map(|disk| &disk.found).zip(&ids).collect();
    let mut config =
        config::restored(archived, &disks, guest, job.unique, &job.storages, reporter)?;
    if let Some(old) = old {
        old.keep_as_unused(&mut config)?;
    }
    firewall::foresee(header, job.firewall.as_deref(), reporter);
    let verb = if old.is_some() { "replace" } else { "write" };
    reporter.info(format!("would {verb} {}", job.config.display()));
    if let Some(old) = old {
        let keys: Vec<&str> = disks
            .iter()
            .filter_map(|(disk, _)| disk.key.as_deref())
            .collect();
        old.foresee(&keys, reporter);
    }
    reporter.info("nothing was changed: this is a dry run".into());
    let names = planned
        .iter()
        .map(|disk| disk.found.device.name().to_owned());
    Ok(Restored {
        path: job.config.clone(),
        disks: names.zip(ids.iter().map(ToString::to_string)).collect(),
        bytes: 0,
        zero: 0,
        written: None,
        took: Duration::ZERO,
        started: None,
        warnings: reporter.warnings(),
    })
}

/// The volumes that would be made, in the order of the disks.
fn volumes(job: &GuestRestore, planned: &[Planned]) -> Result<Vec<VolumeId>, Error> {
    let mut names: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    let mut ids = Vec::new();
    for disk in planned {
        let id = disk.storage.id();
        let failed = |error| {
            let message = format!("{}: cannot make a volume on {id}", disk.found.device.name());
            Error::caused(ErrorKind::Storage, message, error)
        };
        let free = match names.get_mut(id) {
            Some(free) => free,
            None => {
                let count = planned.iter().filter(|other| other.storage.id() == id);
                let free = free_names(
                    disk.storage.as_ref(),
                    job.record.guest(),
                    "disk",
                    count.count(),
                );
                let mut free = free.map_err(failed)?;
                free.reverse();
                names.entry(id).or_insert(free)
            }
        };
        let name = free
            .pop()
            .ok_or_else(|| Error::new(ErrorKind::Storage, "no free name for a volume"))?;
        ids.push(disk.storage.volume_id(&name, disk.format).map_err(failed)?);
    }
    Ok(ids)
}

/// Whether a file can be written or replaced in its directory.
pub(super) fn writable(file: &Path) -> Result<(), Error> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        let message = format!("cannot write {}", file.display());
        Error::caused(ErrorKind::Target, message, std::io::Error::from(error))
    })
}
