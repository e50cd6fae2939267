//! `fleece demo`: what a slow backup target does to a guest, and what fleecing does about it.

mod disks;
mod load;
mod phases;
mod table;
mod truth;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use fleece_backup_core::{CancelToken, Error, ErrorKind, units};

use crate::cli::demo::Demo;
use crate::log::Log;
use fleece_bins::{exit, signals};
use phases::Stage;
use table::Table;

pub(crate) fn run(arguments: &Demo, log: &Log) -> Result<ExitCode, Error> {
    let cancel = signals::watch_all()?;
    let parent = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    check_space(&parent, arguments.size)?;
    let directory = tempfile::Builder::new()
        .prefix("fleece-demo-")
        .tempdir_in(&parent)
        .map_err(|error| storage("cannot make a temporary directory", error))?;
    let outcome = play(arguments, directory.path(), log, &cancel);
    let removed = directory
        .close()
        .map_err(|error| storage("cannot remove the temporary directory", error));
    let (table, equal) = outcome?;
    removed?;

    if equal {
        log.info("The restored disks equal the copies, byte for byte.");
    }
    log.data(&table.to_string());
    if let Some(file) = &arguments.html {
        crate::report::write(file, &table.page(&about(arguments)), log)?;
    }
    if let Some(file) = &arguments.svg {
        crate::report::write(file, &table.chart().svg(), log)?;
    }
    log.result(&table.to_json(arguments, equal));
    Ok(ExitCode::from(if equal { 0 } else { exit::DAMAGE }))
}

fn about(arguments: &Demo) -> String {
    format!(
        "A guest wants to write {}/s to two disks of {} together, (a) without a backup, (b) during one that saves old data \
         straight to a target that takes {}/s, and (c) during one to the same target with fleecing. Shown is what its writes \
         take, from the median to the 99th percentile, and what the fleecing images hold.",
        units::bytes(arguments.guest_speed),
        units::bytes(arguments.size),
        units::bytes(arguments.target_speed)
    )
}

/// Returns the table, and whether the restored disks are what they were.
fn play(
    arguments: &Demo,
    directory: &Path,
    log: &Log,
    cancel: &CancelToken,
) -> Result<(Table, bool), Error> {
    let &Demo {
        size,
        target_speed,
        guest_speed,
        ..
    } = arguments;
    log.info(&format!(
        "Two disks of {} together in {}: a third holes, a third noise, a third text.",
        units::bytes(size),
        directory.display()
    ));
    let disks = disks::create(directory, size, cancel)?;
    let stage = Stage {
        directory,
        disks,
        guest_speed,
        target_speed,
        log,
        cancel,
    };
    log.info(&format!(
        "A guest wants to write {}/s to them, 4 to 64 KiB at random places.",
        units::bytes(guest_speed)
    ));
    // Only noise takes time: little is left of the rest when it is compressed.
    let backup = size.checked_div(target_speed).unwrap_or(0) / 3;
    let seconds = |least, most| Duration::from_secs((backup / 3).clamp(least, most));

    let time = seconds(1, 6);
    log.info(&format!(
        "(a) For {}, there is no backup.",
        units::duration(time)
    ));
    let alone = stage.alone(time)?;

    let time = seconds(2, 12);
    log.info(&format!(
        "(b) A backup to a target that takes {}/s; old data goes there, too. Stopped after {}.",
        units::bytes(target_speed),
        units::duration(time)
    ));
    let straight = stage.straight(time)?;

    log.info("(c) The same with fleecing: old data goes to fast local files.");
    let fleeced = stage.fleeced()?;

    let equal = truth::check(&stage)?;
    Ok((Table::new([alone, straight, fleeced]), equal))
}

/// The disks, their copies, the fleecing images, the archive: all may become as large as the disks.
fn check_space(directory: &Path, size: u64) -> Result<(), Error> {
    let found = rustix::fs::statvfs(directory)
        .map_err(|error| storage(&format!("cannot use {}", directory.display()), error))?;
    let room = found.f_bavail.saturating_mul(found.f_frsize);
    let needed = size.saturating_mul(4);
    if room >= needed {
        return Ok(());
    }
    let message = format!(
        "the demo needs {} in {}, where {} are free; use --dir, or a smaller --size",
        units::bytes(needed),
        directory.display(),
        units::bytes(room)
    );
    Err(Error::new(ErrorKind::Storage, message))
}

fn storage(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::caused(ErrorKind::Storage, what, error)
}
