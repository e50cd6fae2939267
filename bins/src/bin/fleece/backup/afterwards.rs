//! What becomes of a backup that is complete: notes, protection, verification, and the removal of older
//! ones.

use fleece_backup_core::dump::{DumpDirectory, Verdict};
use fleece_backup_core::{Archived, CancelToken, Error, ErrorKind};
use fleece_guest_config::GuestId;

use crate::advice;
use crate::cli::Backup;
use crate::log::Log;
use crate::verify;

/// Whether there is anything to do that standard output has no place for.
pub(super) fn check(arguments: &Backup) -> Result<(), Error> {
    let wanted = arguments.notes.is_some()
        || arguments.protected
        || arguments.verify
        || arguments.prune_backups.is_some();
    if wanted && arguments.to.as_os_str() == "-" {
        let message = "--notes, --protected, --verify and --prune-backups need a directory, not standard output";
        return Err(Error::new(ErrorKind::Request, message));
    }
    if arguments.prune_backups.is_some()
        && arguments.to.extension().is_some()
        && !arguments.to.is_dir()
    {
        let message = "--prune-backups needs a directory or a storage: an archive with a name of its own is no \
                       guest's, and is never removed";
        return Err(Error::new(ErrorKind::Request, message));
    }
    Ok(())
}

/// The archive is complete whatever comes of this, so what fails is a warning. Returns how many there
/// were.
///
/// # Errors
///
/// That the archive was to be verified and is not sound, or could not be read to its end. Then nothing is
/// removed.
pub(super) fn run(
    arguments: &Backup,
    archived: &Archived,
    guest: &GuestId,
    cancel: &CancelToken,
    log: &Log,
) -> Result<usize, Error> {
    let mut warnings = 0_usize;
    let mut warn = |error: &Error| {
        warnings = warnings.saturating_add(1);
        log.warning(&advice::text(error));
    };
    let Some((directory, name)) = archived.path.as_deref().and_then(|path| {
        Some((
            DumpDirectory::new(path.parent()?),
            path.file_name()?.to_str()?,
        ))
    }) else {
        return Ok(warnings);
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
    if arguments.verify {
        let checked = verify::check(&directory, &directory.find(name)?, cancel, log)?;
        if checked.damages > 0 {
            let message = format!(
                "{name} is damaged already; nothing was pruned. Look at the target's disks, memory and \
                 network, and back up again"
            );
            return Err(Error::new(ErrorKind::Damage, message));
        }
    }
    let Some(rules) = arguments.prune_backups.filter(|rules| !rules.keeps_all()) else {
        return Ok(warnings);
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
                if let (Some(_), Verdict::Keep(why)) = (pruned.backup.fault(), &pruned.verdict) {
                    log.info(&format!("kept {}: {why}", pruned.backup.file_name()));
                }
            }
        }
        Err(error) => warn(&error),
    }
    Ok(warnings)
}
