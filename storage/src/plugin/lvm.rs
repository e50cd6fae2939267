//! LVM: volumes are logical volumes that take their whole size at once.

use std::path::PathBuf;
use std::time::Duration;

use fleece_guest_config::GuestId;
use serde_json::Value;

use super::device::{self, device_name};
use super::volume_group::{LogicalVolume, VolumeGroup};
use super::{AllocationRequest, Capabilities, Freed, Plugin, Status};
use crate::error::{Error, ErrorKind};
use crate::lock;
use crate::name::{VolumeFormat, VolumeName};
use crate::volume::{Volume, VolumeId};

/// Zeroing a volume before it is removed may be this slow: bytes in a second.
const SLOWEST_WIPE: u64 = 10 << 20;

/// A volume group of `storage.cfg`.
#[derive(Debug, Clone)]
pub(crate) struct LvmPlugin {
    pub(crate) id: String,
    pub(crate) group: VolumeGroup,
    /// Volumes are overwritten with zeroes before they are removed.
    pub(crate) saferemove: bool,
    pub(crate) shared: bool,
}

impl Plugin for LvmPlugin {
    fn id(&self) -> &str {
        &self.id
    }

    fn kind(&self) -> &str {
        "lvm"
    }

    fn capabilities(&self) -> Result<Capabilities, Error> {
        Ok(Capabilities {
            thin: false,
            zero_initialised: false,
            discard_granularity: None,
            formats: vec![VolumeFormat::Raw],
            size_rounding: self.group.extent_size()?,
            snapshots: false,
            shared: self.shared,
        })
    }

    fn status(&self) -> Result<Status, Error> {
        self.group.status()
    }

    fn activate(&self) -> Result<(), Error> {
        self.group.status().map(drop)
    }

    fn activate_volume(&self, id: &VolumeId) -> Result<(), Error> {
        self.group
            .activate(&self.group.require(device_name(self, id)?)?)
    }

    fn list(&self, guest: Option<&GuestId>) -> Result<Vec<Volume>, Error> {
        // Plain, mirrored and raid volumes; not pools, snapshots and parts of others.
        let plain = |lv: &LogicalVolume| matches!(lv.kind(), Some('-' | 'm' | 'M' | 'r' | 'R'));
        let devices = self.group.volumes()?.into_iter().filter(plain);
        let devices = devices.map(|lv| lv.device(Some(lv.size)));
        Ok(device::volumes(self, guest, devices))
    }

    fn volume_id(&self, name: &VolumeName, format: VolumeFormat) -> Result<VolumeId, Error> {
        device::volume_id(self, name, format)
    }

    fn allocate(&self, request: &AllocationRequest) -> Result<VolumeId, Error> {
        let id = self.volume_id(&request.name, request.format)?;
        let _lock = lock::acquire(&self.id)?;
        let free = self.group.status()?.available;
        if request.size > free {
            let message = format!(
                "volume group '{}' has {free} bytes left, {} are needed",
                self.group.name(),
                request.size
            );
            return Err(Error::new(ErrorKind::NoSpace, &self.id, message));
        }
        let size = format!("{}b", request.size);
        let tag = format!("pve-vm-{}", request.name.guest());
        let arguments = [
            "--wipesignatures",
            "y",
            "--setautoactivation",
            "n",
            "--addtag",
            &tag,
        ];
        let arguments = [&arguments[..], &["--size", &size, self.group.name()]].concat();
        self.group.create(request.name.as_str(), &arguments)?;
        Ok(id)
    }

    fn free(&self, id: &VolumeId) -> Result<Freed, Error> {
        let name = device_name(self, id)?;
        let _lock = lock::acquire(&self.id)?;
        if self.saferemove
            && let Some(volume) = self.group.volume(name)?
        {
            self.group.activate(&volume)?;
            let path = self.group.path(name);
            let path = path.to_string_lossy();
            let seconds = volume
                .size
                .checked_div(SLOWEST_WIPE)
                .unwrap_or(0)
                .saturating_add(60);
            self.group.run(
                &["blkdiscard", "--zeroout", &path],
                Duration::from_secs(seconds),
            )?;
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
