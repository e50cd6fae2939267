//! `fleece note`, `protect` and `delete`: one backup and what lies beside its archive.

use std::path::Path;
use std::process::ExitCode;

use fleece_backup_core::dump::{Backup, DumpDirectory};
use fleece_backup_core::{Error, ErrorKind};

use fleece_plain_text::lines;

use crate::advice;
use crate::cli::{Delete, Note, Protect};
use crate::log::Log;
use fleece_bins::exit;

pub(crate) fn note(arguments: &Note, log: &Log) -> Result<ExitCode, Error> {
    let (directory, backup) = find(&arguments.archive)?;
    match &arguments.text {
        Some(text) => directory.set_notes(&backup, text)?,
        None => {
            log.result(&backup.to_json());
            if let Some(notes) = backup.notes() {
                log.data(&format!("{}\n", lines(notes)));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn protect(arguments: &Protect) -> Result<ExitCode, Error> {
    let (directory, backup) = find(&arguments.archive)?;
    directory.set_protected(&backup, !arguments.off)?;
    Ok(ExitCode::SUCCESS)
}

/// All that can be removed is; the first error is told.
pub(crate) fn delete(arguments: &Delete, log: &Log) -> Result<ExitCode, Error> {
    let mut first = None;
    let mut code = ExitCode::SUCCESS;
    for archive in &arguments.archives {
        match find(archive).and_then(|(directory, backup)| directory.remove(&backup)) {
            Ok(()) => log.info(&format!("removed {}", archive.display())),
            Err(error) if error.kind() == ErrorKind::Unsynced => {
                log.warning(&advice::text(&error));
                code = exit::code(&error);
            }
            Err(error) if first.is_none() => first = Some(error),
            Err(error) => log.warning(&advice::text(&error)),
        }
    }
    first.map_or(Ok(code), Err)
}

pub(crate) fn find(archive: &Path) -> Result<(DumpDirectory, Backup), Error> {
    let (Some(directory), Some(name)) = (
        archive.parent(),
        archive.file_name().and_then(|name| name.to_str()),
    ) else {
        return Err(Error::new(
            ErrorKind::Request,
            format!("{} is no archive", archive.display()),
        ));
    };
    let directory = match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    };
    let directory = DumpDirectory::new(directory);
    let backup = directory.find(name)?;
    Ok((directory, backup))
}
