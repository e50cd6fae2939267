//! The images below an image: whether they are opened, and how.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use imago::file::File as ImageFile;
use imago::format::Format;
use imago::format::gate::ImplicitOpenGate;
use imago::{FormatAccess, FormatDriverBuilder, Storage, StorageOpenOptions};

use super::header::Qcow2Header;
use crate::block::{Error, Operation};

/// Whether an image may name other files that are then opened too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Backing {
    /// Refuse images with a backing file: who wrote the image may have named any file.
    Deny,
    /// Open the chain of backing files, for images whose origin is trusted.
    Follow,
}

/// How many images may lie below one another, to end on chains that bite their tail.
const MAX_CHAIN: usize = 64;

/// Opens the images below, each behind the same header check, for reading only, to a limited depth.
pub(super) struct ChainGate {
    remaining: usize,
    /// How many were opened.
    opened: Arc<AtomicU64>,
}

impl ChainGate {
    pub(super) fn new(opened: Arc<AtomicU64>) -> Self {
        Self {
            remaining: MAX_CHAIN,
            opened,
        }
    }
}

impl ImplicitOpenGate<ImageFile> for ChainGate {
    fn open_format<F: FormatDriverBuilder<ImageFile>>(
        &mut self,
        builder: F,
    ) -> io::Result<FormatAccess<ImageFile>> {
        let remaining = self.remaining.checked_sub(1).ok_or_else(|| {
            io::Error::other(format!(
                "the chain of backing files has more than {MAX_CHAIN} images"
            ))
        })?;
        match F::FORMAT {
            Format::Raw => {}
            Format::Qcow2 => {
                let path = builder.get_image_path().ok_or_else(|| {
                    io::Error::other("the header of an image without a name cannot be checked")
                })?;
                File::open(path)
                    .map_err(|error| Error::from_io(Operation::Open, error))
                    .and_then(|file| Qcow2Header::read(&file)?.check_readable())
                    .map_err(io::Error::other)?;
            }
            _ => {
                return Err(io::Error::other(
                    "only raw and qcow2 backing files are supported",
                ));
            }
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        let opened = Arc::clone(&self.opened);
        let gate = Self { remaining, opened };
        Ok(FormatAccess::new(builder.write(false).open(gate)?))
    }

    fn open_storage(&mut self, options: StorageOpenOptions) -> io::Result<ImageFile> {
        if let Some(name) = options.get_filename()
            && !name.exists()
            && is_described(&name.to_string_lossy())
        {
            let message = format!(
                "the backing file {} is named by a protocol or a description, and only files are supported; \
                 `qemu-img convert` makes one image of the chain",
                name.display()
            );
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        ImageFile::open(options.write(false))
    }
}

/// Whether a name is one of QEMU's other ways to say what lies below: `nbd:…`, `json:{…}`. Before it may stand the folder of
/// the image above.
fn is_described(name: &str) -> bool {
    let is_protocol = |text: &str| {
        text.len() > 1
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    };
    name.split('/').any(|part| {
        part.split_once(':')
            .is_some_and(|(protocol, _)| is_protocol(protocol))
    })
}
