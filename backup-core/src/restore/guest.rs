//! `fleece restore --vmid`: volumes on storages, and the guest's configuration.

use std::path::PathBuf;

use fleece_guest_config::{ConfigFile, GuestConfig};
use fleece_staged_file::temporary_name;
use fleece_storage::VolumeId;
use fleece_vma_format::Header;

use super::copy::{Copied, copy};
use super::firewall::Rules;
use super::job::GuestRestore;
use super::old::OldGuest;
use super::opened::Opened;
use super::plan::{self, Found, Planned};
use super::volumes::{NewVolumes, check_space};
use super::{Restored, config, dry, rename};
use crate::job::Job;
use crate::job::archive::content::TPM_STATE;
use crate::job::cancel::CancelToken;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Counting, Reporter, Warning};

/// Restores a guest.
///
/// # Errors
/// Kind `Damage` for an archive that is not whole; `Storage` and `Target` for what cannot be written;
/// `Request`. What was made is freed then, and a guest that was there is as it was.
pub fn restore_guest(
    job: &GuestRestore,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Restored, Error> {
    let reporter = Counting::new(reporter);
    let input = Opened::open(&job.archive, cancel)?;
    let header = input.header().clone();
    let mut archived = config::archived(&header, &reporter)?;
    let mut found = plan::find(&header, &archived)?;
    rename::apply(&mut archived, &mut found, &job.renames)?;
    let count = found.len();
    let storage = job.storage.as_ref();
    let planned = plan::volumes(found, &job.disks, storage, &job.storages, job.dry_run)?;
    let old = OldGuest::find(&job.config, job.record.guest(), job.force, &job.storages)?;
    check_space(&planned, input.size, planned.len() == count)?;
    if header.config(TPM_STATE).is_some()
        && !archived.main().entries().any(|(key, _)| key == "tpmstate0")
    {
        reporter.warning(Warning::advised(
            "the archive has the state of a TPM as swtpm keeps it, which is not restored to a storage",
            Advice::PrintConfig(TPM_STATE.to_owned()),
        ));
    }
    if job.dry_run {
        return dry::foresee(job, &header, &archived, &planned, old.as_ref(), &reporter);
    }

    let on_record = Job::open(&job.record, &job.storages, &reporter, cancel)?;
    let record = on_record.record();
    record.begin_restore(&job.config)?;
    let mut volumes = NewVolumes::new(record);
    let work = Work {
        job,
        header: &header,
        archived: &archived,
        planned: &planned,
        old: old.as_ref(),
        reporter: &reporter,
        cancel,
    };
    let copied = work
        .run(input, &mut volumes)
        .inspect_err(|_| volumes.free(&reporter))?;
    let ids: Vec<String> = volumes
        .made
        .iter()
        .map(|made| made.id.to_string())
        .collect();
    if let Some(old) = &old {
        let keys: Vec<&str> = planned
            .iter()
            .filter_map(|disk| disk.found.key.as_deref())
            .collect();
        old.free(
            &keys,
            &ConfigFile::new(&job.config),
            &job.storages,
            &reporter,
        );
    }
    // Until here a clean-up looks after what a kill leaves beside the configuration.
    if let Err(error) = record.end_restore(&ids) {
        reporter.warning(error);
    }
    let names = planned
        .iter()
        .map(|disk| disk.found.device.name().to_owned());
    Ok(Restored {
        path: job.config.clone(),
        disks: names.zip(ids).collect(),
        bytes: copied.bytes,
        zero: copied.zero,
        took: copied.took,
        warnings: reporter.warnings(),
    })
}

/// What is undone if it fails.
struct Work<'a> {
    job: &'a GuestRestore,
    header: &'a Header,
    archived: &'a GuestConfig,
    planned: &'a [Planned],
    old: Option<&'a OldGuest>,
    reporter: &'a Counting<'a>,
    cancel: &'a CancelToken,
}

impl Work<'_> {
    fn run(&self, input: Opened, volumes: &mut NewVolumes<'_>) -> Result<Copied, Error> {
        let mut disks = Vec::new();
        for planned in self.planned {
            self.check_cancelled()?;
            disks.push(volumes.make(self.job.record.guest(), planned)?);
            if let Some(volume) = volumes.made.last() {
                let name = planned.found.device.name();
                self.reporter
                    .info(format!("restore {name} to {}", volume.id));
            }
        }
        let copied = copy(input, &disks, self.job.bwlimit, self.reporter, self.cancel)?;
        drop(disks);
        let ids = volumes.made.iter().map(|made| &made.id);
        let disks: Vec<(&Found, &VolumeId)> = self
            .planned
            .iter()
            .map(|disk| &disk.found)
            .zip(ids)
            .collect();
        let mut config = config::restored(
            self.archived,
            &disks,
            self.job.record.guest(),
            self.job.unique,
            &self.job.storages,
            self.reporter,
        )?;
        if let Some(old) = self.old {
            old.keep_as_unused(&mut config)?;
        }
        self.check_cancelled()?;
        let firewall = self.job.firewall.as_deref();
        let staged: Vec<PathBuf> = firewall.map(temporary_name).into_iter().collect();
        volumes.record.add_files(&staged)?;
        let rules = Rules::restore(self.header, firewall, self.reporter)?;
        let settled = volumes.record.remove_files(&staged).map_err(Error::from);
        match settled.and_then(|()| self.write(config)) {
            // It names the new volumes and is in its place: nothing may be undone any more.
            Err(error) if error.kind() == ErrorKind::Unsynced => {
                self.reporter.warning(error);
            }
            Err(error) => {
                rules.undo(self.reporter);
                return Err(error);
            }
            Ok(()) => {}
        }
        Ok(copied)
    }

    /// Writes the configuration, if nobody has made or changed the guest meanwhile.
    fn write(&self, new: GuestConfig) -> Result<(), Error> {
        let before = self
            .old
            .map(|old| old.config.to_string())
            .unwrap_or_default();
        ConfigFile::new(&self.job.config).update(|config| {
            if config.to_string() != before {
                let message = format!(
                    "{} was changed by somebody else meanwhile; look at it, and restore again",
                    self.job.config.display()
                );
                return Err(Error::new(ErrorKind::Target, message));
            }
            *config = new;
            Ok(())
        })
    }

    fn check_cancelled(&self) -> Result<(), Error> {
        self.cancel
            .reason()
            .map_or(Ok(()), |reason| Err(Error::cancelled(reason)))
    }
}
