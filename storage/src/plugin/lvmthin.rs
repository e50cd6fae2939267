//! LVM-thin: volumes of a thin pool, which take room as they are written.

use std::path::PathBuf;

use fleece_guest_config::GuestId;
use serde_json::Value;

use super::device::{self, device_name};
use super::volume_group::{CHANGE, LogicalVolume, VolumeGroup};
use super::{AllocationRequest, Capabilities, Freed, Plugin, Status};
use crate::error::{Error, ErrorKind};
use crate::lock;
use crate::name::{VolumeFormat, VolumeName};
use crate::volume::{Volume, VolumeId};

/// A thin pool of `storage.cfg`.
#[derive(Debug, Clone)]
pub(crate) struct LvmThinPlugin {
    pub(crate) id: String,
    pub(crate) group: VolumeGroup,
    pub(crate) pool: String,
}

impl Plugin for LvmThinPlugin {
    fn id(&self) -> &str {
        &self.id
    }

    fn kind(&self) -> &str {
        "lvmthin"
    }

    fn capabilities(&self) -> Result<Capabilities, Error> {
        let pool = self.group.require(&self.pool)?;
        Ok(Capabilities {
            thin: true,
            zero_initialised: pool.zeroes_new_chunks(),
            discard_granularity: Some(pool.chunk_size),
            formats: vec![VolumeFormat::Raw],
            size_rounding: self.group.extent_size()?,
            snapshots: true,
            shared: false,
        })
    }

    fn status(&self) -> Result<Status, Error> {
        let pool = self.group.require(&self.pool)?;
        let used = pool.taken().ok_or_else(|| {
            let message = "the thin pool does not say how full it is; is it active?";
            Error::new(ErrorKind::InvalidData, &self.id, message)
        })?;
        Ok(Status {
            total: pool.size,
            used,
            available: pool.size.saturating_sub(used),
        })
    }

    fn activate(&self) -> Result<(), Error> {
        self.group.activate(&self.group.require(&self.pool)?)
    }

    fn activate_volume(&self, id: &VolumeId) -> Result<(), Error> {
        self.group
            .activate(&self.group.require(device_name(self, id)?)?)
    }

    fn list(&self, guest: Option<&GuestId>) -> Result<Vec<Volume>, Error> {
        let ours = |lv: &LogicalVolume| lv.kind() == Some('V') && lv.pool == self.pool;
        let devices = self.group.volumes()?.into_iter().filter(ours);
        let devices = devices.map(|lv| lv.device(lv.taken()));
        Ok(device::volumes(self, guest, devices))
    }

    fn volume_id(&self, name: &VolumeName, format: VolumeFormat) -> Result<VolumeId, Error> {
        device::volume_id(self, name, format)
    }

    fn allocate(&self, request: &AllocationRequest) -> Result<VolumeId, Error> {
        let id = self.volume_id(&request.name, request.format)?;
        let _lock = lock::acquire(&self.id)?;
        let size = format!("{}b", request.size);
        let pool = format!("{}/{}", self.group.name(), self.pool);
        let arguments = ["--virtualsize", &size, "--thinpool", &pool];
        self.group.create(request.name.as_str(), &arguments)?;
        // LVM does not take this when it makes a thin volume, only afterwards.
        let name = request.name.as_str();
        let target = format!("{}/{name}", self.group.name());
        let change = ["lvchange", "--setautoactivation", "n", &target];
        if let Err(error) = self.group.run(&change, CHANGE) {
            // The first error counts; the volume is ours, made a moment ago.
            let _ = self.group.remove(name);
            return Err(error);
        }
        Ok(id)
    }

    fn free(&self, id: &VolumeId) -> Result<Freed, Error> {
        let name = device_name(self, id)?;
        let _lock = lock::acquire(&self.id)?;
        // Proxmox names the snapshots of a volume after it.
        let snapshots = format!("snap_{name}_");
        for lv in self.group.volumes()? {
            if lv.name.starts_with(&snapshots) && lv.pool == self.pool {
                self.group.remove(&lv.name)?;
            }
        }
        self.group.remove(name)
    }

    fn path(&self, id: &VolumeId) -> Result<PathBuf, Error> {
        Ok(self.group.path(device_name(self, id)?))
    }

    fn blockdev(&self, id: &VolumeId) -> Result<Value, Error> {
        Ok(device::blockdev(&self.path(id)?))
    }

    fn size(&self, id: &VolumeId) -> Result<u64, Error> {
        Ok(self.group.require(device_name(self, id)?)?.size)
    }

    fn resize(&self, id: &VolumeId, size: u64) -> Result<(), Error> {
        self.group.grow(device_name(self, id)?, size)
    }
}

#[cfg(test)]
mod tests;
