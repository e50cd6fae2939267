//! A restore's part of the record.

use std::path::Path;

use fleece_storage::VolumeId;

use super::place::absolute;
use super::{RESTORES, Record, VOLUMES, text, volumes};
use crate::error::Error;

impl Record {
    /// Notes that a restore is about to make volumes, and the configuration that will name them once
    /// they are complete.
    ///
    /// # Errors
    /// When the record cannot be written; nothing may be made then.
    pub fn begin_restore(&self, config: &Path) -> Result<(), Error> {
        self.note(RESTORES, Some(text(&absolute(config))?))
    }

    /// Notes that a restore is over: its configuration names these volumes. What else is on record, an
    /// earlier restore's that could not be freed, stays.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn end_restore(&self, complete: &[String]) -> Result<(), Error> {
        self.edit_volumes(|volumes| volumes.retain(|volume| !complete.contains(volume)))?;
        match self.contents()?.volumes.as_slice() {
            [] => self.note(RESTORES, None),
            _ => Ok(()),
        }
    }

    /// Notes a volume that is about to be allocated.
    ///
    /// # Errors
    /// When the record cannot be written; the volume must not be allocated then.
    pub fn add_volume(&self, volume: &VolumeId) -> Result<(), Error> {
        self.edit_volumes(|volumes| volumes.push(volume.to_string()))
    }

    /// Notes that a volume is gone.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn remove_volume(&self, volume: &str) -> Result<(), Error> {
        self.edit_volumes(|volumes| volumes.retain(|known| known != volume))
    }

    fn edit_volumes(&self, edit: impl FnOnce(&mut Vec<String>)) -> Result<(), Error> {
        self.state
            .update::<_, fleece_guest_config::Error>(|state| {
                let mut volumes = volumes(state);
                edit(&mut volumes);
                if volumes.is_empty() {
                    state.main_mut().remove(VOLUMES);
                    return Ok(());
                }
                state.main_mut().set(VOLUMES, &volumes.join(","))
            })
            .map_err(Error::from)
    }
}
