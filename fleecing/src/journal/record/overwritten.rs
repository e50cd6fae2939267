//! The part of the record of a restore that writes into disks that the guest has.

use std::path::{Path, PathBuf};

use fleece_guest_config::GuestConfig;
use fleece_storage::VolumeId;
use serde::{Deserialize, Serialize};

use super::{OVERWRITES, Record, absolute};
use crate::error::Error;

/// Disks that are as they were in part, and in part as in the archive, until a restore of them has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Overwritten {
    /// The archive; `-` if it came through a pipe.
    pub archive: PathBuf,
    /// The ids of their volumes.
    pub volumes: Vec<String>,
}

/// What a state file says; what cannot be understood is disks that nobody knows.
pub(super) fn of(state: &GuestConfig) -> Option<Overwritten> {
    let text = state.main().get(OVERWRITES)?;
    Some(serde_json::from_str(text).unwrap_or_default())
}

impl Record {
    /// Notes that volumes that the guest has are about to be written into.
    ///
    /// # Errors
    /// When the record cannot be written; nothing may be written then.
    pub fn begin_overwriting(&self, archive: &Path, volumes: &[VolumeId]) -> Result<(), Error> {
        let archive = match archive.as_os_str() == "-" {
            true => archive.to_owned(),
            false => absolute(archive),
        };
        // A path that is no text is named as well as it can be: it is for people only.
        let overwritten = Overwritten {
            archive: archive.to_string_lossy().into_owned().into(),
            volumes: volumes.iter().map(ToString::to_string).collect(),
        };
        let text = serde_json::to_string(&overwritten).unwrap_or_default();
        self.note(OVERWRITES, Some(&text))
    }

    /// Notes that the guest's disks are whole: as in an archive, or as they were.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn end_overwriting(&self) -> Result<(), Error> {
        match self.contents()?.overwritten {
            Some(_) => self.note(OVERWRITES, None),
            None => Ok(()),
        }
    }
}
