//! `fleece report` and `fleece metrics`: how the backups of all guests stand.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use fleece_backup_core::dump::{DumpDirectory, KeepRules, storage_id};
use fleece_backup_core::{Error, ErrorKind, Places, units};
use fleece_fleet::status;
use fleece_report::{Guest, Options, Report, metrics as lines, page, running};
use fleece_staged_file::StagedFile;
use fleece_storage::Storages;
use serde_json::{Value, json};

use crate::cli::report::{Metrics, Report as Arguments};
use crate::log::Log;
use crate::namesake;
use crate::table::table;
use fleece_bins::{events, exit};

/// Who may read a page or metrics: whoever may list the backups.
const MODE: u32 = 0o644;

/// A table, a page, or an object a guest. Exit code 3 says that a guest needs a look.
pub(crate) fn report(arguments: &Arguments, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let storages = places.storages()?;
    namesake::tell(&arguments.place, &storages, log);
    let mut options = Options::default();
    options.rules = match arguments.keep {
        Some(rules) => Some(rules),
        None => configured(&arguments.place, &storages)?,
    };
    options.guest.clone_from(&arguments.guest);
    options.nights = arguments.nights;
    let directory = DumpDirectory::open(&arguments.place, &storages)?;
    let directory = directory.with_unwritten(&places.state_dir());
    let report = Report::of(&directory, &options)?;
    for guest in &report.guests {
        log.result(&to_json(guest)?);
    }
    if let Some(file) = &arguments.html {
        write(file, &page(&report), log)?;
    } else if report.guests.is_empty() {
        log.info("there are no backups");
    } else {
        log.data(&table(
            [
                "GUEST", "STATE", "NEWEST", "VERIFIED", "BACKUPS", "SIZE", "WHY",
            ],
            report.guests.iter().map(row).collect(),
        ));
    }
    let nights = to_json(&report.nights)?;
    let totals = json!({ "place": report.place, "made": report.made, "nights": nights });
    log.result(&events::with(totals, to_json(&report.totals)?));
    Ok(ExitCode::from(match report.totals.attention {
        0 => 0,
        _ => exit::WARNINGS,
    }))
}

/// The same as metrics.
pub(crate) fn metrics(arguments: &Metrics, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let storages = places.storages()?;
    namesake::tell(&arguments.place, &storages, log);
    let directory = DumpDirectory::open(&arguments.place, &storages)?;
    let directory = directory.with_unwritten(&places.state_dir());
    let mut text = lines(&Report::of(&directory, &Options::default())?);
    // Whose state directory cannot be read does not know what runs.
    let all = status::all(&places.state_dir()).unwrap_or_default();
    text.push_str(&running(&all));
    match &arguments.textfile {
        Some(file) if file.extension().is_none_or(|extension| extension != "prom") => {
            let message = format!(
                "{}: the node exporter reads only files whose names end in .prom",
                file.display()
            );
            return Err(Error::new(ErrorKind::Request, message));
        }
        Some(file) => write(file, &text, log)?,
        // They are for programs as they are.
        None => log.data(&text),
    }
    Ok(ExitCode::SUCCESS)
}

fn row(guest: &Guest) -> [String; 7] {
    let name = guest.name.as_ref().filter(|name| **name != guest.guest);
    let called = name.map_or_else(
        || guest.guest.clone(),
        |name| format!("{} ({name})", guest.guest),
    );
    let archives = guest.backups.iter().filter(|backup| backup.file.is_some());
    [
        called,
        guest.state.word().to_owned(),
        guest
            .newest
            .map_or_else(|| "-".into(), |time| time.strftime("%F %H:%M").to_string()),
        guest
            .newest_verified
            .map_or_else(|| "-".into(), |time| time.strftime("%F").to_string()),
        archives.count().to_string(),
        units::bytes(guest.size),
        guest.why.clone(),
    ]
}

/// The rules that a storage has.
fn configured(place: &Path, storages: &Storages) -> Result<Option<KeepRules>, Error> {
    let section = storage_id(place, storages).and_then(|id| storages.config().section(id));
    let rules = section.and_then(|section| section.get("prune-backups"));
    rules.map(str::parse).transpose()
}

pub(crate) fn write(file: &Path, text: &str, log: &Log) -> Result<(), Error> {
    let written = StagedFile::create(file, MODE).and_then(|mut staged| {
        staged.write_all(text.as_bytes())?;
        staged.commit_replacing()
    });
    let committed = written.map_err(|error| {
        let message = format!("cannot write {}", file.display());
        Error::caused(ErrorKind::Target, message, error)
    })?;
    if let Some(warning) = committed.warning() {
        log.warning(warning);
    }
    Ok(())
}

fn to_json(value: &impl serde::Serialize) -> Result<Value, Error> {
    serde_json::to_value(value)
        .map_err(|error| Error::caused(ErrorKind::Internal, "cannot make JSON", error))
}
