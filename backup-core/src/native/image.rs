//! Images of disks, with the locks that keep QEMU and others away from them.

use std::path::{Path, PathBuf};
use std::result::Result as StdResult;
use std::sync::Arc;

use fleece_storage::block::{
    Access, Backing, BlockDevice, ImageLock, Qcow2, RawFile, ReadDevice, Result,
};

use crate::error::{Error, ErrorKind};

/// The image of a disk: qcow2 if its name ends so, else raw.
#[derive(Clone, Debug)]
pub struct Image {
    name: Option<String>,
    path: PathBuf,
}

impl Image {
    /// The image at `path`, which gives the disk its name.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            name: None,
            path: path.into(),
        }
    }

    /// An image that is written as `[NAME=]PATH`.
    #[must_use]
    pub fn named(text: &str) -> Self {
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        match text.split_once('=') {
            Some((name, path)) if is_name(name) => Self {
                name: Some(name.to_owned()),
                path: path.into(),
            },
            _ => Self::new(text),
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The disk's name, if one was given.
    #[must_use]
    pub fn given_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The disk's name in an archive: as given, or `drive-` and the file's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
            let safe = |c: char| {
                if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                    c
                } else {
                    '-'
                }
            };
            format!("drive-{}", stem.chars().map(safe).collect::<String>())
        })
    }

    /// Opens it read-only; nobody can write to it until the lock is dropped.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Storage`] when it cannot be opened, or somebody uses it.
    pub fn open_for_reading(&self) -> StdResult<(Arc<dyn ReadDevice>, ImageLock), Error> {
        let open = || -> Result<(Arc<dyn ReadDevice>, ImageLock)> {
            let lock = ImageLock::for_reading(&self.path)?;
            let device: Arc<dyn ReadDevice> = if self.is_qcow2() {
                Arc::new(Qcow2::open(&self.path, Backing::Follow)?)
            } else {
                Arc::new(RawFile::open(&self.path, Access::ReadOnly)?)
            };
            Ok((device, lock))
        };
        open().map_err(cannot_use)
    }

    /// Opens it for a guest; nobody else can use it until the lock is dropped.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Storage`] when it cannot be opened, or somebody uses it.
    pub fn open_for_writing(&self) -> StdResult<(Arc<dyn BlockDevice>, ImageLock), Error> {
        let open = || -> Result<(Arc<dyn BlockDevice>, ImageLock)> {
            let lock = ImageLock::for_writing(&self.path)?;
            let device: Arc<dyn BlockDevice> = if self.is_qcow2() {
                Arc::new(Qcow2::open_for_guest(&self.path)?)
            } else {
                Arc::new(RawFile::open(&self.path, Access::ReadWrite)?)
            };
            Ok((device, lock))
        };
        open().map_err(cannot_use)
    }

    /// By its name alone: what is in a raw image is the guest's, and could look like anything.
    fn is_qcow2(&self) -> bool {
        self.path
            .extension()
            .is_some_and(|ending| ending == Path::new("qcow2"))
    }
}

fn cannot_use(error: fleece_storage::block::Error) -> Error {
    Error::caused(ErrorKind::Storage, "cannot use the image", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_may_have_a_name() {
        let image = |text: &str| {
            let image = Image::named(text);
            (image.name(), image.path)
        };
        assert_eq!(
            image("drive-scsi0=/a/b.raw"),
            ("drive-scsi0".into(), "/a/b.raw".into())
        );
        assert_eq!(image("/a/web server.qcow2").0, "drive-web-server");
        assert_eq!(image("/a=b/c.raw"), ("drive-c".into(), "/a=b/c.raw".into()));
    }
}
