//! `fleece run`: the backups of several guests.

mod afterwards;
mod failures;
mod guests;
pub(crate) mod own;
mod show;
mod workers;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use fleece_backup_core::{CancelToken, Error, ErrorKind, Places, clock, units};
use fleece_fleet::{Ended, ErrorKind as FleetErrorKind, host, lock_job, worst};
use fleece_settings::Settings;
use fleece_staged_file::create_directories;
use serde_json::{Value, json};

use self::guests::Guest;
use self::show::Show;
use self::workers::{FLEECING, Workers};
use crate::cli::run::Run;
use crate::log::Log;
use crate::notices::{self, Notice};
use crate::options;
use crate::script::Script;
use crate::table::table;
use fleece_bins::{events, exit, signals};

pub(crate) fn run(arguments: &Run, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let cancel = signals::watch_all()?;
    let settings = options::load()?;
    let job = job(arguments, &settings.jobs())?;
    if arguments.dry_run {
        let guests = guests::select(arguments, &settings, places, (None, &cancel), log)?;
        let (code, _) = all(arguments, (places, &settings), &guests, (log, &cancel))?;
        return Ok(ExitCode::from(code));
    }
    let _lock = lock_job(&places.state_dir(), job).map_err(locked)?;
    let shared = Shared::new(places, job)?;
    let unsent = notices::begin(&arguments.hooks, &json!({ "job": arguments.job }), log);
    let target = options::value(&settings, "to")?.map(PathBuf::from);
    let script = (arguments.job.as_deref(), target.as_deref());
    let storages = places.storages()?;
    let script = Script::new(
        &arguments.hooks,
        script.1,
        &storages,
        script.0,
        (log, &cancel),
    );
    let ran = script.job("job-init").and_then(|()| {
        let guests = guests::select(
            arguments,
            &settings,
            places,
            (Some(&shared.0), &cancel),
            log,
        )?;
        script.job("job-start")?;
        let ended = all(arguments, (places, &settings), &guests, (log, &cancel))?;
        cancel.reason().map(Error::cancelled).map_or(Ok(()), Err)?;
        script.job("job-end")?;
        Ok(ended)
    });
    let (code, told) = match &ran {
        Ok((code, told)) => (*code, told.clone()),
        Err(error) => {
            script.job("job-abort")?;
            let why = error.chain();
            let object =
                json!({ "job": arguments.job, "exit_code": exit::number(error), "message": why });
            (
                exit::number(error),
                Told {
                    subject: "failed".into(),
                    text: why,
                    object,
                },
            )
        }
    };
    let subject = format!(
        "fleece on {}: {}{}",
        host::node(),
        called(arguments),
        told.subject
    );
    let notice = Notice {
        subject: &subject,
        text: &told.text,
        object: &events::with(told.object, json!({ "host": host::node() })),
        exit_code: code,
    };
    let unsent = unsent.saturating_add(notices::send(&arguments.hooks, &notice, log));
    ran?;
    Ok(ExitCode::from(worst([code, exit::done(unsent)])))
}

fn locked(error: fleece_fleet::Error) -> Error {
    let kind = match error.kind() {
        FleetErrorKind::Busy => ErrorKind::Busy,
        FleetErrorKind::File => ErrorKind::Storage,
        _ => ErrorKind::Request,
    };
    match std::error::Error::source(&error) {
        Some(_) => Error::caused(kind, "the job cannot be locked", error),
        None => Error::new(kind, error.to_string()),
    }
}

/// The directory in which the backups of a job share its limits, removed on drop.
struct Shared(PathBuf);

impl Shared {
    fn path(places: &Places, job: &str) -> PathBuf {
        let job = job.replace('.', ",");
        places.state_dir().join(format!("job={job}.shared"))
    }

