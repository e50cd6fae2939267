//! `fleece backup`

mod disks;
mod every;
mod hooks;
mod job;
mod live;
mod record;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use fleece_backup_core::dump::{self, Afterwards, Checked, Recorder};
use fleece_backup_core::{
    ArchiveOptions, ArchiveTarget, BaseArchive, CancelToken, Content, Error, ErrorKind, Event,
    Outcome, Places, Reporter as _, clock, units,
};
use fleece_fleet::{Variables, expand, host, worst};
use fleece_guest_config::GuestId;
use jiff::Zoned;
use serde_json::{Value, json};

use self::job::Job;
use crate::cli::backup::Backup;
use crate::encryption;
use crate::log::Log;
use crate::namesake;
use crate::notices;
use crate::script::Script;
use crate::verify;
use crate::watch::Watch;
use fleece_bins::{exit, signals, stores};

pub(crate) fn run(arguments: &Backup, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let cancel = signals::watch_all()?;
    let one = |arguments: &Backup| one(arguments, places, log, &cancel);
    let work = || match arguments.which.libvirt {
        Some(None) => every::domain(arguments, log, &cancel, one),
        _ => one(arguments),
    };
    if arguments.dry_run {
        return work().map(ExitCode::from);
    }
    let result = match arguments.of_job {
        Some(_) => work(),
        None => {
            let unsent = notices::begin(&arguments.hooks, &json!({ "job": null }), log);
            let result = hooks::job(arguments, places, (log, &cancel), work);
            result.map(|code| worst([code, exit::done(unsent)]))
        }
    };
    let unsent = hooks::tell(arguments, &result, log);
    result.map(|code| ExitCode::from(worst([code, exit::done(unsent)])))
}

/// Backs up one guest; returns the exit code. Wherever it fails, that is on record.
fn one(arguments: &Backup, places: &Places, log: &Log, cancel: &CancelToken) -> Result<u8, Error> {
    let now = clock::now();
    if arguments.dry_run {
        return of_guest(arguments, (places, &now), log, cancel, &mut None);
    }
    log.record(Recorder::new(now.clone()));
    let mut whose = arguments.which.to_who().known(places);
    of_guest(arguments, (places, &now), log, cancel, &mut whose)
        .inspect_err(|error| record::early(arguments, places, whose.as_ref(), log, error))
}

