//! Images of disks, with the locks that keep QEMU and others away from them.

use std::path::{Path, PathBuf};
use std::result::Result as StdResult;
use std::sync::Arc;

use fleece_storage::VolumeFormat;
use fleece_storage::block::{
    Access, Backing, BlockDevice, ImageLock, Look, Qcow2, RawFile, ReadDevice, Result,
};

use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};

/// The image of a disk, in the format that was given; without one qcow2 if its name ends so, else raw.
#[derive(Clone, Debug)]
pub struct Image {
    name: Option<String>,
    path: PathBuf,
    format: Option<VolumeFormat>,
}

impl Image {
    /// The image at `path`, which gives the disk its name.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            name: None,
            path: path.into(),
            format: None,
        }
    }

    /// An image that is written as `[format=raw:|format=qcow2:][NAME=]PATH`.
    #[must_use]
    pub fn named(text: &str) -> Self {
        for format in [VolumeFormat::Raw, VolumeFormat::Qcow2] {
            if let Some(rest) = text.strip_prefix(&format!("format={format}:")) {
                return Self {
                    format: Some(format),
                    ..Self::named(rest)
                };
            }
        }
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
                format: None,
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
    /// Kind [`ErrorKind::Storage`] when it cannot be opened, somebody uses it, or it would be read as raw without
    /// having been called so, and begins as an image of another format does.
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
        let (device, lock) = open().map_err(cannot_use)?;
        self.check_format(device.size(), |buffer, offset| {
            device.read_at(buffer, offset)
        })?;
        Ok((device, lock))
    }

    /// Opens it for a guest; nobody else can use it until the lock is dropped.
    ///
    /// # Errors
    /// As [`open_for_reading`](Self::open_for_reading).
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
        let (device, lock) = open().map_err(cannot_use)?;
        self.check_format(device.size(), |buffer, offset| {
            device.read_at(buffer, offset)
        })?;
        Ok((device, lock))
    }

    /// By what was said or by its name: what is in a raw image is the guest's, and could look like anything.
    fn is_qcow2(&self) -> bool {
        let by_name = || {
            self.path
                .extension()
                .is_some_and(|ending| ending == Path::new("qcow2"))
        };
        self.format
            .map_or_else(by_name, |format| format == VolumeFormat::Qcow2)
    }

    /// That it does not look like what nobody has said it is.
    fn check_format(
        &self,
        size: u64,
        read: impl Fn(&mut [u8], u64) -> Result<()>,
    ) -> StdResult<(), Error> {
        if self.format.is_some() || self.is_qcow2() {
            return Ok(());
        }
        let Some(look) = Look::of(size, read).map_err(cannot_use)? else {
            return Ok(());
        };
        let path = self.path.display();
        let message = format!("{path} would be read as a raw image, and looks like {look}");
        Err(Error::new(ErrorKind::Storage, message).advise(Advice::NameFormat(look)))
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
        assert_eq!(
            image("format=raw:web=/a.img"),
            ("web".into(), "/a.img".into())
        );
        assert!(Image::named("format=qcow2:/a.img").is_qcow2());
        assert!(!Image::named("format=raw:/a.qcow2").is_qcow2());
    }

    #[test]
    fn what_looks_like_another_format_is_raw_only_if_it_is_called_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        for (at, mark, look) in [
            (0, &b"QFI\xfb"[..], Look::Image("qcow2")),
            (64, b"\x7f\x10\xda\xbe", Look::Image("VDI")),
            (4096 - 512, b"conectix", Look::Image("VHD")),
            (0, b"\x1f\x8b\x08", Look::Packed("gzip")),
        ] {
            let mut content = vec![0; 4096];
            content[at..at + mark.len()].copy_from_slice(mark);
            std::fs::write(&path, content).unwrap();
            let error = Image::new(&path).open_for_reading().unwrap_err();
            assert_eq!(error.advice(), Some(&Advice::NameFormat(look)), "{error}");
            assert!(Image::new(&path).open_for_writing().is_err());
            let insisted = format!("format=raw:{}", path.display());
            assert!(Image::named(&insisted).open_for_reading().is_ok());
        }
        std::fs::write(&path, [0; 100]).unwrap();
        assert!(Image::new(&path).open_for_reading().is_ok());
    }
}
