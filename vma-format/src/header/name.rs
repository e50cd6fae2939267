//! Names of devices and configurations.

use crate::error::{Error, ErrorKind, Result};

/// The longest name accepted in bytes: `tmp-disk-NAME.raw` must fit a file name of 255 bytes.
const MAX_NAME_LENGTH: usize = 200;

/// Whether a name can be part of a file name without any danger.
///
/// The reference uses names from the archive as paths unchecked. All names that Proxmox or QEMU
/// produce (guest config names, QEMU ids) consist of these characters.
pub(super) fn check_name(name: &[u8]) -> Result<&str> {
    let fine = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let text = std::str::from_utf8(name).unwrap_or_default();
    if text.is_empty() || text.starts_with('.') || !text.bytes().all(|byte| fine(&byte)) {
        let shown = String::from_utf8_lossy(name);
        return Err(Error::new(
            ErrorKind::Name,
            format!(
                "unsafe name {shown:?}: only letters, digits, '.', '_' and '-' are allowed, and no '.' in front"
            ),
        ));
    }
    if text.len() > MAX_NAME_LENGTH {
        return Err(Error::new(
            ErrorKind::Name,
            format!("name of {} bytes is too long", text.len()),
        ));
    }
    Ok(text)
}
