//! `fleece restore --vmid`: volumes on storages, and the guest's configuration.

use fleece_guest_config::ConfigFile;

use super::copy::{Copied, copy};
use super::definition::Definition;
use super::job::GuestRestore;
use super::old::OldGuest;
use super::opened::Opened;
use super::plan::{self, Planned};
use super::volumes::{NewVolumes, check_space};
use super::{Restored, config, dry, in_place, rename};
use crate::job::Job;
use crate::job::archive::content::TPM_STATE;
use crate::job::cancel::CancelToken;
use crate::report::advice::Advice;
use crate::report::error::Error;
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
    let input = Opened::open(&job.archive, &job.identities, cancel)?;
    let header = input.header().clone();
    let mut archived = config::archived(&header, &reporter)?;
    let mut found = plan::find(&header, &archived)?;
    rename::apply(&mut archived, &mut found, &job.renames)?;
    if header.config(TPM_STATE).is_some()
        && !archived.main().entries().any(|(key, _)| key == "tpmstate0")
    {
        reporter.warning(Warning::advised(
            "the archive has the state of a TPM as swtpm keeps it, which is not restored to a storage",
            Advice::PrintConfig(TPM_STATE.to_owned()),
        ));
    }
    if job.in_place {
        return in_place::restore(job, input, &archived, found, &reporter, cancel);
    }
    let count = found.len();
    let storage = job.storage.as_ref();
    let planned = plan::volumes(found, &job.disks, storage, &job.storages, job.dry_run)?;
    let old = OldGuest::find(&job.config, job.record.guest(), job.force, &job.storages)?;
    check_space(&planned, input.size, planned.len() == count)?;
    if job.dry_run {
        return dry::foresee(job, &header, &archived, &planned, old.as_ref(), &reporter);
    }

    let on_record = Job::open_for_restore(&job.record, &job.storages, &reporter, cancel)?;
    let record = on_record.record();
    record.begin_restore(&job.config)?;
    let mut volumes = NewVolumes::new(record);
    let guest = Definition {
        job,
        header: &header,
        archived: &archived,
        old: old.as_ref(),
        reporter: &reporter,
        cancel,
    };
    let copied =
        into_new(&guest, &planned, input, &mut volumes).inspect_err(|_| volumes.free(&reporter))?;
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
    let ended = record.end_restore(&ids);
    // The disks that an earlier one has left half written are the guest's no more.
    if let Err(error) = ended.and_then(|()| record.end_overwriting()) {
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
        written: None,
        took: copied.took,
        started: None,
        warnings: reporter.warnings(),
    })
}

/// Makes a volume for each disk, writes it, and then the guest's configuration.
fn into_new(
    guest: &Definition<'_>,
    planned: &[Planned],
    input: Opened,
    volumes: &mut NewVolumes<'_>,
) -> Result<Copied, Error> {
    let job = guest.job;
    let mut disks = Vec::new();
    for planned in planned {
        guest.check_cancelled()?;
        disks.push(volumes.make(job.record.guest(), planned)?);
        if let Some(volume) = volumes.made.last() {
            let name = planned.found.device.name();
            guest
                .reporter
                .info(format!("restore {name} to {}", volume.id));
        }
    }
    let copied = copy(input, &disks, job.bwlimit, guest.reporter, guest.cancel)?;
    drop(disks);
    let ids = volumes.made.iter().map(|made| &made.id);
    let found = planned.iter().map(|disk| &disk.found);
    guest.write(volumes.record, &found.zip(ids).collect::<Vec<_>>())?;
    Ok(copied)
}