    /// What a killed run has left is gone.
    fn new(places: &Places, job: &str) -> Result<Self, Error> {
        let shared = Self(Self::path(places, job));
        let _ = fs::remove_dir_all(&shared.0);
        create_directories(&shared.0.join(FLEECING), 0o700).map_err(|error| {
            let message = format!("cannot create {}", shared.0.display());
            Error::caused(ErrorKind::Storage, message, error)
        })?;
        Ok(shared)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How it went, for all who want to know.
#[derive(Clone)]
struct Told {
    subject: String,
    text: String,
    object: Value,
}

fn called(arguments: &Run) -> String {
    let job = arguments.job.as_ref();
    job.map_or_else(String::new, |job| format!("job {job}: "))
}

/// Backs all of them up, and does what is due then; returns the exit code.
fn all(
    arguments: &Run,
    (places, settings): (&Places, &Settings),
    guests: &[Guest],
    (log, cancel): (&Log, &CancelToken),
) -> Result<(u8, Told), Error> {
    if guests.is_empty() {
        log.warning("no guest is found, so nothing is backed up");
    }
    let show = Show::new(log, guests.len());
    let shared = Shared::path(places, arguments.job.as_deref().unwrap_or_default());
    let workers = Workers {
        arguments,
        places,
        show: &show,
        cancel,
        shared: Some(&*shared).filter(|_| !arguments.dry_run),
    };
    let began = clock::now();
    let ended = workers.run(guests)?;
    if !arguments.dry_run {
        failures::record(guests, &ended, &began, places)?;
    }
    let after = match (arguments.dry_run, cancel.reason()) {
        (false, None) => afterwards::run(&workers, settings, guests)?,
        _ => Vec::new(),
    };
    show.end();
    let codes = ended.iter().map(|(ended, _)| ended.code);
    let none = exit::done(usize::from(guests.is_empty()));
    let code = worst(
        codes
            .chain(after.iter().map(|done| done.code))
            .chain([none]),
    );
    let table = as_table(guests, &ended);
    if code != 0 || !log.is_quiet() {
        log.data(&table);
    }
    if arguments.dry_run {
        log.info("nothing was changed: this is a dry run");
    }
    let object = json!({
        "job": arguments.job,
        "dry_run": arguments.dry_run,
        "exit_code": code,
        "guests": guests.iter().zip(&ended).map(of_guest).collect::<Vec<_>>(),
        "afterwards": after.iter().map(afterwards::Done::to_json).collect::<Vec<_>>(),
    });
    log.result(&object);
    let failed = ended.iter().filter(|(ended, _)| !ended.is_done()).count();
    let subject = match (failed, code) {
        (0, 0) => units::count(guests.len(), "guest is backed up", "guests are backed up"),
        (0, exit::WARNINGS) if guests.is_empty() => "no guest is found".to_owned(),
        (0, exit::WARNINGS) => "done, with warnings".to_owned(),
        (0, _) => "backed up, but older archives are not as they should be".to_owned(),
        (failed, _) => format!("{failed} of {} failed", guests.len()),
    };
    let due = after.iter().filter_map(afterwards::Done::trouble);
    let text = due.fold(table, |text, line| format!("{text}\n{line}"));
    Ok((
        code,
        Told {
            subject,
            text,
            object,
        },
    ))
}

/// The job's name, which is in the configuration; empty if none is named.
fn job<'a>(arguments: &'a Run, known: &[&str]) -> Result<&'a str, Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Request, message));
    let jobs = match known {
        [] => "none".to_owned(),
        known => known.join(", "),
    };
    match arguments.job.as_deref() {
        Some(job) if known.contains(&job) => Ok(job),
        Some(job) => refuse(format!(
            "there is no job {job:?}: the configuration has no section [job.{job}]; its jobs: {jobs}"
        )),
        None if guests::are_named(arguments) => Ok(""),
        None => refuse(format!(
            "it is not said which guests are meant: name a job of the configuration (it has {jobs}), or say --all"
        )),
    }
}

/// The table at the end.
fn as_table(guests: &[Guest], ended: &[(Ended, u32)]) -> String {
    let rows = guests.iter().zip(ended).map(|(guest, (ended, attempts))| {
        let number = |key| ended.summary.as_ref()?.get(key)?.as_u64();
        let archive = ended.summary.as_ref().and_then(|summary| {
            let path = summary.get("archive")?.as_str()?;
            Some(path.rsplit('/').next().unwrap_or(path).to_owned())
        });
        let more = ended.message.clone().or(archive).unwrap_or_default();
        [
            guest.name.clone(),
            word(ended.code).to_owned(),
            number("size").map_or_else(|| "-".into(), units::bytes),
            units::duration(ended.took),
            attempts.to_string(),
            more,
        ]
    });
    let titles = ["GUEST", "RESULT", "SIZE", "TIME", "TRIES", "ARCHIVE"];
    table(titles, rows.collect())
}

fn word(code: u8) -> &'static str {
    match code {
        0 => "done",
        exit::WARNINGS => "warnings",
        exit::DAMAGE => "DAMAGED",
        _ => "FAILED",
    }
}

fn of_guest((guest, (ended, attempts)): (&Guest, &(Ended, u32))) -> Value {
    let field = |key| ended.summary.as_ref().and_then(|summary| summary.get(key));
    json!({
        "guest": guest.name,
        "exit_code": ended.code,
        "kind": ended.kind,
        "message": ended.message,
        "attempts": attempts,
        "seconds": ended.took.as_secs_f64(),
        "archive": field("archive"),
        "size": field("size"),
    })
}