/// `whose` becomes the guest's number or name as soon as that is settled.
fn of_guest(
    arguments: &Backup,
    (places, now): (&Places, &Zoned),
    log: &Log,
    cancel: &CancelToken,
    whose: &mut Option<GuestId>,
) -> Result<u8, Error> {
    let mut afterwards = afterwards(arguments)?;
    let images = places.state_dir().join("images");
    let rehearsal = arguments.dry_run.then(|| places.rehearsal()).transpose()?;
    let places = rehearsal.as_ref().map_or(places, |(places, _copy)| places);
    let guest = arguments.which.to_who().settle(places, log, cancel)?;
    *whose = Some(guest.id.clone());
    let storages = places.storages()?;
    let recipients = encryption::recipients(arguments)?;
    let to = Some(arguments.to.as_path()).filter(|to| to.as_os_str() != "-");
    let (whose, limit) = ((&guest.id, now.datetime()), arguments.target_timeout);
    let path = to.map(|to| {
        let wrapper = encryption::wrapper(arguments.compress.wrapper(), recipients.is_some());
        let (wrapper, dry_run) = (wrapper.as_deref(), arguments.dry_run);
        dump::new_archive(to, &storages, whose, wrapper, limit, dry_run, cancel)
    });
    let path = path.transpose()?;
    namesake::tell(&arguments.to, &storages, log);
    if let Some(fleecing) = &arguments.fleecing {
        namesake::tell(Path::new(fleecing), &storages, log);
    }
    if arguments.reuse
        || arguments.incremental
        || arguments.keep_partial
        || arguments.sign.is_some()
    {
        stores::refuse(path.as_deref())?;
    }
    let mut archive = archive_options(arguments, path, now);
    encryption::sign(&mut archive.target, arguments.sign.as_deref())?;
    encryption::encrypt(&mut archive.target, recipients)?;
    let mut warned = 0;
    if arguments.reuse {
        let target = &mut archive.target;
        (target.base, warned) = base(arguments, target, &guest.id, log, cancel)?;
    }
    let config = places.guest_config(&guest.id);
    archive.content.add_files(&arguments.config)?;
    archive.content.renames.clone_from(&arguments.rename);
    if let Some(config) = config.as_deref().filter(|_| !archive.content.has_config()) {
        let firewall = places.firewall(&guest.id);
        archive.content.read_guest(config, firewall.as_deref())?;
    }

    let mut incomplete = Vec::new();
    if let Some(domain) = &guest.domain {
        incomplete = domain.describe(&mut archive.content)?;
    }

    let domain = guest.domain.as_ref().map(|domain| domain.domain().name());
    let name = hooks::name(&archive, domain);
    if let Some(notes) = &arguments.notes {
        afterwards.notes = Some(expanded(notes, name.as_deref(), &guest.id)?);
    }
    let (id, of_job) = (guest.id.to_string(), arguments.of_job.as_deref());
    let about = (
        name.as_deref(),
        hooks::target(&archive),
        arguments.mode.name(),
    );
    let script = Script::new(&arguments.hooks, to, &storages, of_job, (log, cancel));
    let script = script.about(&id, about);
    let job = Job {
        arguments,
        places,
        images,
        storages,
        guest: &guest,
        archive,
        script,
        log,
        cancel: cancel.clone(),
    };
    if arguments.dry_run {
        return dry_run(&job, config.as_deref());
    }
    let archive = job.archive.target.path();
    let watch = Watch::begin(&places.state_dir(), &id, archive, of_job);
    let _watched = log.watched(
        watch,
        &[
            ("FLEECE_GUEST", &id),
            ("FLEECE_JOB", of_job.unwrap_or_default()),
        ],
    );
    let run = || -> Result<Outcome, Error> {
        let mut done = run_job(&job, now, config.as_deref(), &afterwards)?;
        for warning in &incomplete {
            log.report(&Event::Warning(warning.clone()));
        }
        let more = incomplete.len().saturating_add(warned);
        done.warnings = done.warnings.saturating_add(more);
        tell(&done, &guest.id, log);
        let result = json!({ "result": summary(&done, &guest.id) });
        job.script.guest("backup-end", result)?;
        Ok(done)
    };
    let done = record::kept(&job, name.as_deref(), || {
        run().or_else(|error| {
            let told = json!({ "kind": error.kind().word(), "message": error.chain() });
            job.script.guest("backup-abort", json!({ "error": told }))?;
            Err(error)
        })
    });
    job.script.guest("log-end", json!({}))?;
    let done = done?;
    log.result(&summary(&done, &guest.id));
    Ok(exit::done(done.warnings))
}

/// The backup, and what is to be done when it is complete.
fn run_job(
    job: &Job<'_>,
    now: &Zoned,
    config: Option<&Path>,
    afterwards: &Afterwards,
) -> Result<Outcome, Error> {
    let Job { guest, log, .. } = job;
    log.info(&format!("Starting Backup of VM {} (qemu)", guest.id));
    log.info(&format!(
        "Backup started at {}",
        now.strftime("%Y-%m-%d %H:%M:%S")
    ));
    if let Some(path) = job.archive.target.path() {
        log.info(&format!("creating vzdump archive '{}'", path.display()));
    }
    job.script.guest("backup-start", json!({}))?;
    let which = &job.arguments.which;
    if guest.qmp.is_none() {
        hooks::pass_phases(job)?;
    }
    let done = match (&which.nbd, &which.native, &guest.qmp) {
        (Some(server), ..) => disks::exports(job, server),
        (_, Some(control), _) => disks::served(job, control),
        (.., Some(qmp)) => live::guest(job, qmp, config),
        _ => disks::images(job),
    };
    let mut done = done.inspect_err(|_| log.info(&format!("Backup of VM {} failed", guest.id)))?;
    let mut checked = |checked: &Checked| {
        let name = done.archived.path.as_deref().and_then(Path::file_name);
        verify::result(&name.unwrap_or_default().to_string_lossy(), checked, log);
    };
    let warnings = afterwards.run(&done.archived, &guest.id, *log, &job.cancel, &mut checked)?;
    done.warnings = done.warnings.saturating_add(warnings);
    Ok(done)
}

