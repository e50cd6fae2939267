//! Verifying a backup, and putting on record what was found.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use fleece_staged_file::regular::{self, Links};
use fleece_vma_format::container;
use fleece_vma_format::verify::{self as format, Damage, MAX_TOLD, Watch};
use jiff::Timestamp;
use rustix::fs::{Advice, fadvise};

use super::{Backup, DumpDirectory, Verified};
use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind};

/// What a verification looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// How many damages there are; `tell` got the first [`MAX_TOLD`] of them.
    pub damages: u64,
    /// Whether the payload was checked, too: the format has checksums only in the index.
    pub deep: bool,
}

impl DumpDirectory {
    /// Reads a whole backup, with its index if it has one, and records what is found: damage, or that
    /// it is sound, which only an index can tell. `tell` gets each damage.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`] if the archive cannot be read or the record cannot be written;
    /// [`ErrorKind::Cancelled`]. Damage is no error.
    pub fn verify(
        &self,
        backup: &Backup,
        cancel: &CancelToken,
        tell: &mut dyn FnMut(String),
    ) -> Result<Checked, Error> {
        let checked = match look(backup.path(), cancel, tell) {
            Ok(checked) => checked,
            Err(_) if cancel.reason().is_some() => {
                let reason = cancel.reason();
                return Err(reason.map_or_else(
                    || Error::new(ErrorKind::Internal, "cancelled without a reason"),
                    Error::cancelled,
                ));
            }
            // Something else under the name of a backup restores no guest, either.
            Err(error)
                if error.kind().is_damage()
                    || error.kind() == fleece_vma_format::ErrorKind::Foreign =>
            {
                tell(error.to_string());
                Checked {
                    damages: 1,
                    deep: false,
                }
            }
            Err(error) => {
                let message = format!("cannot read {}", backup.path().display());
                return Err(Error::caused(ErrorKind::Target, message, error));
            }
        };
        let now = Timestamp::now();
        match checked {
            Checked { damages: 1.., .. } => self.set_verified(backup, Verified::Damaged(now))?,
            Checked { deep: true, .. } => self.set_verified(backup, Verified::Sound(now))?,
            Checked { .. } => {}
        }
        Ok(checked)
    }
}

fn look(
    path: &Path,
    cancel: &CancelToken,
    tell: &mut dyn FnMut(String),
) -> fleece_vma_format::Result<Checked> {
    let open = |path: &Path| {
        regular::open(path, Links::Follow)
            .map_err(|error| fleece_vma_format::Error::io("open the archive", error))
    };
    let mut index = index(path, open(path)?)?;
    let file = open(path)?;
    // What lies on the disk is of interest, not what memory still has of it; no more than a wish.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    let input = Interruptible {
        file,
        cancel: cancel.clone(),
    };
    let mut watch = Teller(&mut *tell);
    let verified = format::verify(
        container::open(input)?,
        index.as_mut().map(|index| index as &mut dyn Read),
        &mut watch,
    )?;
    if let Some(more @ 1..) = verified.damages.checked_sub(MAX_TOLD) {
        tell(format!("and {more} more damages"));
    }
    Ok(Checked {
        damages: verified.damages,
        deep: verified.deep,
    })
}

/// The index within the archive, or the one beside it.
fn index(path: &Path, file: File) -> fleece_vma_format::Result<Option<Box<dyn Read>>> {
    if let Some(index) = container::embedded_index(file)? {
        return Ok(Some(Box::new(BufReader::new(index))));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".idx");
    match regular::open(Path::new(&beside), Links::Follow) {
        Ok(file) => Ok(Some(Box::new(BufReader::new(file)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fleece_vma_format::Error::io("open the index", error)),
    }
}

/// Ends at the first read after a signal.
struct Interruptible {
    file: File,
    cancel: CancelToken,
}

impl Read for Interruptible {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.cancel.reason() {
            Some(reason) => Err(io::Error::other(reason.to_string())),
            None => self.file.read(buffer),
        }
    }
}

struct Teller<'a>(&'a mut dyn FnMut(String));

impl Watch for Teller<'_> {
    fn damage(&mut self, damage: Damage) {
        (self.0)(damage.to_string());
    }
}
