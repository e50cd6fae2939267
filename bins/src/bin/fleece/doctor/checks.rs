//! The checks, each of one thing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fleece_backup_core::dump::{Backup, DumpDirectory, Verified};
use fleece_backup_core::{CancelToken, Error, Places, at_target, clock, units};
use fleece_fleecing::{GuestAddress, GuestAgent};
use fleece_fleet::Told;
use fleece_guest_config::GuestId;
use fleece_qmp_client::Options;
use fleece_settings::Settings;
use rustix::fs::{Access, access};
use serde_json::Value;

use crate::advice;
use crate::notices;
use crate::options::{self, Set};
use crate::run::own::OwnCommand;
use fleece_bins::advice::chain;

/// What a check has found.
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) result: Result,
    pub(super) message: String,
}

/// How that is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Result {
    Fine,
    /// What would be done.
    Told,
    /// The backup would be done, but not as it should be.
    Warning,
    /// There would be no backup.
    Problem,
}

impl Result {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Told => "-",
            Self::Warning => "warning",
            Self::Problem => "PROBLEM",
        }
    }
}

fn finding(check: &'static str, result: Result, message: impl Into<String>) -> Finding {
    let message = message.into();
    Finding {
        check,
        result,
        message,
    }
}

/// How long a target or an agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the guest is named on the command line.
pub(super) fn option_of(guest: &str) -> String {
    let is_number = guest
        .parse()
        .is_ok_and(|guest: GuestId| guest.number().is_some());
    let option = if is_number { "--vmid" } else { "--name" };
    format!("{option}={guest}")
}

pub(super) fn configuration(settings: &Settings, set: &[Set]) -> Finding {
    let faults = options::faults(settings);
    let files: Vec<_> = settings
        .files()
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    match (&faults[..], &files[..]) {
        ([], []) => finding("configuration", Result::Fine, "there is none"),
        ([], files) => {
            let set = units::count(set.len(), "option is set", "options are set");
            let files = files.join(", ");
            finding("configuration", Result::Fine, format!("{set} by {files}"))
        }
        (faults, _) => finding("configuration", Result::Problem, faults.join("; ")),
    }
}

/// What we may do here.
pub(super) fn rights() -> Option<Finding> {
    let is_root = rustix::process::geteuid().is_root();
    (!is_root).then(|| {
        let message = "not root: monitors and images of other users cannot be used, and records are in your own \
                       state directory";
        finding("rights", Result::Told, message)
    })
}

pub(super) fn state_directory(directory: &Path) -> Finding {
    let there = directory.ancestors().find(|path| path.exists());
    let there = there.unwrap_or_else(|| Path::new("/"));
    let shown = directory.display();
    match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => finding("state directory", Result::Fine, shown.to_string()),
        Err(error) => {
            let message = format!("{shown} cannot be used: {error}; name another with --state-dir");
            finding("state directory", Result::Problem, message)
        }
    }
}

/// What an earlier backup has left.
pub(super) fn record(places: &Places, guest: Option<&str>) -> Option<Finding> {
    let guest: GuestId = guest?.parse().ok()?;
    let left = fleece_fleecing::Place::guests(&places.state_dir()).ok()?;
    left.contains(&guest).then(|| {
        let message = format!(
            "a backup or restore of {guest} is under way, or was killed: `fleece status`, `fleece cleanup {guest}`"
        );
        finding("record", Result::Warning, message)
    })
}

/// What a backup would do, as a dry run tells it.
pub(super) fn rehearsal(
    command: OwnCommand,
    cancel: &CancelToken,
) -> std::result::Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let ended = command.run(cancel, &mut |told| {
        let Told::Event(event) = told else {
            return;
        };
        let text = |key| event.get(key).and_then(Value::as_str);
        if let (Some(kind), Some(message)) = (text("event"), text("message")) {
            let result = match kind {
                "warning" => Result::Warning,
                "status" => Result::Told,
                _ => return,
            };
            findings.push(finding("backup", result, message));
        }
    })?;
    findings.retain(|finding| !finding.message.starts_with("nothing was changed"));
    findings.push(match (ended.is_done(), ended.message) {
        (true, _) => finding("backup", Result::Fine, "nothing stands in its way"),
        (false, message) => {
            let message = message.unwrap_or_else(|| format!("it ends with code {}", ended.code));
            finding("backup", Result::Problem, message)
        }
    });
    Ok(findings)
}

pub(super) fn agent(address: &str) -> Finding {
    let Ok(at) = address.parse::<GuestAddress>();
    let answers =
        GuestAgent::connect(&at, &Options::default()).and_then(|mut agent| agent.ping(PATIENCE));
    match answers {
        Ok(()) => finding("agent", Result::Fine, format!("answers at {address}")),
        Err(error) => {
            let message = format!(
                "does not answer at {address}: {}; without it file systems are not frozen for the instant",
                chain(&error)
            );
            finding("agent", Result::Warning, message)
        }
    }
}

/// The guest's newest backup at the target.
pub(super) fn backups(
    to: &str,
    guest: Option<&str>,
    places: &Places,
    cancel: &CancelToken,
) -> Finding {
    let look = {
        let (to, places) = (PathBuf::from(to), places.clone());
        move || DumpDirectory::open(&to, &places.storages()?)?.list()
    };
    let backups = match at_target("a look at the backups", PATIENCE, cancel, look) {
        Ok(backups) => backups,
        Err(error) => return finding("backups", Result::Problem, advice::text(&error)),
    };
    let is_its = |backup: &&Backup| {
        backup.fault().is_none()
            && backup
                .guest()
                .is_some_and(|id| guest == Some(&*id.to_string()))
    };
    let all: Vec<_> = backups.iter().filter(is_its).collect();
    let Some(newest) = all.last() else {
        let message = format!("there is none of this guest in {to}");
        return finding("backups", Result::Told, message);
    };
    let verified = match newest.verified() {
        Verified::Sound(_) => "verified",
        _ => "not verified",
    };
    let age = clock::now().timestamp().duration_since(newest.time());
    let days = age.as_hours() / 24;
    let message = format!(
        "{} in {to}; the newest is {days} days old, {verified}",
        units::count(all.len(), "sound one", "sound ones")
    );
    let result = if days > 7 {
        Result::Warning
    } else {
        Result::Fine
    };
    finding("backups", result, message)
}

/// A program that is to be called.
pub(super) fn program(option: &str, program: &str) -> Finding {
    let found = match program.contains('/') {
        true => program.into(),
        false => notices::program(program),
    };
    match found.is_file() && access(found.as_path(), Access::EXEC_OK).is_ok() {
        true => finding(
            "hooks",
            Result::Fine,
            format!("--{option}: {}", found.display()),
        ),
        false => {
            let message = format!("--{option} needs {program}, which cannot be run");
            finding("hooks", Result::Warning, message)
        }
    }
}

/// Whether something begins it every night.
pub(super) fn timer(guest: Option<&str>) -> Finding {
    let wants = Path::new("/etc/systemd/system/timers.target.wants");
    let own = guest.map(|guest| format!("fleece-backup@{guest}.timer"));
    let timers = own.into_iter().chain(["fleece.timer".to_owned()]);
    let mut enabled = timers.filter(|timer| wants.join(timer).exists());
    match enabled.next() {
        Some(timer) => finding("timer", Result::Fine, format!("{timer} is enabled")),
        None => {
            let message = "no timer of ours is enabled: `systemctl enable --now fleece.timer`";
            finding("timer", Result::Told, message)
        }
    }
}
