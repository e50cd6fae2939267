//! What is called around a backup, and who is told of its end.

use std::path::Path;

use fleece_backup_core::{CancelToken, Error, Event, Phase, Places, Reporter};
use fleece_fleet::host;
use serde_json::{Value, json};

use super::job::Job;
use crate::cli::backup::Backup;
use crate::log::Log;
use crate::notices::{self, Notice};
use crate::script::Script;
use fleece_bins::exit;

/// The job's log, which passes phases on to the hook.
pub(super) struct Phased<'a>(pub(super) &'a Job<'a>);

impl Reporter for Phased<'_> {
    fn report(&self, event: &Event) {
        self.0.log.report(event);
    }

    fn enter(&self, phase: Phase) -> Result<(), Error> {
        self.0.script.guest(phase.name(), json!({}))
    }
}

/// All phases at once, for a backup that does nothing with the guest.
pub(super) fn pass_phases(job: &Job<'_>) -> Result<(), Error> {
    [Phase::PreStop, Phase::PreRestart, Phase::PostRestart]
        .into_iter()
        .try_for_each(|phase| Phased(job).enter(phase))
}

/// Does `work` as a job of its own.
pub(super) fn job(
    arguments: &Backup,
    places: &Places,
    (log, cancel): (&Log, &CancelToken),
    work: impl FnOnce() -> Result<u8, Error>,
) -> Result<u8, Error> {
    if arguments.hooks.script.is_none() {
        return work();
    }
    let to = Some(&*arguments.to).filter(|to| to.as_os_str() != "-");
    let storages = places.storages()?;
    let script = Script::new(&arguments.hooks, to, &storages, None, (log, cancel));
    let begun = script
        .job("job-init")
        .and_then(|()| script.job("job-start"));
    let result = begun.map(|()| work());
    match result {
        // That its guest failed does not abort the job.
        Ok(result) if cancel.reason().is_none() => {
            let ended = script.job("job-end");
            result.and_then(|code| ended.map(|()| code))
        }
        result => {
            script.job("job-abort")?;
            result.and_then(|result| result)
        }
    }
}

/// Tells all who want to know how it went; returns how many could not be told.
pub(super) fn tell(arguments: &Backup, result: &Result<u8, Error>, log: &Log) -> usize {
    let (code, error) = match result {
        Ok(code) => (*code, None),
        Err(error) => (exit::number(error), Some(error)),
    };
    let last = log.last_result();
    let field = |key| last.as_ref().and_then(|last| last.get(key)).cloned();
    let given = arguments
        .which
        .to_who()
        .given
        .map(|guest| guest.to_string());
    let guest = field("guest").or_else(|| given.map(Value::from));
    let message = error.map(Error::chain);
    let guests = match field("domains") {
        Some(Value::Array(domains)) => domains
            .iter()
            .map(|one| json!({ "guest": one.get("domain"), "exit_code": one.get("exit_code") }))
            .collect(),
        _ => vec![json!({
            "guest": guest,
            "exit_code": code,
            "kind": error.map(|error| error.kind().word()),
            "message": message,
            "archive": field("archive"),
            "size": field("size"),
        })],
    };
    let called = guest.as_ref().and_then(Value::as_str).unwrap_or("backup");
    let how = match code {
        0 => "done",
        exit::WARNINGS => "done, with warnings",
        _ => "failed",
    };
    let node = host::node();
    let archive = field("archive");
    let archive = archive.as_ref().and_then(Value::as_str).map(str::to_owned);
    let notice = Notice {
        subject: &format!("fleece on {node}: {called}: {how}"),
        text: &message.or(archive).unwrap_or_else(|| how.to_owned()),
        object: &json!({ "host": node, "job": null, "exit_code": code, "guests": guests }),
        exit_code: code,
    };
    notices::send(&arguments.hooks, &notice, log)
}

/// What the guest is called, for its hook and its notes.
pub(super) fn name(job: &super::ArchiveOptions, domain: Option<&str>) -> Option<String> {
    let config = job.content.guest.as_ref();
    let name = config.and_then(|config| config.main().get("name"));
    name.or(domain).map(str::to_owned)
}

/// The path of the archive, for a hook.
pub(super) fn target(job: &super::ArchiveOptions) -> Option<&Path> {
    job.target.path()
}
