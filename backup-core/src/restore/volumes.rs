//! The volumes that a restore makes.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleece_fleecing::Record;
use fleece_guest_config::GuestId;
use fleece_storage::{AllocationRequest, Plugin, VolumeId, free_names};

use super::copy::{Disk, To};
use super::failure::target_error;
use super::plan::Planned;
use crate::report::Counting;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::units;

/// Whether the storages have room for all disks, as far as that can be known before: a storage that is
/// not thin needs all of the disks' sizes, and no storage can do with much less than the archive's own
/// size, compressed as it may be.
pub(super) fn check_space(
    planned: &[Planned],
    archive: Option<u64>,
    all: bool,
) -> Result<(), Error> {
    let mut needs: BTreeMap<&str, (&Planned, u64)> = BTreeMap::new();
    for disk in planned {
        let (_, need) = needs.entry(disk.storage.id()).or_insert((disk, 0));
        *need = need.saturating_add(disk.found.device.size());
    }
    let alone = all && needs.len() == 1;
    for (name, (disk, sizes)) in needs {
        let need = match disk.capabilities.thin {
            false => sizes,
            // Less by what an index within the archive and containers around it may add.
            true if alone => archive
                .map_or(0, |size| size.saturating_sub(size >> 4))
                .min(sizes),
            true => 0,
        };
        let status = disk.storage.status().map_err(|error| {
            let message = format!("cannot use the storage {name}");
            Error::caused(ErrorKind::Storage, message, error)
        })?;
        if need > status.available {
            let message = format!(
                "the storage {name} has {} left and the disks need at least {}; free space there, or \
                 restore to another",
                units::bytes(status.available),
                units::bytes(need)
            );
            return Err(Error::new(ErrorKind::Storage, message));
        }
    }
    Ok(())
}

/// A volume that was made.
#[derive(Debug)]
pub(super) struct NewVolume {
    pub(super) id: VolumeId,
    storage: Arc<dyn Plugin>,
}

/// All that were made, each on record before it existed.
#[derive(Debug)]
pub(super) struct NewVolumes<'a> {
    pub(super) record: &'a Record,
    pub(super) made: Vec<NewVolume>,
}

impl<'a> NewVolumes<'a> {
    pub(super) fn new(record: &'a Record) -> Self {
        Self {
            record,
            made: Vec::new(),
        }
    }

    /// Makes the volume of one disk and opens it.
    pub(super) fn make(&mut self, guest: &GuestId, planned: &Planned) -> Result<Disk, Error> {
        let Planned {
            found,
            storage,
            capabilities,
            format,
        } = planned;
        let device = &found.device;
        let failed = |error: fleece_storage::Error| {
            let message = format!(
                "{}: cannot make a volume on {}",
                device.name(),
                storage.id()
            );
            Error::caused(ErrorKind::Storage, message, error)
        };
        let name = free_names(storage.as_ref(), guest, "disk", 1)
            .map_err(failed)?
            .pop()
            .ok_or_else(|| Error::new(ErrorKind::Storage, "no free name for a volume"))?;
        let id = storage.volume_id(&name, *format).map_err(failed)?;
        self.record.add_volume(&id)?;
        let request = AllocationRequest::new(name, *format, device.size());
        if let Err(error) = storage.allocate(&request) {
            if error.kind() == fleece_storage::ErrorKind::AlreadyExists {
                // Somebody was faster; what is there is not ours.
                self.record.remove_volume(&id.to_string())?;
            } else {
                self.made.push(NewVolume {
                    id,
                    storage: Arc::clone(storage),
                });
            }
            return Err(failed(error));
        }
        self.made.push(NewVolume {
            id: id.clone(),
            storage: Arc::clone(storage),
        });
        storage.activate_volume(&id).map_err(failed)?;
        let target = storage.open_writable(&id).map_err(failed)?;
        let zeroes_needed = !capabilities.zero_initialised;
        let excess = target.size().checked_sub(device.size()).ok_or_else(|| {
            let message = format!("the volume {id} is smaller than {}", device.name());
            Error::new(ErrorKind::Storage, message)
        })?;
        if zeroes_needed {
            // What a storage adds to round a size up would show the guest another one's old data.
            let zeroed = target.write_zeroes(device.size(), excess);
            zeroed.map_err(target_error)?;
        }
        Ok(Disk {
            device: device.clone(),
            to: To::New {
                disk: target,
                zeroes_needed,
            },
        })
    }

    /// Frees all of them; what cannot be freed stays on record.
    pub(super) fn free(&self, reporter: &Counting<'_>) {
        for volume in self.made.iter().rev() {
            match self.free_one(volume) {
                Ok(()) => reporter.info(format!("freed the volume {}", volume.id)),
                Err(error) => reporter.warning(error),
            }
        }
        if let Err(error) = self.record.end_restore(&[]) {
            reporter.warning(error);
        }
    }

    fn free_one(&self, volume: &NewVolume) -> Result<(), Error> {
        let message = || format!("the volume {} cannot be freed", volume.id);
        let left = |error| {
            Error::caused(ErrorKind::Storage, message(), error).advise(Advice::CleanUpLater)
        };
        volume.storage.free(&volume.id).map_err(left)?;
        Ok(self.record.remove_volume(&volume.id.to_string())?)
    }
}
