//! Keys that the command line and the configuration name.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleece_backup_core::{
    ArchiveTarget, EncryptedTarget, Error, ErrorKind, FileOptions, SignedTarget,
};
use fleece_bins::keys;
use fleece_encryption::signature::{SigningKey, VerifyingKeys};
use fleece_encryption::{Identities, Recipients};

use crate::cli::backup::Backup;

/// The variable that names a file of secret keys, for `vma` as well.
const IDENTITY: &str = "FLEECE_IDENTITY";

/// The secret keys in these files or, if none is named, in that which the environment names.
pub(crate) fn identities(files: &[PathBuf]) -> Result<Identities, Error> {
    let named = std::env::var_os(IDENTITY).filter(|file| !file.is_empty() && files.is_empty());
    let named = named.map(PathBuf::from);
    let mut identities = Identities::new();
    for file in files.iter().chain(&named) {
        identities.add_file(file).map_err(unusable)?;
    }
    Ok(identities)
}

/// For whom a backup is encrypted; `None` if it is not. Whatever is named and is no public key ends the backup.
pub(crate) fn recipients(arguments: &Backup) -> Result<Option<Recipients>, Error> {
    let mut recipients = Recipients::new();
    for key in &arguments.encrypt_to {
        recipients.add(key).map_err(unusable)?;
    }
    for file in &arguments.recipients {
        recipients.add_file(file).map_err(unusable)?;
    }
    Ok(Some(recipients).filter(|recipients| !recipients.is_empty()))
}

/// What follows `.vma.` in the name of an archive.
pub(crate) fn wrapper(compressed: Option<&str>, encrypted: bool) -> Option<String> {
    let parts: Vec<_> = compressed
        .into_iter()
        .chain(encrypted.then_some("age"))
        .collect();
    Some(parts.join(".")).filter(|wrapper| !wrapper.is_empty())
}

/// Signs what goes to a target.
pub(crate) fn sign(target: &mut ArchiveTarget, key: Option<&Path>) -> Result<(), Error> {
    if let Some(key) = key {
        let key = SigningKey::from_file(key).map_err(unusable)?;
        let signed = SignedTarget::new(Arc::clone(&target.place), key, FileOptions::default());
        target.place = Arc::new(signed);
    }
    Ok(())
}

/// The keys whose signatures are believed.
pub(crate) fn signers(named: &[OsString]) -> Result<VerifyingKeys, Error> {
    keys::signers(named).map_err(unusable)
}

/// Encrypts what goes to a target. A name that does not say that is refused, and so is one that says it of what is not
/// encrypted.
pub(crate) fn encrypt(
    target: &mut ArchiveTarget,
    recipients: Option<Recipients>,
) -> Result<(), Error> {
    let says_so = |path: &Path| {
        path.extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("age"))
    };
    let path = target.path().map(Path::to_owned);
    match (recipients, path) {
        (None, Some(path)) if says_so(&path) => Err(Error::new(
            ErrorKind::Request,
            format!(
                "{} is the name of an encrypted archive, and nobody is named whom it is encrypted for: add --encrypt-to or \
                 --recipients, or choose another name",
                path.display()
            ),
        )),
        (Some(_), Some(path)) if !says_so(&path) => {
            let mut name = OsString::from(&path);
            name.push(".age");
            let why = format!(
                "the name of an encrypted archive ends in .age: {}",
                Path::new(&name).display()
            );
            Err(Error::new(ErrorKind::Request, why))
        }
        (Some(recipients), _) => {
            target.place = Arc::new(EncryptedTarget::new(Arc::clone(&target.place), recipients));
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

fn unusable(error: fleece_encryption::Error) -> Error {
    Error::caused(ErrorKind::Request, "a key cannot be used", error)
}
