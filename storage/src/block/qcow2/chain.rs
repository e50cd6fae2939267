//! The other files that an image consists of: whether they are opened, and how.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::header::Head;
use crate::block::format::{FORMAT_BYTES, image_format};
use crate::block::system;
use crate::block::{
    Access, Error, ErrorKind, Geometry, Operation, RawFile, ReadAt, ReadDevice, Result,
};

/// Whether an image may name other files that are then opened too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Backing {
    /// Refuse images with a backing file or a data file: who wrote the image may have named any file.
    Deny,
    /// Open the backing files and data files, for images whose origin is trusted.
    Follow,
}

/// How many images may lie below one another, to end on chains that bite their tail.
const MAX_CHAIN: usize = 64;

/// What an image may open; all for reading only, behind the same checks, to a limited depth.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    backing: Backing,
    remaining: usize,
}

impl Chain {
    pub(super) const fn new(backing: Backing) -> Self {
        Self {
            backing,
            remaining: MAX_CHAIN,
        }
    }

    /// The file that the clusters of the image at `path` are in, if it is another.
    pub(super) fn data_file(self, path: &Path, head: &Head) -> Result<Option<RawFile>> {
        if !head.header.has_data_file() {
            return Ok(None);
        }
        self.check_allowed(path, "data file")?;
        let Some(name) = &head.extensions.data_file else {
            return Err(Error::new(ErrorKind::Unsupported, Operation::Open)
                .on(path)
                .because(
                    "the image does not say what its data file is; \
                     `qemu-img amend -o data_file=FILE` writes it into the image",
                ));
        };
        RawFile::open(&beside(path, name, "data file")?, Access::ReadOnly).map(Some)
    }

    /// The image below the one at `path`, if there is one.
    pub(super) fn below(
        self,
        path: &Path,
        head: &Head,
        open_qcow2: impl Fn(&Path, Self) -> Result<Box<dyn ReadDevice>>,
    ) -> Result<Option<Box<dyn ReadDevice>>> {
        let Some(name) = &head.backing_file else {
            return Ok(None);
        };
        self.check_allowed(path, "backing file")?;
        let refused =
            |kind, why: String| Err(Error::new(kind, Operation::Open).on(path).because(why));
        let Some(remaining) = self.remaining.checked_sub(1) else {
            let why = format!("the chain of backing files has more than {MAX_CHAIN} images");
            return refused(ErrorKind::InvalidFormat, why);
        };
        let chain = Self { remaining, ..self };
        let name = beside(path, name, "backing file")?;
        let format = head
            .extensions
            .backing_format
            .as_deref()
            .map(OsStr::to_string_lossy);
        match format.as_deref() {
            Some("qcow2") => open_qcow2(&name, chain).map(Some),
            // What QEMU calls the protocols are raw images, too.
            Some("raw" | "file" | "host_device") => {
                Ok(Some(Box::new(RawFile::open(&name, Access::ReadOnly)?)))
            }
            Some(format) => refused(
                ErrorKind::Unsupported,
                format!(
                    "its backing file {} is a {format} image, and only raw and qcow2 ones are read; \
                     `qemu-img convert` makes one image of the chain",
                    name.display()
                ),
            ),
            None => match probed(&name)? {
                None => Ok(Some(Box::new(RawFile::open(&name, Access::ReadOnly)?))),
                Some("qcow2") => open_qcow2(&name, chain).map(Some),
                Some(format) => refused(
                    ErrorKind::Unsupported,
                    format!(
                        "it does not say what its backing file {} is, which looks like a {format} image; \
                         `qemu-img rebase -u -b FILE -F FORMAT` says it, or `qemu-img convert` makes one image of the chain",
                        name.display()
                    ),
                ),
            },
        }
    }

    fn check_allowed(self, path: &Path, what: &str) -> Result<()> {
        match self.backing {
            Backing::Follow => Ok(()),
            Backing::Deny => Err(Error::new(ErrorKind::Denied, Operation::Open)
                .on(path)
                .because(format!(
                    "the image has a {what}, which is only opened when asked for"
                ))),
        }
    }
}

/// The format of a backing file that none is known of: as of old, its first bytes tell. A guest does not write there.
fn probed(path: &Path) -> Result<Option<&'static str>> {
    let file = RawFile::open(path, Access::ReadOnly)?;
    let mut start = [0; FORMAT_BYTES];
    let there = usize::try_from(file.size())
        .unwrap_or(usize::MAX)
        .min(FORMAT_BYTES);
    let start = start.get_mut(..there).unwrap_or_default();
    file.read_at(start, 0)?;
    Ok(image_format(start))
}

/// The file that an image names, from the directory of the image if it is not absolute.
fn beside(image: &Path, name: &OsStr, what: &str) -> Result<PathBuf> {
    let bytes = name.as_encoded_bytes();
    let bytes = bytes.strip_prefix(b"file:").unwrap_or(bytes);
    let name = system::name(bytes);
    if is_described(bytes) {
        return Err(Error::new(ErrorKind::Unsupported, Operation::Open)
            .on(image)
            .because(format!(
                "its {what} {} is named by a protocol or a description, and only files are supported; \
                 `qemu-img convert` makes one image of them",
                name.display()
            )));
    }
    let folder = image.parent().unwrap_or_else(|| Path::new(""));
    Ok(folder.join(name))
}

/// Whether a name is one of QEMU's other ways to say what lies below: `nbd:…`, `json:{…}`. A colon behind a slash is a
/// part of a file's name.
fn is_described(name: &[u8]) -> bool {
    let before = name.split(|byte| matches!(byte, b'/' | b':')).next();
    let colon = before.is_some_and(|before| name.get(before.len()) == Some(&b':'));
    colon && !name.starts_with(b":")
}
