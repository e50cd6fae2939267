//! Verifying a backup, and putting on record what was found.

use std::io::Read;
use std::path::Path;

use fleece_encryption::Identities;
use fleece_vma_format::verify::{self as format, Damage, MAX_TOLD, Watch};

use super::{Backup, DumpDirectory, Verified};
use crate::clock;
use crate::input::Input;
use crate::job::cancel::CancelToken;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Counting, Reporter};

/// What a verification looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// How many damages there are; `tell` got the first [`MAX_TOLD`] of them.
    pub damages: u64,
    /// Whether the payload was checked, too: the format has checksums only in the index.
    pub deep: bool,
}

impl Checked {
    /// What was found, for people.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self {
            Self { damages: 1.., .. } => "damaged",
            Self { deep: true, .. } => "sound",
            Self { .. } => "structure sound; without an index the payload cannot be checked",
        }
    }
}

impl DumpDirectory {
    /// The same as [`verify`](Self::verify), telling what is found: damage as warnings.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_telling(
        &self,
        backup: &Backup,
        identities: &Identities,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
    ) -> Result<Checked, Error> {
        let (name, reporter) = (backup.file_name(), Counting::new(reporter));
        let mut tell = |damage: String| reporter.warning(format!("{name}: {damage}"));
        let checked = self.verify(backup, identities, cancel, &mut tell)?;
        reporter.info(format!("{name}: {}", checked.verdict()));
        Ok(checked)
    }

    /// Reads a whole backup, with its index if it has one, and records what is found: damage, or that
    /// it is sound, which only an index can tell. `tell` gets each damage.
    /// An encrypted one is read with `identities`.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`] if the archive cannot be read or the record cannot be written;
    /// [`ErrorKind::Cancelled`]. Damage is no error.
    pub fn verify(
        &self,
        backup: &Backup,
        identities: &Identities,
        cancel: &CancelToken,
        tell: &mut dyn FnMut(String),
    ) -> Result<Checked, Error> {
        let checked = match look(backup.path(), identities, cancel, tell) {
            Ok(checked) => checked,
            Err(_) if cancel.reason().is_some() => {
                let reason = cancel.reason();
                return Err(reason.map_or_else(
                    || Error::new(ErrorKind::Internal, "cancelled without a reason"),
                    Error::cancelled,
                ));
            }
            // Something else under the name of a backup restores no guest, either; what may hold one is not judged.
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
        let now = clock::now().timestamp();
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
    identities: &Identities,
    cancel: &CancelToken,
    tell: &mut dyn FnMut(String),
) -> fleece_vma_format::Result<Checked> {
    let mut input = Input::open_regular(path, cancel)
        .map_err(|error| fleece_vma_format::Error::io("open the archive", error))?
        .with_identities(identities);
    let mut index = input.index()?.map(|(_, index)| index);
    // What lies on the disk is of interest, not what memory still has of it.
    input.forget_cached();
    let mut watch = Teller(&mut *tell);
    let verified = format::verify(
        input.stream()?,
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

struct Teller<'a>(&'a mut dyn FnMut(String));

impl Watch for Teller<'_> {
    fn damage(&mut self, damage: Damage) {
        (self.0)(damage.to_string());
    }
}
