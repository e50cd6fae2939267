//! `fleece restore --in-place`: into the disks that the guest has, and of each only what differs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fleece_guest_config::GuestConfig;
use fleece_storage::block::{Access, BlockDevice, ImageLock};
use fleece_storage::{Plugin, VolumeId};

use super::choice::Choice;
use super::copy::{Copied, Disk, To, copy};
use super::definition::Definition;
use super::job::GuestRestore;
use super::mapped::MAX_EXCESS;
use super::old::OldGuest;
use super::opened::Opened;
use super::plan::{self, Found};
use super::{Restored, dry};
use crate::job::Job;
use crate::job::cancel::CancelToken;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Counting, units};

/// A disk of the archive, and the guest's volume for it.
struct Kept {
    found: Found,
    id: VolumeId,
    storage: Arc<dyn Plugin>,
}

/// Restores a guest into its own disks.
///
/// # Errors
/// As [`restore_guest`](super::restore_guest). Once the first byte is written nothing comes back: what is on record then, and
/// the error, say so.
pub(super) fn restore(
    job: &GuestRestore,
    input: Opened,
    archived: &GuestConfig,
    found: Vec<Found>,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<Restored, Error> {
    let header = input.header().clone();
    let old = OldGuest::find(&job.config, job.record.guest(), true, &job.storages)?;
    let old = old.ok_or_else(|| {
        let message = format!(
            "there is no guest {} whose disks could be kept ({})",
            job.record.guest(),
            job.config.display()
        );
        Error::new(ErrorKind::Request, message).advise(Advice::RestoreAnew)
    })?;
    let kept = plan(job, found, &old)?;
    if job.dry_run {
        return foresee(job, &kept, reporter);
    }
    let on_record = Job::open_for_restore(&job.record, &job.storages, reporter, cancel)?;
    let record = on_record.record();
    let written: Arc<AtomicU64> = Arc::default();
    let mut locks = Vec::new();
    let mut disks = Vec::new();
    for disk in &kept {
        let (opened, lock) = open(disk)?;
        locks.push(lock);
        let (name, id) = (disk.found.device.name(), &disk.id);
        reporter.info(format!("restore {name} into {id}, as far as it differs"));
        disks.push(Disk {
            device: disk.found.device.clone(),
            to: To::Old {
                disk: opened,
                written: Arc::clone(&written),
            },
        });
    }
    let ids: Vec<VolumeId> = kept.iter().map(|disk| disk.id.clone()).collect();
    let guest = Definition {
        job,
        header: &header,
        archived,
        old: Some(&old),
        reporter,
        cancel,
    };
    guest.check_cancelled()?;
    let earlier = record.contents()?.overwritten;
    record.begin_restore(&job.config)?;
    record.begin_overwriting(&job.archive, &ids)?;
    let copied = copy(input, &disks, job.bwlimit, reporter, cancel).and_then(|copied| {
        let found = kept.iter().map(|disk| &disk.found);
        guest.write(record, &found.zip(&ids).collect::<Vec<_>>())?;
        Ok(copied)
    });
    drop((disks, locks));
    let written = written.load(Ordering::Relaxed);
    let is_whole = copied.is_ok() || (written == 0 && earlier.is_none());
    let ended = record.end_restore(&[]);
    let ended = ended.and_then(|()| match is_whole {
        true => record.end_overwriting(),
        false => Ok(()),
    });
    if let Err(error) = ended {
        reporter.warning(error);
    }
    if !is_whole {
        reporter.warning(format!(
            "the disks of guest {} are neither as before nor as in the archive: do not start it before the same restore \
             has succeeded",
            job.record.guest()
        ));
    }
    Ok(restored(job, &kept, Some((&copied?, written)), reporter))
}

/// The guest's volume for each disk that is not skipped.
fn plan(job: &GuestRestore, found: Vec<Found>, old: &OldGuest) -> Result<Vec<Kept>, Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Request, message));
    let chosen = plan::choices(&found, &job.disks)?;
    let mut kept = Vec::new();
    for (found, choice) in found.into_iter().zip(chosen) {
        let name = found.device.name();
        match choice {
            Some(Choice::Skip) => continue,
            Some(Choice::To(_)) => {
                let message = "disks stay where they are; a single one can only be left out";
                let error = Error::new(ErrorKind::Request, message);
                return Err(error.advise(Advice::OnlySkip));
            }
            None => {}
        }
        let volume = found.key.as_deref().and_then(|key| old.volume(key));
        let Some(id) = volume.cloned() else {
            let key = found.key.as_deref().unwrap_or("no drive of the guest");
            let message = format!("{name}: the guest that is there has no such disk ({key})");
            let error = Error::new(ErrorKind::Request, message);
            return Err(error.advise(Advice::SkipDisk(name.to_owned())));
        };
        if let Some(why) = old.not_its_own(&id, &job.config, &job.storages)? {
            return refuse(format!("{name}: {id} is not written into: {why}"));
        }
        let failed = |error| {
            let message = format!("{name}: cannot use the volume {id}");
            Error::caused(ErrorKind::Storage, message, error)
        };
        let storage = job.storages.resolve(&id).map_err(failed)?;
        let (there, size) = (storage.size(&id).map_err(failed)?, found.device.size());
        // A storage may have rounded the size up.
        if !(0..=MAX_EXCESS).contains(&there.checked_sub(size).unwrap_or(u64::MAX)) {
            return refuse(format!(
                "{name}: {id} has {there} bytes, and in the archive it has {size}; a disk is only restored into one of \
                 its size"
            ));
        }
        kept.push(Kept { found, id, storage });
    }
    match kept.is_empty() {
        true => refuse("there is nothing to restore: all disks are skipped".into()),
        false => Ok(kept),
    }
}

