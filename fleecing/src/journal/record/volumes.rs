//! A restore's part of the record.

use std::path::Path;

use fleece_guest_config::GuestConfig;
use fleece_storage::VolumeId;

use super::{Record, text};
use crate::error::Error;

pub(super) const RESTORES: &str = "restores";
const VOLUMES: &str = "volumes";

/// Ids have no commas.
pub(super) fn list(state: &GuestConfig) -> Vec<String> {
    let volumes = state.main().get(VOLUMES).unwrap_or_default().split(',');
    volumes
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
        .collect()
}

impl Record {
    /// Notes that a restore is about to make volumes, and the configuration that will name them once
    /// they are complete.
    ///
    /// # Errors
    /// When the record cannot be written; nothing may be made then.
    pub fn begin_restore(&self, config: &Path) -> Result<(), Error> {
        self.note(RESTORES, Some(text(config)?))
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
                let mut volumes = list(state);
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

#[cfg(test)]
mod tests {
    use fleece_qmp_client::Interrupt;
    use fleece_storage::Storages;

    use super::super::{Place, Record};
    use crate::journal::cleanup::{Cleaned, clean};

    #[test]
    fn an_unfinished_restore_is_undone_and_a_finished_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let volumes = ["vm-7-disk-0.raw", "vm-7-disk-1.raw"].map(|name| root.join(name));
        let config = root.join("7.conf");
        let place = Place::new(root.join("state"), "7".parse().unwrap(), None);
        for (text, left) in [
            (None, [false, false]),
            (
                Some(format!("scsi0: {},size=4K\n", volumes[0].display())),
                [true, false],
            ),
        ] {
            let record = Record::open(&place).unwrap();
            record.begin_restore(&config).unwrap();
            for volume in &volumes {
                let id = volume.to_str().unwrap().parse().unwrap();
                record.add_volume(&id).unwrap();
                std::fs::write(volume, "data").unwrap();
            }
            if let Some(text) = text {
                std::fs::write(&config, text).unwrap();
            }
            let mut cleaned = Cleaned::default();
            clean(
                &record,
                None,
                &Storages::none(),
                &Interrupt::default(),
                &mut cleaned,
            )
            .unwrap();
            assert!(cleaned.failed.is_empty(), "{:?}", cleaned.failed);
            assert_eq!([volumes[0].exists(), volumes[1].exists()], left);
            assert!(record.contents().unwrap().is_empty());
        }
    }
}
