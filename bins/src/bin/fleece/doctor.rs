//! `fleece doctor`: what stands in the way of a guest's backup, all of it at once.

mod checks;

use std::process::ExitCode;

use fleece_backup_core::{CancelToken, Error, Places};
use serde_json::json;

use self::checks::{Finding, Result as Found};
use crate::cli::doctor::Doctor;
use crate::log::Log;
use crate::options;
use crate::run::own::OwnCommand;
use crate::table::table;
use fleece_bins::{exit, signals};

pub(crate) fn run(arguments: &Doctor, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let cancel = signals::watch_all()?;
    let findings = examine(arguments, places, &cancel)?;
    for finding in &findings {
        log.result(&json!({
            "check": finding.check,
            "result": finding.result.word(),
            "message": finding.message,
        }));
    }
    let rows = findings.iter().map(|finding| {
        [
            finding.check.to_owned(),
            finding.result.word().to_owned(),
            finding.message.clone(),
        ]
    });
    log.data(&table(["CHECK", "RESULT", "WHAT"], rows.collect()));
    let has = |result| findings.iter().any(|finding| finding.result == result);
    let code = match (has(Found::Problem), has(Found::Warning)) {
        (true, _) => exit::ERROR,
        (_, true) => exit::WARNINGS,
        _ => 0,
    };
    Ok(ExitCode::from(code))
}

fn examine(
    arguments: &Doctor,
    places: &Places,
    cancel: &CancelToken,
) -> Result<Vec<Finding>, Error> {
    let guest = arguments.guest.as_deref();
    let settings = options::load()?;
    let none = clap::ArgMatches::default();
    let set = options::options(&settings, "backup", guest, &none)?;
    let value = |option: &str| {
        let set = set.iter().find(|set| set.option == option)?;
        set.values.first().map(String::as_str)
    };
    let mut findings = vec![checks::configuration(&settings, &set)];
    findings.extend(checks::rights());
    findings.push(checks::state_directory(&places.state_dir()));
    findings.extend(checks::record(places, guest));
    let mut command = OwnCommand::new("backup", places);
    command.args(guest.map(checks::option_of));
    command.args(&arguments.options).arg("--dry-run");
    findings.extend(checks::rehearsal(command, cancel)?);
    findings.extend(value("agent").map(checks::agent));
    findings.extend(value("to").map(|to| checks::backups(to, guest, places, cancel)));
    for (option, program) in [
        ("script", value("script")),
        ("mail-to", value("mail-to").map(|_| "sendmail")),
        ("webhook", value("webhook").map(|_| "curl")),
        (
            "heartbeat",
            value("heartbeat")
                .filter(|to| !to.starts_with('/'))
                .map(|_| "curl"),
        ),
    ] {
        findings.extend(program.map(|program| checks::program(option, program)));
    }
    findings.push(checks::timer(guest));
    Ok(findings)
}
