//! Volume ids: which storage, and which volume on it.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use fleece_guest_config::GuestId;

use crate::error::{Error, ErrorKind};
use crate::name::VolumeFormat;

/// Names one volume: `local:100/vm-100-disk-0.qcow2` on a configured storage, or the absolute
/// path of a volume on a storage that is a plain directory.
///
/// An id has no blanks, commas or semicolons, so that it can stand in a list, and no empty, `.`
/// or `..` component and none that begins with a dash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VolumeId(Inner);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Inner {
    Configured { storage: String, volume: String },
    Path(PathBuf),
}

/// A volume as a storage lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// The guest that owns it.
    pub guest: GuestId,
    /// Its name without directory and extension.
    pub name: String,
    /// Its format.
    pub format: VolumeFormat,
    /// The size that a guest sees, in bytes; `None` if the image cannot be understood.
    pub size: Option<u64>,
    /// The bytes that it takes on the storage, where that is known.
    pub used: Option<u64>,
}

impl VolumeId {
    /// A volume on a configured storage.
    ///
    /// # Errors
    ///
    /// `InvalidName`.
    pub fn configured(storage: &str, volume: &str) -> Result<Self, Error> {
        let subject = format!("{storage}:{volume}");
        check_storage_id(storage)?;
        if !Path::new(volume).is_relative() || !is_safe(volume) {
            return Err(Error::new(ErrorKind::InvalidName, subject, NOT_SAFE));
        }
        Ok(Self(Inner::Configured {
            storage: storage.to_owned(),
            volume: volume.to_owned(),
        }))
    }

    /// A volume at an absolute path.
    ///
    /// # Errors
    ///
    /// `InvalidName`.
    pub fn at(path: &Path) -> Result<Self, Error> {
        let refuse = |why| Error::new(ErrorKind::InvalidName, path.display(), why);
        let text = path
            .to_str()
            .ok_or_else(|| refuse("the path is not UTF-8"))?;
        let relative = text
            .strip_prefix('/')
            .ok_or_else(|| refuse("the path of a volume is absolute"))?;
        if !is_safe(relative) {
            return Err(refuse(NOT_SAFE));
        }
        Ok(Self(Inner::Path(path.to_owned())))
    }

    /// The id of the configured storage; `None` for a path.
    pub fn storage(&self) -> Option<&str> {
        match &self.0 {
            Inner::Configured { storage, .. } => Some(storage),
            Inner::Path(_) => None,
        }
    }

    /// What follows the storage id; `None` for a path.
    pub fn volume(&self) -> Option<&str> {
        match &self.0 {
            Inner::Configured { volume, .. } => Some(volume),
            Inner::Path(_) => None,
        }
    }

    /// The path of a volume that has no configured storage.
    pub fn as_path(&self) -> Option<&Path> {
        match &self.0 {
            Inner::Configured { .. } => None,
            Inner::Path(path) => Some(path),
        }
    }
}

impl FromStr for VolumeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.starts_with('/') {
            return Self::at(Path::new(text));
        }
        match text.split_once(':') {
            Some((storage, volume)) => Self::configured(storage, volume),
            None => Err(Error::new(
                ErrorKind::InvalidName,
                format!("{text:?}"),
                "a volume id has the form STORAGE:VOLUME, or is an absolute path",
            )),
        }
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Configured { storage, volume } => write!(f, "{storage}:{volume}"),
            Inner::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

/// `[a-z][a-z0-9._-]*[a-z0-9]` without regard to case: the ids that Proxmox allows.
pub(crate) fn check_storage_id(id: &str) -> Result<(), Error> {
    let mut chars = id.bytes();
    let first = chars.next().is_some_and(|b| b.is_ascii_alphabetic());
    // Proxmox wants two letters at least; a configuration of somebody's own may have one.
    let last = chars.next_back().is_none_or(|b| b.is_ascii_alphanumeric());
    if first && last && chars.all(crate::name::is_name_byte) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidName,
        format!("{id:?}"),
        "the id of a storage has letters, digits, '.', '_' and '-', and begins with a letter",
    ))
}

const NOT_SAFE: &str = "a volume id has no blanks, commas, semicolons or control characters, \
    and no component that is empty, '.', '..' or begins with '-'";

fn is_safe(relative: &str) -> bool {
    let chars = relative
        .chars()
        .all(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, ',' | ';'));
    let mut components = relative.split('/');
    chars
        && components.all(|name| !matches!(name, "" | "." | "..") && !name.starts_with('-'))
        && Path::new(relative)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_printed() {
        for text in [
            "local:100/vm-100-disk-0.qcow2",
            "local-lvm:vm-100-disk-0",
            "a.b_c-d9:base-1-disk-0/vm-2-disk-0",
            "/srv/fleece/vm-100-fleece-0.raw",
        ] {
            assert_eq!(text.parse::<VolumeId>().unwrap().to_string(), text);
        }
        let id: VolumeId = "local:100/x.raw".parse().unwrap();
        assert_eq!(
            (id.storage(), id.volume(), id.as_path()),
            (Some("local"), Some("100/x.raw"), None)
        );
    }

    #[test]
    fn ids_that_could_escape_or_forge_are_refused() {
        for text in [
            "",
            "local",
            ":a",
            "local:",
            "l-:a",
            "-l:a",
            "1l:a",
            "lo/cal:a",
            "local:/a",
            "local:a//b",
            "local:../a",
            "local:100/../../etc/x.raw",
            "local:-a",
            "local:100/-a",
            "local:a b",
            "local:a,b",
            "local:a;b",
            "local:a\nb",
            "local:a\0",
            "/",
            "//a",
            "/a/",
            "/a/./b",
            "/a/../b",
            "/a b",
            "/a,b",
            "relative/path",
        ] {
            let error = text.parse::<VolumeId>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidName, "{text:?}");
        }
    }
}
