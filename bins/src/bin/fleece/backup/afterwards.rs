//! What becomes of a backup that is complete: notes, protection, and the removal of older ones.

use fleece_backup_core::dump::DumpDirectory;
use fleece_backup_core::{Archived, Error, ErrorKind};
use fleece_guest_config::GuestId;

use crate::cli::Backup;
use crate::log::Log;

/// Whether there is anything to do that standard output has no place for.
pub(super) fn check(arguments: &Backup) -> Result<(), Error> {
    let wanted =
        arguments.notes.is_some() || arguments.protected || arguments.prune_backups.is_some();
    if wanted && arguments.to.as_os_str() == "-" {
        let message =
            "--notes, --protected and --prune-backups need a directory, not standard output";
        return Err(Error::new(ErrorKind::Request, message));
    }
    Ok(())
}

/// The archive is complete whatever comes of this, so what fails is a warning. Returns how many there
/// were.
pub(super) fn run(arguments: &Backup, archived: &Archived, guest: &GuestId, log: &Log) -> usize {
    let mut warnings = 0_usize;
    let mut warn = |error: &Error| {
        warnings = warnings.saturating_add(1);
        log.warning(&error.chain());
    };
    let Some((directory, name)) = archived.path.as_deref().and_then(|path| {
        Some((
            DumpDirectory::new(path.parent()?),
            path.file_name()?.to_str()?,
        ))
    }) else {
        return warnings;
    };
    if arguments.notes.is_some() || arguments.protected {
        let marked = directory.find(name).and_then(|backup| {
            if let Some(notes) = &arguments.notes {
                directory.set_notes(&backup, notes)?;
            }
            if arguments.protected {
                directory.set_protected(&backup, true)?;
            }
            Ok(())
        });
        if let Err(error) = marked {
            warn(&error);
        }
    }
    let Some(rules) = arguments.prune_backups.filter(|rules| !rules.keeps_all()) else {
        return warnings;
    };
    match directory.prune(&rules, Some(guest)) {
        Ok(pruned) => {
            for pruned in pruned {
                match &pruned.error {
                    Some(error) => warn(error),
                    None if !pruned.backup.path().exists() => {
                        log.info(&format!("removed {}", pruned.backup.file_name()));
                    }
                    None => {}
                }
            }
        }
        Err(error) => warn(&error),
    }
    warnings
}