/// Notes with a variable in them are a template, as Proxmox's `notes-template` is.
fn expanded(notes: &str, name: Option<&str>, guest: &GuestId) -> Result<String, Error> {
    if !notes.contains("{{") {
        return Ok(notes.to_owned());
    }
    let (vmid, node, cluster) = (guest.to_string(), host::node(), host::cluster());
    let nameless = format!("VM {vmid}");
    let mut variables = Variables::default();
    variables.guestname = name.unwrap_or(&nameless);
    (variables.vmid, variables.node, variables.cluster) = (&vmid, &node, &cluster);
    expand(notes, &variables).map_err(|why| {
        Error::new(
            ErrorKind::Request,
            format!("the notes cannot be written: {why}"),
        )
    })
}

/// The archive with which the new one shares what has not changed.
fn base(
    arguments: &Backup,
    target: &ArchiveTarget,
    guest: &GuestId,
    log: &Log,
    cancel: &CancelToken,
) -> Result<(Option<BaseArchive>, usize), Error> {
    let Some(path) = target.path() else {
        let message = "--reuse needs a directory or a storage, not standard output";
        return Err(Error::new(ErrorKind::Request, message));
    };
    dump::find_base(
        path,
        arguments.compress,
        guest,
        arguments.target_timeout,
        log,
        cancel,
    )
}

/// Tells what would be done.
fn dry_run(job: &Job<'_>, config: Option<&Path>) -> Result<u8, Error> {
    let Job {
        arguments,
        guest,
        log,
        ..
    } = job;
    let which = &arguments.which;
    let foreseen = match (&which.nbd, &which.native, &guest.qmp) {
        (Some(server), ..) => disks::foresee_exports(job, server),
        (_, Some(control), _) => disks::foresee_served(job, control),
        (.., Some(qmp)) => live::foresee(job, qmp, config),
        _ => disks::foresee_images(job),
    }?;
    if let Some(rules) = &arguments.prune_backups {
        log.info(&format!(
            "would then remove older backups of {} that none of the rules {rules} keeps; `fleece prune --dry-run` \
             shows them",
            guest.id
        ));
    }
    log.info("nothing was changed: this is a dry run");
    let disks = foreseen.disks.iter();
    let disks = disks.map(|(name, size)| json!({ "name": name, "size": size }));
    log.result(&json!({
        "dry_run": true,
        "guest": guest.id.to_string(),
        "archive": job.archive.target.path(),
        "devices": disks.collect::<Vec<_>>(),
        "warnings": foreseen.warnings,
    }));
    Ok(exit::done(foreseen.warnings))
}

/// What is to be done when the backup is complete; standard output has no place for that.
fn afterwards(arguments: &Backup) -> Result<Afterwards, Error> {
    let mut afterwards = Afterwards::default();
    afterwards.notes.clone_from(&arguments.notes);
    afterwards.protected = arguments.protected;
    afterwards.verify = arguments.verify;
    afterwards.prune = arguments.prune_backups;
    if !afterwards.is_empty() && arguments.to.as_os_str() == "-" {
        let message = "--notes, --protected, --verify and --prune-backups need a directory, not standard output";
        return Err(Error::new(ErrorKind::Request, message));
    }
    if arguments.prune_backups.is_some()
        && arguments.to.extension().is_some()
        && !arguments.to.is_dir()
        && (!stores::is_address(&arguments.to) || dump::is_archive(&arguments.to))
    {
        let message = "--prune-backups needs a directory or a storage: an archive with a name of its own is no \
                       guest's, and is never removed";
        return Err(Error::new(ErrorKind::Request, message));
    }
    Ok(afterwards)
}

