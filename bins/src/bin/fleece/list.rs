//! `fleece list` and `fleece prune`: the backups of a directory or storage.

use std::path::Path;
use std::process::ExitCode;

use fleece_backup_core::dump::{
    Backup, Boots, DumpDirectory, Fault, KeepRules, Pruned, Verdict, frees, storage_id,
};
use fleece_backup_core::{Error, ErrorKind, Places, units};
use fleece_guest_config::GuestId;
use fleece_storage::Storages;
use serde_json::{Value, json};

use crate::cli::backups::{List, Prune};
use crate::log::Log;
use crate::namesake;
use crate::table::{fitted, table};
use fleece_bins::exit;

/// Prints a table, or an object a backup.
pub(crate) fn list(arguments: &List, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let storages = places.storages()?;
    namesake::tell(&arguments.place, &storages, log);
    let mut backups = DumpDirectory::open(&arguments.place, &storages)?.list()?;
    backups
        .retain(|backup| arguments.guest.is_none() || backup.guest() == arguments.guest.as_ref());
    for backup in &backups {
        log.result(&backup.to_json());
    }
    if backups.is_empty() {
        log.info("there are no backups");
        return Ok(ExitCode::SUCCESS);
    }
    match width() {
        Some(width) => log.data(&grouped(&backups, width)),
        None => log.data(&table(TITLES, backups.iter().map(row).collect())),
    }
    if backups.iter().any(|backup| !backup.is_readable()) {
        log.info(
            "archives in bzip2 are not read; restore one with bunzip2 -c FILE | fleece restore -",
        );
    }
    Ok(ExitCode::SUCCESS)
}

const TITLES: [&str; 8] = [
    "GUEST",
    "TIME",
    "SIZE",
    "OWN",
    "VERIFIED",
    "PROTECTED",
    "ARCHIVE",
    "NOTES",
];

/// Columns that can be dispensed with on a narrow terminal, the first one first: `OWN`, `PROTECTED`, and `TIME`, which
/// the archive's name has, too.
const DISPENSABLE: [usize; 3] = [3, 5, 1];

/// How wide the terminal is, if there is one.
fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// A table for each guest.
fn grouped(backups: &[Backup], width: usize) -> String {
    let mut text = String::new();
    for group in backups.chunk_by(|one, other| one.guest() == other.guest()) {
        let size = group.iter().map(Backup::size);
        let size = size.fold(0_u64, u64::saturating_add);
        let guest = group.first().and_then(Backup::guest);
        let guest = guest.map_or_else(|| "other names".to_owned(), |id| format!("guest {id}"));
        let count = units::count(group.len(), "backup", "backups");
        text.push_str(&format!("{guest}: {count}, {}\n", units::bytes(size)));
        let mut titles = TITLES;
        titles[0] = "";
        let rows = group.iter().map(|backup| {
            let mut row = row(backup);
            row[0].clear();
            row
        });
        text.push_str(&fitted(titles, rows.collect(), width, &DISPENSABLE));
    }
    text
}

fn row(backup: &Backup) -> [String; 8] {
    let guest = backup
        .guest()
        .map_or_else(|| "-".into(), |id| id.to_string());
    let notes = backup.notes().unwrap_or_default();
    [
        guest,
        time(backup),
        units::bytes(backup.size()),
        backup.own().map_or_else(|| "-".into(), units::bytes),
        match backup.is_readable() {
            true => verified(backup),
            false => "not read".into(),
        },
        if backup.is_protected() { "yes" } else { "-" }.into(),
        backup.file_name().to_owned(),
        notes.lines().next().unwrap_or_default().to_owned(),
    ]
}

/// What a verification and a drill found, such as `sound+boots`.
fn verified(backup: &Backup) -> String {
    let verified = backup.verified().to_string();
    match backup.boots() {
        Boots::Yes(_) => format!("{verified}+boots"),
        Boots::No(_) => format!("{verified}, fails to boot"),
        _ => verified,
    }
}

/// Removes what no rule keeps, and tells of each backup what became of it and why.
pub(crate) fn prune(arguments: &Prune, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let storages = places.storages()?;
    let rules = match arguments.keep {
        Some(rules) => rules,
        None => configured(&arguments.place, &storages)?,
    };
    if rules.keeps_all() && arguments.keep.is_some() {
        return Err(Error::new(
            ErrorKind::Request,
            "nothing would ever be removed: --keep needs a rule, e.g. keep-last=3,keep-weekly=4",
        ));
    }
    namesake::tell(&arguments.place, &storages, log);
    let directory = DumpDirectory::open(&arguments.place, &storages)?;
    let foreseen = directory.judge(&rules, arguments.guest.as_ref())?;
    let frees = space(&foreseen);
    let pruned = match arguments.dry_run {
        true => foreseen,
        false => directory.prune(&rules, arguments.guest.as_ref())?,
    };
    let mut failed = false;
    let mut rows = Vec::new();
    for pruned in &pruned {
        let error = pruned.error.as_ref().map(Error::chain);
        failed |= error.is_some();
        log.result(&verdict_json(pruned, error.as_deref(), arguments.dry_run));
        if let Some(error) = &error {
            log.warning(error);
        }
        rows.push([
            time(&pruned.backup),
            pruned.verdict.to_string(),
            pruned.backup.file_name().to_owned(),
        ]);
    }
    if rows.is_empty() {
        log.info("there are no backups");
    } else {
        log.data(&table(["TIME", "VERDICT", "ARCHIVE"], rows));
    }
    if let Some(frees) = frees {
        log.info(&frees);
    }
    if arguments.dry_run {
        log.info("nothing was removed: this is a dry run");
    }
    Ok(ExitCode::from(if failed { exit::WARNINGS } else { 0 }))
}

/// How much room there will be, which is less than the archives' sizes if others share blocks with them.
fn space(foreseen: &[Pruned]) -> Option<String> {
    let goes = |pruned: &&Pruned| matches!(pruned.verdict, Verdict::Remove(_));
    let removed = foreseen.iter().filter(goes);
    let size: u64 = removed.map(|pruned| pruned.backup.size()).sum();
    let files = foreseen
        .iter()
        .map(|pruned| (pruned.backup.path(), goes(&pruned)));
    let frees = frees(files).filter(|_| size > 0)?;
    let (size, frees) = (units::bytes(size), units::bytes(frees));
    Some(format!(
        "archives to be removed: {size}, of which {frees} become free"
    ))
}

/// The rules that a storage has.
fn configured(place: &Path, storages: &Storages) -> Result<KeepRules, Error> {
    let section = storage_id(place, storages).and_then(|id| storages.config().section(id));
    let Some(rules) = section.and_then(|section| section.get("prune-backups")) else {
        let message = format!(
            "what is to be kept of {}? give --keep, e.g. keep-last=3,keep-weekly=4; only a storage with \
             prune-backups says so itself",
            place.display()
        );
        return Err(Error::new(ErrorKind::Request, message));
    };
    rules.parse()
}

fn verdict_json(pruned: &Pruned, error: Option<&str>, dry_run: bool) -> Value {
    let (backup, verdict) = (&pruned.backup, &pruned.verdict);
    let removes = matches!(verdict, Verdict::Remove(_));
    json!({
        "file": backup.file_name(),
        "guest": backup.guest().map(GuestId::to_string),
        "vmid": backup.guest().and_then(GuestId::number),
        "verdict": verdict.to_string(),
        "fault": backup.fault().map(Fault::word),
        "removed": removes && error.is_none() && !dry_run,
        "error": error,
    })
}

/// In local time, as in the archives' names.
fn time(backup: &Backup) -> String {
    let time = backup.local_time();
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
