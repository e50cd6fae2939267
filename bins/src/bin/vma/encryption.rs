//! For whom archives are encrypted.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use fleece_backup_core::ErrorKind;
use fleece_backup_core::dump::check_signature;
use fleece_bins::advice::chain;
use fleece_bins::{keys, signals};
use fleece_encryption::signature::{Checked, SigningKey};
use fleece_encryption::{Error, Recipients};

use super::cli::OutputArgs;
use super::failure::{Failure, Result};

/// What protects a new archive.
#[derive(Default)]
pub(super) struct Protection {
    /// For whom it is encrypted.
    pub(super) recipients: Option<Recipients>,
    /// What it is signed with.
    pub(super) key: Option<SigningKey>,
}

/// What protects a new archive at `target`.
pub(super) fn protection(how: &OutputArgs, target: &OsStr) -> Result<Protection> {
    let key = how.sign.as_deref().map(SigningKey::from_file).transpose();
    Ok(Protection {
        recipients: recipients(how, target)?,
        key: key.map_err(|error| Failure::usage(chain(&error)))?,
    })
}

/// For whom a new archive at `target` is encrypted; `None` if it is not. A name that does not say which is refused, so
/// that nothing is in clear by mistake.
fn recipients(how: &OutputArgs, target: &OsStr) -> Result<Option<Recipients>> {
    let wrong = |error: Error| Failure::usage(chain(&error));
    let mut recipients = Recipients::new();
    for key in &how.encrypt_to {
        recipients.add(key).map_err(wrong)?;
    }
    for file in &how.recipients {
        recipients.add_file(file).map_err(wrong)?;
    }
    let recipients = Some(recipients).filter(|recipients| !recipients.is_empty());
    let says_so = Path::new(target)
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("age"));
    let is_path = target != "-" && !target.as_encoded_bytes().starts_with(b"exec:");
    match &recipients {
        None if says_so && is_path => Err(Failure::usage(format!(
            "{} is the name of an encrypted archive, and nobody is named whom it is encrypted for: add --encrypt-to or \
             --recipients, or choose another name",
            target.display()
        ))),
        Some(_) if !says_so && is_path && Path::new(target).extension().is_some() => {
            Err(Failure::usage(format!(
                "the name of an encrypted archive ends in .age: {}.age",
                target.display()
            )))
        }
        _ => Ok(recipients),
    }
}

/// Checks an archive in a file against the signed list beside it.
pub(super) fn check(archive: &OsStr, signed_by: &[OsString]) -> Result<Checked> {
    let keys = keys::signers(signed_by).map_err(|error| Failure::usage(chain(&error)))?;
    if archive == "-" {
        let message = "standard input has no signed list beside it; name the file";
        return Err(Failure::usage(message));
    }
    let checked = check_signature(Path::new(archive), &keys, signals::token());
    let checked = checked.map_err(|error| match error.kind() {
        ErrorKind::Damage => Failure::damage(Some(error.chain())),
        _ => error.into(),
    })?;
    match keys::damage(&checked) {
        None => Ok(checked),
        Some(damage) => Err(Failure::damage(Some(format!(
            "{} is not what was signed: {damage}",
            archive.display()
        )))),
    }
}