/// Opens a volume that nobody else uses meanwhile.
fn open(disk: &Kept) -> Result<(Arc<dyn BlockDevice>, ImageLock), Error> {
    let Kept { found, id, storage } = disk;
    let message = || format!("{}: cannot use the volume {id}", found.device.name());
    let failed = |error| Error::caused(ErrorKind::Storage, message(), error);
    storage.activate_volume(id).map_err(failed)?;
    let path = storage.path(id).map_err(failed)?;
    let lock = ImageLock::for_writing(&path);
    let lock = lock.map_err(|error| Error::caused(ErrorKind::Storage, message(), error))?;
    let opened = storage.open(id, Access::ReadWrite).map_err(failed)?;
    Ok((opened, lock))
}

/// Tells what would be written to.
fn foresee(job: &GuestRestore, kept: &[Kept], reporter: &Counting<'_>) -> Result<Restored, Error> {
    dry::writable(&job.config)?;
    for Kept { found, id, .. } in kept {
        let (name, size) = (found.device.name(), units::bytes(found.device.size()));
        reporter.info(format!(
            "would restore {name} ({size}) into {id}, as far as it differs"
        ));
    }
    reporter.info(format!("would replace {}", job.config.display()));
    reporter.info("nothing was changed: this is a dry run".into());
    Ok(restored(job, kept, None, reporter))
}

fn restored(
    job: &GuestRestore,
    kept: &[Kept],
    copied: Option<(&Copied, u64)>,
    reporter: &Counting<'_>,
) -> Restored {
    let name = |disk: &Kept| disk.found.device.name().to_owned();
    let disks = kept.iter().map(|disk| (name(disk), disk.id.to_string()));
    Restored {
        path: job.config.clone(),
        disks: disks.collect(),
        bytes: copied.map_or(0, |(copied, _)| copied.bytes),
        zero: copied.map_or(0, |(copied, _)| copied.zero),
        written: Some(copied.map_or(0, |(_, written)| written)),
        took: copied.map_or(Duration::ZERO, |(copied, _)| copied.took),
        started: None,
        warnings: reporter.warnings(),
    }
}
