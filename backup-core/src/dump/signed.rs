//! Checking archives against the signed lists beside them.

use std::fs::File;
use std::io;
use std::path::Path;

use fleece_encryption::signature::{Checked, VerifyingKeys, beside, check};
use fleece_staged_file::regular::{self, Links};

use crate::job::cancel::CancelToken;
use crate::report::error::{Error, ErrorKind};

/// Checks every byte of an archive against the signed list beside it, which must be by one of `keys`, and for a file of
/// its name. No secret key is needed for that.
///
/// # Errors
/// Kind [`ErrorKind::Damage`] for a list that is missing, is for another file, or was not signed by any of `keys`;
/// [`ErrorKind::Target`] for what cannot be read; [`ErrorKind::Cancelled`]. Damage of the archive is none.
pub fn check_signature(
    archive: &Path,
    keys: &VerifyingKeys,
    cancel: &CancelToken,
) -> Result<Checked, Error> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let open = |path: &Path| regular::open(path, Links::Follow);
    let unreadable = |path: &Path, error| {
        let what = format!("cannot read {}", path.display());
        Error::caused(ErrorKind::Target, what, error)
    };
    let list = beside(archive);
    let mut list: File = open(&list).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let why = format!("{name} is not signed: there is no {}", list.display());
            Error::new(ErrorKind::Damage, why)
        }
        _ => unreadable(&list, error),
    })?;
    let mut file = open(archive).map_err(|error| unreadable(archive, error))?;
    let checked = check(
        &mut file,
        &mut list,
        &name,
        keys,
        &mut |_| match cancel.reason() {
            None => Ok(()),
            Some(reason) => Err(io::Error::other(reason.to_string())),
        },
    );
    checked.map_err(|error| match (cancel.reason(), error.kind()) {
        (Some(reason), _) => Error::cancelled(reason),
        (None, fleece_encryption::ErrorKind::Signature) => {
            Error::new(ErrorKind::Damage, error.to_string())
        }
        (None, _) => unreadable(archive, io::Error::other(error)),
    })
}
