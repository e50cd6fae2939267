//! Names of volumes and their formats.

use std::fmt;
use std::str::FromStr;

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

/// The name of a new volume without directory and extension: `vm-<vmid>-<purpose>`, for example
/// `vm-100-disk-0` or `vm-100-fleece-0`. Letters, digits, `.`, `_` and `-` only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VolumeName(String);

impl VolumeName {
    /// `vm-<vmid>-<purpose>-<n>`.
    ///
    /// # Errors
    ///
    /// `InvalidName` for a purpose with other characters.
    pub fn numbered(vmid: u32, purpose: &str, n: u32) -> Result<Self, Error> {
        format!("vm-{vmid}-{purpose}-{n}").parse()
    }

    /// The guest it belongs to.
    pub fn vmid(&self) -> u32 {
        owner(&self.0).unwrap_or_default()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why| Err(Error::new(ErrorKind::InvalidName, format!("{text:?}"), why));
        if !text.starts_with("vm-") || owner(text).is_none() {
            return refuse("the name of a volume has the form vm-<vmid>-<purpose>");
        }
        if text.len() > MAX_NAME || !text.bytes().all(is_name_byte) {
            return refuse("a volume is named with at most 127 letters, digits, '.', '_' and '-'");
        }
        if split_extension(text).is_some() {
            return refuse("the name of a volume is given without the extension of its format");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The guest that owns a volume of this name: `vm-<vmid>-…` or `base-<vmid>-…`.
pub(crate) fn owner(name: &str) -> Option<u32> {
    let rest = name
        .strip_prefix("vm-")
        .or_else(|| name.strip_prefix("base-"))?;
    let (vmid, purpose) = rest.split_once('-')?;
    let digits = !vmid.is_empty() && vmid.bytes().all(|b| b.is_ascii_digit());
    let vmid = vmid.parse().ok().filter(|vmid| *vmid > 0)?;
    (digits && !purpose.is_empty()).then_some(vmid)
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
        let name: VolumeName = "vm-100-fleece-0".parse().unwrap();
        assert_eq!(name.vmid(), 100);
        assert_eq!(VolumeName::numbered(100, "fleece", 0).unwrap(), name);
        assert_eq!(owner("base-7-disk-1.qcow2"), Some(7));
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
