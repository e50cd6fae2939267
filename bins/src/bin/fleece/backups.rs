//! `fleece note`, `protect` and `delete`: backups that are named by their archives.

use std::process::ExitCode;

use fleece_backup_core::dump::DumpDirectory;
use fleece_backup_core::{Error, ErrorKind};

use fleece_plain_text::lines;

use crate::advice;
use crate::cli::backups::{Delete, Note, Protect};
use crate::log::Log;
use fleece_bins::exit;

pub(crate) fn note(arguments: &Note, log: &Log) -> Result<ExitCode, Error> {
    let (directory, backup) = DumpDirectory::find_archive(&arguments.archive)?;
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
    let (directory, backup) = DumpDirectory::find_archive(&arguments.archive)?;
    directory.set_protected(&backup, !arguments.off)?;
    Ok(ExitCode::SUCCESS)
}

/// All that can be removed is; the first error is told.
pub(crate) fn delete(arguments: &Delete, log: &Log) -> Result<ExitCode, Error> {
    let mut first = None;
    let mut code = ExitCode::SUCCESS;
    for archive in &arguments.archives {
        match DumpDirectory::find_archive(archive)
            .and_then(|(directory, backup)| directory.remove(&backup))
        {
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
