//! Public keys that a command line names.

use std::ffi::OsString;
use std::path::Path;

use fleece_encryption::Result;
use fleece_encryption::signature::{Checked, VerifyingKeys};

/// The keys whose signatures are believed: files of public keys, or keys themselves.
///
/// # Errors
/// As [`VerifyingKeys::add`] and [`VerifyingKeys::add_file`].
pub fn signers(named: &[OsString]) -> Result<VerifyingKeys> {
    let mut keys = VerifyingKeys::new();
    for name in named {
        match name.to_str().filter(|name| name.contains("ssh-ed25519 ")) {
            Some(key) => keys.add(key)?,
            None => keys.add_file(Path::new(name))?,
        }
    }
    Ok(keys)
}

/// What is wrong with a file that is not what was signed, for people; `None` if nothing is.
#[must_use]
pub fn damage(checked: &Checked) -> Option<String> {
    let (size, signed) = (checked.size, checked.signed_size);
    if checked.is_sound() {
        return None;
    }
    let mut what = Vec::new();
    if size != signed {
        what.push(format!("it has {size} bytes, and was signed with {signed}"));
    }
    if let Some(first) = checked.first {
        let pieces = checked.damaged;
        what.push(format!(
            "{pieces} of its pieces of 1 MiB {} not what was signed, the first at byte {first}",
            if pieces == 1 { "is" } else { "are" }
        ));
    }
    Some(what.join("; "))
}
