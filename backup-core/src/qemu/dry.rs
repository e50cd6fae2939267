//! What a backup of a guest on QEMU would do, without doing it.

use fleece_fleecing::bitmaps::Tracking;
use std::sync::Arc;

use fleece_fleecing::Record;

use super::backup::{check_pause, session};
use super::disks;
use super::job::{GuestBackup, Mode};
use super::peers::connect;
use super::space::check_space;
use super::space::free_space::SpaceWatch;
use super::space::shared::SharedSpace;
use super::tpm::TpmState;
use crate::job::cancel::CancelToken;
use crate::report::error::Error;
use crate::report::foresight::{self, Foreseen};
use crate::report::units;
use crate::report::{Counting, Reporter};

/// Tells what [`backup`](super::backup()) would do: which disks, how, and to where. QEMU is only asked, and no file
/// is made but in the directory of the job's record, of which the caller gives a copy.
///
/// # Errors
/// Those of the backup that can be foreseen.
pub fn foresee(
    job: &GuestBackup,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Foreseen, Error> {
    let reporter = &Counting::new(reporter);
    let left = foresight::left_overs(&job.record, reporter)?;
    let client = connect(&job.qmp, cancel)?;
    fleece_fleecing::check_guest(&client)?;
    let disks = disks::select(job, fleece_fleecing::discover(&client)?, reporter)?;
    let mut content = disks::described(job, &client, &disks, reporter)?;
    TpmState::before(&client, &mut content, reporter)?;
    let named: Vec<_> = disks
        .iter()
        .map(|disk| (disk.name.as_str(), disk.size))
        .collect();
    content.header(&named)?;
    for disk in &disks {
        let (name, size) = (content.name(&disk.name), units::bytes(disk.size));
        reporter.info(format!(
            "would include disk '{name}' '{}' {size}",
            disk.image
        ));
    }
    for name in content.blobs() {
        reporter.info(format!("would include the configuration '{name}'"));
    }
    let found: Vec<_> = named
        .iter()
        .map(|(name, size)| (content.name(name).to_owned(), Some(*size)))
        .collect();
    let size = named.iter().map(|(_, size)| *size).sum();
    if job.domain.as_ref().is_some_and(|domain| domain.pull) {
        reporter.info(format!(
            "would have libvirt make the point in time (pull mode), with {} reserved on {} for what the guest overwrites",
            units::bytes(size),
            job.fleecing.storage
        ));
    } else if left {
        reporter.info("how it would be done can be foreseen when that is removed".into());
    } else {
        let record = Record::open(&job.record)?;
        let session = session(job, client, &record, disks, Tracking::default())?;
        reporter.info(format!(
            "would insert copy-before-write by the method '{}'",
            session.method()
        ));
        check_pause(job, &session, reporter)?;
        let space = SpaceWatch::start(Arc::clone(session.storage()), SharedSpace::of(&session));
        check_space(
            &session,
            &space,
            job.archive.pacing.most_fleecing(),
            reporter,
        )?;
    }
    if job.mode == Mode::Stop {
        let limit = units::duration(job.stop_wait);
        reporter.info(format!(
            "would ask the guest to power down, wait for at most {limit}, and start it again"
        ));
    } else if let Some(agent) = &job.agent {
        reporter.info(format!(
            "would freeze the guest's file systems through its agent at {agent} for the instant"
        ));
    }
    foresight::target(&job.archive.target, Some(size), reporter)?;
    Ok(Foreseen {
        disks: found,
        warnings: reporter.warnings(),
    })
}
