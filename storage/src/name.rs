//! Names of volumes and their formats.

use std::fmt;
use std::str::FromStr;

use fleece_guest_config::GuestId;

use crate::error::{Error, ErrorKind};

/// How a volume lays out its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum VolumeFormat {
    /// Byte for byte.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
}

impl VolumeFormat {
    /// The name that QEMU and file extensions use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

impl fmt::Display for VolumeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for VolumeFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                text,
                "this image format is not supported",
            )),
        }
    }
}

/// The longest name of a volume: 127 bytes, the limit of LVM, less than any file system's.
const MAX_NAME: usize = 127;

/// The purpose of the only volumes that guests without a number have: fleecing images.
const FLEECE: &str = "fleece";

/// The name of a new volume without directory and extension: `vm-<vmid>-<purpose>`, for example
/// `vm-100-disk-0` or `vm-100-fleece-0`, or `vm-<name>-fleece-<n>` for a guest without a number. Letters,
/// digits, `.`, `_` and `-` only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VolumeName {
    text: String,
    guest: GuestId,
}

impl VolumeName {
    /// `vm-<guest>-<purpose>-<n>`.
    ///
    /// # Errors
    ///
    /// `InvalidName` for a purpose with other characters, and for another than `fleece` if the guest has
    /// no number.
    pub fn numbered(guest: &GuestId, purpose: &str, n: u32) -> Result<Self, Error> {
        format!("vm-{guest}-{purpose}-{n}").parse()
    }

    /// The guest it belongs to.
    pub fn guest(&self) -> &GuestId {
        &self.guest
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for VolumeName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why| Err(Error::new(ErrorKind::InvalidName, format!("{text:?}"), why));
        let Some(guest) = owner(text).filter(|_| text.starts_with("vm-")) else {
            return refuse(
                "the name of a volume has the form vm-<vmid>-<purpose> or vm-<name>-fleece-<n>",
            );
        };
        if text.len() > MAX_NAME || !text.bytes().all(is_name_byte) {
            return refuse("a volume is named with at most 127 letters, digits, '.', '_' and '-'");
        }
        if split_extension(text).is_some() {
            return refuse("the name of a volume is given without the extension of its format");
        }
        Ok(Self {
            text: text.to_owned(),
            guest,
        })
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The guest that owns a volume of this name: `vm-<vmid>-…`, `base-<vmid>-…`, or `vm-<name>-fleece-<n>`,
/// where the name may have dashes of its own. No name looks like `<vmid>-…`.
pub(crate) fn owner(name: &str) -> Option<GuestId> {
    let numbered = name
        .strip_prefix("vm-")
        .or_else(|| name.strip_prefix("base-"))?;
    let (vmid, purpose) = numbered.split_once('-')?;
    match vmid.parse::<GuestId>() {
        Ok(guest) if guest.number().is_some() => (!purpose.is_empty()).then_some(guest),
        _ => owner_of_image(name),
    }
}

/// The guest without a number that owns a fleecing image of this name.
fn owner_of_image(name: &str) -> Option<GuestId> {
    let (rest, n) = name.strip_prefix("vm-")?.rsplit_once('-')?;
    n.parse::<u32>()
        .ok()
        .filter(|number| number.to_string() == n)?;
    let guest: GuestId = rest.strip_suffix(FLEECE)?.strip_suffix('-')?.parse().ok()?;
    guest.number().is_none().then_some(guest)
}

/// `vm-1-disk-0.raw` → (`vm-1-disk-0`, raw).
pub(crate) fn split_extension(file_name: &str) -> Option<(&str, VolumeFormat)> {
    let (stem, extension) = file_name.rsplit_once('.')?;
    Some((stem, extension.parse().ok()?)).filter(|(stem, _)| !stem.is_empty())
}

/// Bytes that need no quoting anywhere: not by LVM, ZFS or Ceph, not in lists, not in paths.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_guest() {
        for (text, guest, purpose, n) in [
            ("vm-100-fleece-0", "100", "fleece", 0),
            ("vm-7-disk-12", "7", "disk", 12),
            ("vm-web-fleece-0", "web", "fleece", 0),
            (
                "vm-web-2.example_1-fleece-3",
                "web-2.example_1",
                "fleece",
                3,
            ),
            ("vm-a-fleece-0-fleece-1", "a-fleece-0", "fleece", 1),
        ] {
            let (name, guest): (VolumeName, GuestId) =
                (text.parse().unwrap(), guest.parse().unwrap());
            assert_eq!(name.guest(), &guest);
            assert_eq!(VolumeName::numbered(&guest, purpose, n).unwrap(), name);
        }
        assert_eq!(owner("base-7-disk-1.qcow2"), "7".parse().ok());
    }

    #[test]
    fn names_that_could_mean_something_else_are_refused() {
        let long = format!("vm-1-{}", "x".repeat(123));
        for name in [
            "",
            "-vm-1-a",
            "disk",
            "vm-",
            "vm-1",
            "vm-1-",
            "vm-0-a",
            "vm-+1-a",
            "vm-x-a",
            "vm-x-disk-0",
            "vm-fleece-0",
            "vm--fleece-0",
            "vm-.x-fleece-0",
            "vm-x-fleece-",
            "vm-x-fleece-00",
            "vm-x-fleece-0-a",
            "base-x-fleece-0",
            "base-1-a",
            "vm-1-a/b",
            "vm-1-../x",
            "vm-1-a b",
            "vm-1-a\n",
            "vm-1-ä",
            "vm-1-a,b",
            "vm-1-a:b",
            "vm-1-a@b",
            "vm-1-a.raw",
            "vm-1-a.qcow2",
            "vm-99999999999-a",
            &long,
        ] {
            let error = name.parse::<VolumeName>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidName, "{name:?}");
        }
    }
}
