//! The backup of a running guest, from its monitor socket to an archive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fleece_fleecing::bitmaps::Tracking;
use fleece_fleecing::{Disk, KeepAlive, Record, Session, Step};
use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{BlockDevice, Cont, QueryBlock, QueryStatus};
use fleece_vma_format::Summary;

use super::disks;
use super::incremental::Plan;
use super::instant::{self, Fixed};
use super::job::{GuestBackup, InDomain, Mode};
use super::peers::{connect, storage};
use super::pull;
use super::source;
use super::space::free_space::SpaceWatch;
use super::space::shared::SharedSpace;
use super::space::{check_space, explain};
use super::tpm::TpmState;
use super::watch::{Begun, QemuWatch};
use crate::job::archive::content::Content;
use crate::job::archive::{self, Archived};
use crate::job::cancel::CancelToken;
use crate::job::{Job, Outcome};
use crate::pipeline::transfer::{self, LOOKS, Settings, Transfer};
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Counters, Counting, Event, Reporter, foresight, units};
use crate::target::output::{Counted, Output};

/// Backs up a guest.
///
/// Whatever the end, nothing of the backup is left in QEMU or on the fleecing storage; what could not
/// be removed is told as a warning and stays on record for the clean-up, which every backup does first.
///
/// # Errors
/// The first cause. The archive exists only if there is no error.
pub fn backup(
    job: &GuestBackup,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Outcome, Error> {
    let reporter = &Counting::new(reporter);
    let done = match job.domain.as_ref().filter(|domain| domain.pull) {
        Some(domain) => pull::run(job, domain, reporter, cancel),
        None => run(job, reporter, cancel),
    };
    done.map_err(|error| match cancel.reason() {
        // What we waited for was not at fault.
        Some(reason) if is_interrupted(&error) => Error::cancelled(reason),
        _ => error,
    })
}

fn run(job: &GuestBackup, reporter: &Counting<'_>, cancel: &CancelToken) -> Result<Outcome, Error> {
    let start = Instant::now();
    let on_record = Job::open_for_qemu(&job.record, &job.qmp, &job.storages, reporter, cancel)?;
    let record = on_record.record();
    record.lock_guest()?;
    let outcome = on_locked_guest(job, &on_record, start, reporter, cancel);
    match (record.unlock_guest(), outcome) {
        (Ok(_), outcome) => outcome,
        (Err(error), Ok(outcome)) => {
            reporter.warning(error);
            Ok(Outcome {
                warnings: reporter.warnings(),
                ..outcome
            })
        }
        (Err(error), Err(first)) => {
            reporter.warning(error);
            Err(first)
        }
    }
}

fn on_locked_guest(
    job: &GuestBackup,
    on_record: &Job,
    start: Instant,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<Outcome, Error> {
    let domain = job.domain.as_ref().filter(|_| job.mode == Mode::Stop);
    let Some(domain) = domain else {
        return on_running_guest(job, on_record, (start, None), reporter, cancel);
    };
    let record = on_record.record();
    let done = off_and_on(job, domain, record, reporter, cancel)
        .and_then(|off| on_running_guest(job, on_record, (start, off), reporter, cancel));
    // However it went: the domain runs again. As a rule it does already.
    let interrupt = cancel.interrupt();
    interrupt.hear();
    match fleece_fleecing::domain::power::undo(record, interrupt) {
        Err(error) if done.is_ok() => return Err(error.into()),
        Err(error) => reporter.warning(error),
        Ok(_) => {}
    }
    done
}

/// Shuts a domain down and has it started again, standing still; since when it was off, if it ran. What would keep a
/// backup from it is found before.
fn off_and_on(
    job: &GuestBackup,
    domain: &InDomain,
    record: &Record,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<Option<Instant>, Error> {
    let client = connect(&job.qmp, cancel)?;
    fleece_fleecing::check_guest(&client)?;
    let status = client.execute(&QueryStatus {}).map_err(|error| {
        Error::caused(ErrorKind::Guest, "cannot ask whether the guest runs", error)
    })?;
    if !status.running {
        return Ok(None);
    }
    // Only told once.
    let silent = &Counting::new(&Silent);
    let disks = disks::select(job, fleece_fleecing::discover(&client)?, silent)?;
    session(job, client, record, disks, Tracking::default())?;
    foresight::target(&job.archive.target, None, silent)?;
    let limit = units::duration(job.stop_wait);
    reporter.info(format!(
        "asking libvirt to shut the domain down, and waiting for at most {limit}"
    ));
    let (domain, interrupt) = (&domain.address, cancel.interrupt());
    let off = fleece_fleecing::domain::power::off_and_on(domain, record, job.stop_wait, interrupt)?;
    reporter.info(
        "the domain is off, and started again: it stands still until its disks are fixed".into(),
    );
    Ok(Some(off))
}

/// Hears nothing.
struct Silent;

impl Reporter for Silent {
    fn report(&self, _: &Event) {}
}

/// `off`: a guest that was shut down for the backup stands still, since then.
fn on_running_guest(
    job: &GuestBackup,
    on_record: &Job,
    (start, off): (Instant, Option<Instant>),
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<Outcome, Error> {
    let record = on_record.record();
    // Until all is over.
    let _keep_alive = KeepAlive::hold(&job.qmp).unwrap_or_else(|error| {
        reporter.warning(format!(
            "qmeventd cannot be told of the backup ({error}): if the guest powers down, the backup fails"
        ));
        None
    });
    let client = connect(&job.qmp, cancel)?;
    let earlier = Begun::now(&client);
    fleece_fleecing::check_guest(&client)?;
    let disks = disks::select(job, fleece_fleecing::discover(&client)?, reporter)?;
    for disk in &disks {
        let size = units::bytes(disk.size);
        reporter.info(format!(
            "include disk '{}' '{}' {size}",
            disk.name, disk.image
        ));
    }
    let named: Vec<_> = disks
        .iter()
        .map(|disk| (disk.name.as_str(), disk.size))
        .collect();
    let mut content = disks::described(job, &client, &disks, reporter)?;
    let tpm = TpmState::before(&client, &mut content, reporter)?;
    content.header(&named)?;
    let plan = job.incremental.map(|how| {
        let (monitor, disks) = ((&client, record), (&disks[..], &content));
        Plan::new(job, how, monitor, disks, reporter, cancel)
    });
    let plan = plan.transpose()?;
    let tracking = plan.as_ref().map(|plan| plan.begin(record)).transpose()?;
    let mut target = job.archive.target.clone();
    target.bound = disks.iter().map(|disk| disk.size).sum();
    if let Some(plan) = &plan {
        target.base = plan.base().cloned();
    }
    reporter.info(format!("backup mode: {}", job.mode.name()));
    let session = session(job, client, record, disks, tracking.unwrap_or_default())?;
    check_pause(job, &session, reporter)?;
    // Before the guest is touched: can the archive be written at all?
    let (destination, begun) = on_record.begin(&target, cancel)?;
    let counters = Arc::new(Counters::default());
    let (output, index) = destination.open(Arc::clone(&counters))?;

    let session = match prepare(session, reporter) {
        Ok(session) => session,
        Err(error) => {
            drop((output, index));
            begun.end(false, reporter);
            return Err(error);
        }
    };
    let counted = (output, &counters);
    let what = (&mut content, tpm.as_ref());
    let moved = move_data(
        job,
        what,
        (&session, plan.as_ref(), (earlier, off)),
        counted,
        reporter,
        cancel,
    );
    // The guest first: its disks are plain again before the archive is synced.
    let client = session.client().clone();
    if finish(session, reporter) && moved.is_err() {
        go_on(&client, reporter);
    }
    let settle = |complete: bool| {
        if let Some(plan) = &plan {
            plan.end(&client, record, complete, reporter);
        }
    };
    let Moved {
        archive,
        summary,
        instant,
        fleecing_peak,
    } = match moved {
        Ok(moved) => moved,
        Err(error) => {
            drop(index);
            settle(false);
            begun.end(false, reporter);
            return Err(error);
        }
    };
    let committed = index.commit(archive, cancel);
    settle(committed.is_ok());
    begun.end(committed.is_ok(), reporter);
    let took = start.elapsed();
    let archived = Archived::new(committed?, summary.devices(), &counters, took, reporter);
    Ok(Outcome {
        switched: Some(instant.switched),
        frozen: instant.frozen,
        down: instant.down,
        fleecing_peak,
        tracked: plan.as_ref().map(|plan| plan.tracked(&archived)),
        archived,
        warnings: reporter.warnings(),
    })
}

/// Whether a signal ended a wait.
fn is_interrupted(error: &Error) -> bool {
    let mut causes =
        std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.any(|cause| {
        let by_qemu = cause.downcast_ref::<fleece_qmp_client::Error>();
        let by_libvirt = cause.downcast_ref::<fleece_libvirt::Error>();
        by_qemu.is_some_and(|cause| cause.kind() == fleece_qmp_client::ErrorKind::Interrupted)
            || by_libvirt
                .is_some_and(|cause| cause.kind() == fleece_libvirt::ErrorKind::Interrupted)
    })
}

/// What is going to be made in QEMU; nothing is yet.
pub(super) fn session<'r>(
    job: &GuestBackup,
    client: Client,
    record: &'r Record,
    disks: Vec<Disk>,
    tracking: Tracking,
) -> Result<Session<'r>, Error> {
    let storage = storage(job)?;
    let mut options =
        fleece_fleecing::Options::new(job.record.guest().clone(), job.record.nbd_socket());
    options.format = job.fleecing.format;
    options.cbw_timeout = job.cbw_timeout;
    options.running_server.clone_from(&job.nbd_server);
    options.suspend = job.mode == Mode::Suspend;
    options.tracking = tracking;
    let address = job.qmp.clone();
    Ok(Session::new(
        client, address, storage, record, disks, options,
    )?)
}

/// Refuses a switch for which the guest would stand still for too long; what it costs is told before.
pub(super) fn check_pause(
    job: &GuestBackup,
    session: &Session<'_>,
    reporter: &Counting<'_>,
) -> Result<(), Error> {
    let Some(pause) = session.expected_pause()? else {
        return Ok(());
    };
    let disks = session.disks().len();
    let expected = match pause.is_zero() {
        true => "a few milliseconds".to_owned(),
        false => format!("about {}", units::millis(pause)),
    };
    if pause > job.max_pause || job.max_pause.is_zero() {
        let message = format!(
            "to get {disks} disks at one instant, the guest would have to stand still for {expected} on this QEMU"
        );
        return Err(Error::new(ErrorKind::Guest, message).advise(Advice::AllowPause(pause)));
    }
    if !pause.is_zero() {
        reporter.info(format!(
            "the guest will stand still for {expected}, so that {disks} disks are of one instant"
        ));
    }
    Ok(())
}

fn prepare<'r>(mut session: Session<'r>, reporter: &Counting<'_>) -> Result<Session<'r>, Error> {
    match session.prepare() {
        Ok(()) => Ok(session),
        Err(error) => {
            finish(session, reporter);
            Err(error.into())
        }
    }
}

/// A transfer that reached its end.
struct Moved {
    archive: Counted,
    summary: Summary,
    instant: Fixed,
    fleecing_peak: Option<u64>,
}

/// Fixes the instant and reads it.
fn move_data(
    job: &GuestBackup,
    (content, tpm): (&mut Content, Option<&TpmState>),
    (session, plan, (earlier, off)): (
        &Session<'_>,
        Option<&Plan>,
        (Option<Begun>, Option<Instant>),
    ),
    (output, counters): (Output, &Arc<Counters>),
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<Moved, Error> {
    let space = SpaceWatch::start(Arc::clone(session.storage()), SharedSpace::of(session));
    let mut watch = QemuWatch::new(session, &space, job.cbw_timeout, reporter);
    check_space(
        session,
        &space,
        job.archive.pacing.most_fleecing(),
        reporter,
    )?;
    let before = look(job, (session, earlier), &mut watch, reporter, cancel)?;
    let instant = instant::fix(job, session, off, reporter, cancel)?;
    if let Some(tpm) = tpm {
        tpm.after(content, reporter);
    }
    // How it is when nobody has touched it.
    watch.check_interference().map_or(Ok(()), Err)?;
    let read = || {
        let idle = before.is_none();
        // Where little is read, that would be a large part of it.
        let prime = idle && plan.is_none_or(|plan| !plan.is_incremental());
        let (address, sources) = source::open(session, prime, cancel)?;
        let sources = match plan {
            Some(plan) => plan.sources(session, &address, sources, reporter)?,
            None => sources,
        };
        let (header, devices) = archive::devices(content, &sources)?;
        let settings = Settings {
            idle,
            before,
            ..Settings::new(&job.archive.pacing, &job.archive.target)
        };
        let transfer = Transfer {
            header,
            devices,
            output,
            counters,
            settings,
            reporter,
            cancel,
        };
        transfer.run(Some(&mut watch))
    };
    // Not before the switch: until then there is nothing that QEMU could give up.
    let (archive, summary) = read()
        .map_err(|error| explain(&error, job.cbw_timeout, session, &space).unwrap_or(error))?;
    // What cannot be put right now is reported by the teardown.
    let _ = watch.check_interference();
    Step::Moved.reached();
    Ok(Moved {
        archive,
        summary,
        instant,
        fleecing_peak: watch.fleecing_peak(),
    })
}

/// The last look at the storage and the guest before the switch: what 99 of 100 of the guest's writes
/// take, if it writes.
fn look(
    job: &GuestBackup,
    (session, earlier): (&Session<'_>, Option<Begun>),
    watch: &mut QemuWatch<'_>,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<Option<Duration>, Error> {
    // Where the limit is given, all that is asked is whether the guest writes.
    let looks = job.archive.pacing.guest_latency.map_or(LOOKS, |_| 1);
    let is_idle = earlier.is_some_and(|earlier| {
        let (since, writes) = earlier.of(session);
        transfer::is_idle(watch, since, &writes, cancel)
    });
    let before = match is_idle {
        true => None,
        false => transfer::before(watch, looks, cancel),
    };
    if let Some(before) = before {
        let before = units::millis(before);
        reporter.info(format!(
            "99 of 100 of the guest's writes take up to {before}"
        ));
    }
    if let Some(reason) = cancel.reason() {
        return Err(Error::cancelled(reason));
    }
    if session.may_hang() {
        reporter.info(format!(
            "the fleecing storage {} can hang, so QEMU is not asked for holes: they are read, which \
             takes longer",
            session.storage().id()
        ));
    }
    Ok(before)
}

/// Whether nothing is left.
fn finish(session: Session<'_>, reporter: &Counting<'_>) -> bool {
    let errors = session.finish().err().unwrap_or_default();
    let clean = errors.is_empty();
    for error in errors {
        reporter.warning(error);
    }
    clean
}

/// Continues a guest that stands still because a disk of it found no room, which was ours perhaps and is free
/// now: QEMU tries the write again, and the guest stands still again if there is still no room. One that
/// somebody has stopped, or that stands still for another reason, is left alone.
fn go_on(client: &Client, reporter: &Counting<'_>) {
    let waits_for_room = || {
        let status = client.execute(&QueryStatus {}).ok()?;
        let disks = client.execute(&QueryBlock {}).ok()?;
        let full = |disk: &BlockDevice| disk.io_status.as_deref() == Some("nospace");
        Some(status.status == "io-error" && disks.iter().any(full))
    };
    if waits_for_room() != Some(true) {
        return;
    }
    match client.execute(&Cont {}) {
        Ok(_) => reporter.info(
            "the guest stood still since a disk of it found no room; the fleecing images are gone, and it \
             goes on"
                .into(),
        ),
        Err(error) => reporter.warning(format!(
            "the guest stands still since a disk of it found no room, and cannot be continued; do it with \
             `cont` when there is room: {error}"
        )),
    }
}
