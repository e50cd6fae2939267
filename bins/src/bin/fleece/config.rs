//! `fleece config`

use std::process::ExitCode;

use clap::ArgMatches;
use fleece_backup_core::{Error, ErrorKind};
use serde_json::json;

use crate::cli::config::{ConfigCommand, ConfigShow};
use crate::log::Log;
use crate::options;
use crate::table::table;

pub(crate) fn run(command: &ConfigCommand, log: &Log) -> Result<ExitCode, Error> {
    match command {
        ConfigCommand::Check => check(log),
        ConfigCommand::Show(arguments) => show(arguments, log),
    }
}

fn check(log: &Log) -> Result<ExitCode, Error> {
    let settings = options::load()?;
    let faults = options::faults(&settings);
    for fault in &faults {
        log.warning(fault);
    }
    if !faults.is_empty() {
        let message = "the configuration has values that its options do not take, see above";
        return Err(Error::new(ErrorKind::Request, message));
    }
    let files: Vec<_> = settings.files().iter().map(|file| file.display()).collect();
    let found = settings.all().len();
    for file in &files {
        log.info(&format!("{file} is fine"));
    }
    if files.is_empty() {
        log.info("there is no configuration");
    }
    let files: Vec<_> = files.iter().map(ToString::to_string).collect();
    log.result(&json!({"files": files, "settings": found}));
    Ok(ExitCode::SUCCESS)
}

fn show(arguments: &ConfigShow, log: &Log) -> Result<ExitCode, Error> {
    let (command, guest) = (&arguments.command, arguments.guest.as_deref());
    let set = options::options(&options::load()?, command, guest, &ArgMatches::default())?;
    for set in &set {
        log.result(&json!({"option": set.option, "values": set.values, "origin": set.origin}));
    }
    if set.is_empty() {
        log.info(&format!("no option of `fleece {command}` is set"));
        return Ok(ExitCode::SUCCESS);
    }
    let rows = set.into_iter().map(|set| {
        let values = set.values.join(", ");
        [set.option, values, set.origin]
    });
    log.data(&table(["OPTION", "VALUE", "FROM"], rows.collect()));
    Ok(ExitCode::SUCCESS)
}
