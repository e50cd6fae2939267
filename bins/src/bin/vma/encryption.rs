//! For whom archives are encrypted.

use std::ffi::OsStr;
use std::path::Path;

use fleece_bins::advice::chain;
use fleece_encryption::{Error, Recipients};

use super::cli::OutputArgs;
use super::failure::{Failure, Result};

/// For whom a new archive at `target` is encrypted; `None` if it is not. A name that does not say which is refused, so
/// that nothing is in clear by mistake.
pub(super) fn recipients(how: &OutputArgs, target: &OsStr) -> Result<Option<Recipients>> {
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