fn tell(done: &Outcome, guest: &GuestId, log: &Log) {
    let archived = &done.archived;
    log.info(&format!(
        "backup is sparse: {} ({}%) total zero data",
        units::bytes(archived.zero),
        units::percent(archived.zero, archived.disks)
    ));
    log.info(&format!(
        "transferred {} in {} ({})",
        units::bytes(archived.disks),
        units::duration(archived.took),
        units::rate(units::speed(archived.disks, archived.took))
    ));
    if let Some(peak) = done.fleecing_peak {
        log.info(&format!(
            "fleecing images held at most {}",
            units::bytes(peak)
        ));
    }
    log.info(&format!(
        "archive file size: {}",
        units::bytes(archived.size)
    ));
    if let Some(tracked) = done.tracked.as_ref().filter(|tracked| tracked.disks > 0) {
        log.info(&format!(
            "read of the guest: {}; taken from the earlier archive: {}",
            units::bytes(tracked.from_guest),
            units::bytes(tracked.from_archive)
        ));
    }
    if let Some(shared) = archived.shared {
        log.info(&format!(
            "shared with the earlier archive: {} ({}%)",
            units::bytes(shared),
            units::percent(shared, archived.size)
        ));
        log.info(&format!(
            "new at the target: {}",
            units::bytes(archived.new_bytes())
        ));
    }
    log.info(&format!(
        "Finished Backup of VM {guest} ({})",
        units::duration(archived.took)
    ));
}

/// The same for programs.
fn summary(done: &Outcome, guest: &GuestId) -> Value {
    let archived = &done.archived;
    json!({
        "guest": guest.to_string(),
        "archive": archived.path,
        "size": archived.size,
        "shared": archived.shared,
        "new": archived.new_bytes(),
        "disks": archived.disks,
        "zero": archived.zero,
        "seconds": archived.took.as_secs_f64(),
        "switch_ms": millis(done.switched.map(|switched| switched.took)),
        "paused_ms": millis(done.switched.and_then(|switched| switched.paused)),
        "frozen_ms": millis(done.frozen),
        "down_ms": millis(done.down),
        "fleecing_peak": done.fleecing_peak,
        "read_of_guest": done.tracked.as_ref().map(|tracked| tracked.from_guest),
        "read_of_archive": done.tracked.as_ref().map(|tracked| tracked.from_archive),
        "disks_by_bitmap": done.tracked.as_ref().map(|tracked| tracked.disks),
        "warnings": done.warnings,
    })
}

fn millis(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64() * 1000.0)
}

fn archive_options(arguments: &Backup, path: Option<PathBuf>, now: &Zoned) -> ArchiveOptions {
    let uuid = uuid::Uuid::new_v4().into_bytes();
    let mut content = Content::new(uuid, now.timestamp().as_second());
    content.aligned = arguments.align || arguments.reuse || arguments.incremental;
    let mut target = path.map_or_else(ArchiveTarget::stdout, ArchiveTarget::file);
    target.compression = arguments.compress;
    target.timeout = arguments.target_timeout;
    target.keep_partial = arguments.keep_partial;
    let mut options = ArchiveOptions::new(content, target);
    options.pacing.bandwidth = arguments.bwlimit;
    options.pacing.shared_bandwidth = arguments.shared_in.clone().zip(arguments.shared_bwlimit);
    options.pacing.depth = arguments.max_depth.into();
    options.pacing.guest_latency = arguments.guest_latency;
    options.pacing.finish_within = arguments.finish_within.0;
    options.pacing.fleecing_limit = arguments.fleecing_limit;
    let shared = arguments.shared_fleecing_in.clone();
    options.pacing.shared_fleecing = shared.zip(arguments.shared_fleecing_limit);
    options
}
