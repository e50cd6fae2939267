//! `fleece verify`

use std::process::ExitCode;

use fleece_archive_io::Input;
use fleece_backup_core::dump::{self, Backup, Checked, DumpDirectory, Verified};
use fleece_backup_core::{CancelToken, Error, ErrorKind, Places, clock, units};
use fleece_encryption::Identities;
use fleece_encryption::signature::VerifyingKeys;
use jiff::SignedDuration;
use serde_json::json;

use crate::advice;
use crate::cli::backups::Verify;
use crate::encryption;
use crate::log::Log;
use crate::namesake;
use fleece_bins::{keys, signals};

/// Verifies all that is named, and of a directory what has not been verified of late; damage in one does
/// not keep the others from being looked at.
pub(crate) fn run(arguments: &Verify, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let cancel = signals::watch_all()?;
    let storages = places.storages()?;
    let trust = Trust {
        identities: encryption::identities(&arguments.identity)?,
        signers: encryption::signers(&arguments.signed_by)?,
    };
    let age = SignedDuration::from_hours(i64::from(arguments.outdated_after).saturating_mul(24));
    let now = clock::now().timestamp();
    let mut damaged = 0_usize;
    let mut unread = 0_usize;
    for place in &arguments.places {
        let named = dump::is_archive(place);
        let (directory, backups) = if named {
            let (directory, backup) = DumpDirectory::find_archive(place)?;
            (directory, vec![backup])
        } else {
            namesake::tell(place, &storages, log);
            let directory = DumpDirectory::open(place, &storages)?;
            let mut backups = directory.list()?;
            let wanted = arguments.guest.as_ref();
            backups.retain(|backup| wanted.is_none() || backup.guest() == wanted);
            (directory, backups)
        };
        for backup in &backups {
            let known = trust.signers.is_empty()
                && !named
                && !arguments.all
                && backup.verified().is_newer_than(age, now);
            let sound = match known {
                true => pass_over(backup, log),
                false => match check(&directory, backup, &trust, &cancel, log) {
                    Ok(sound) => sound,
                    // The others may be readable all the same.
                    Err(error) if error.kind() == ErrorKind::Target => {
                        log.warning(&advice::text(&error));
                        unread = unread.saturating_add(1);
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            damaged = damaged.saturating_add(usize::from(!sound));
        }
    }
    if damaged > 0 {
        let message = format!(
            "{}; `vma recover` extracts what is intact in them",
            units::count(damaged, "archive is damaged", "archives are damaged")
        );
        return Err(Error::new(ErrorKind::Damage, message));
    }
    if unread > 0 {
        let message = format!(
            "{}, see above",
            units::count(
                unread,
                "archive cannot be verified",
                "archives cannot be verified"
            )
        );
        return Err(Error::new(ErrorKind::Target, message));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a backup that was verified of late was sound then.
fn pass_over(backup: &Backup, log: &Log) -> bool {
    let (name, verified) = (backup.file_name(), backup.verified());
    let at = verified.at().map(|time| time.to_string());
    let when = at.as_deref().unwrap_or_default();
    log.info(&format!(
        "{name}: {verified}, as verified {when}; not verified again"
    ));
    log.result(&json!({
        "file": name,
        "verified": verified.to_string(),
        "verified_at": at,
        "passed_over": true,
    }));
    !matches!(verified, Verified::Damaged(_))
}

/// Verifies one backup, and tells what is found.
fn check(
    directory: &DumpDirectory,
    backup: &Backup,
    trust: &Trust,
    cancel: &CancelToken,
    log: &Log,
) -> Result<bool, Error> {
    if !trust.signers.is_empty() {
        match signature(backup, trust, cancel, log)? {
            Signature::Wrong => return Ok(false),
            Signature::Unreadable => return Ok(true),
            Signature::Readable => {}
        }
    }
    let checked = directory.verify_telling(backup, &trust.identities, log, cancel)?;
    result(backup.file_name(), &checked, log);
    Ok(checked.damages == 0)
}

/// Keys to read with, and keys to believe.
struct Trust {
    identities: Identities,
    signers: VerifyingKeys,
}

/// What the signature of a backup tells.
enum Signature {
    Wrong,
    /// It is as it was signed; more cannot be known without its key.
    Unreadable,
    Readable,
}

/// Checks a backup against the signed list beside it.
fn signature(
    backup: &Backup,
    trust: &Trust,
    cancel: &CancelToken,
    log: &Log,
) -> Result<Signature, Error> {
    let name = backup.file_name();
    let checked = match dump::check_signature(backup.path(), &trust.signers, cancel) {
        Ok(checked) => checked,
        Err(error) if error.kind() == ErrorKind::Damage => {
            log.warning(&format!("{name}: {error}"));
            return Ok(Signature::Wrong);
        }
        Err(error) => return Err(error),
    };
    if let Some(damage) = keys::damage(&checked) {
        log.warning(&format!("{name} is not what was signed: {damage}"));
        return Ok(Signature::Wrong);
    }
    log.info(&format!(
        "{name}: every byte is as it was signed by {}",
        checked.signer
    ));
    let input = Input::open_regular(backup.path(), cancel);
    if input.is_ok_and(|input| input.with_identities(&trust.identities).is_unreadable()) {
        log.result(&json!({ "file": name, "signed_by": checked.signer, "damages": 0, "payload_checked": false }));
        return Ok(Signature::Unreadable);
    }
    Ok(Signature::Readable)
}

/// What a verification found, for programs.
pub(crate) fn result(name: &str, checked: &Checked, log: &Log) {
    log.result(&json!({
        "file": name,
        "damages": checked.damages,
        "payload_checked": checked.deep,
    }));
}
