//! ZFS: volumes are zvols of a pool or dataset.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fleece_guest_config::GuestId;
use serde_json::Value;

use super::device::{self, Device, device_name, not_made, not_removed};
use super::{AllocationRequest, Capabilities, Freed, Plugin, Status, no_such_volume};
use crate::error::{Error, ErrorKind};
use crate::exec::Runner;
use crate::lock;
use crate::name::{VolumeFormat, VolumeName};
use crate::volume::{Volume, VolumeId};

/// How long `zfs` may take; a pool under load commits every few seconds.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long udev may take to make the device node of a new zvol.
const NODE: Duration = Duration::from_secs(10);
/// How often a zvol is destroyed that is busy: udev and its helpers look at a device for a moment after QEMU
/// has closed it. Proxmox tries as often, as far apart.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = if cfg!(test) {
    Duration::ZERO
} else {
    Duration::from_secs(1)
};
/// Sizes of zvols are multiples of their block; 1 MiB is one of every block size, and what
/// Proxmox rounds to.
const ROUNDING: u64 = 1 << 20;
/// The default `volblocksize` since OpenZFS 2.2; before it was 8 KiB.
const DEFAULT_BLOCK: u64 = 16 << 10;

/// A ZFS pool, or a dataset in one, of `storage.cfg`.
#[derive(Debug, Clone)]
pub(crate) struct ZfsPlugin {
    pub(crate) id: String,
    pub(crate) pool: String,
    /// New volumes reserve nothing.
    pub(crate) sparse: bool,
    /// `volblocksize` as it is written: `16k`.
    pub(crate) block_size: Option<String>,
    pub(crate) tools: Arc<dyn Runner>,
}

impl ZfsPlugin {
    /// # Errors
    ///
    /// `InvalidConfig` for a pool that `zfs(8)` would not take, or that it would take for an
    /// option.
    pub(crate) fn check_pool(storage: &str, pool: &str) -> Result<(), Error> {
        let allowed = |b: u8| crate::name::is_name_byte(b) || matches!(b, b'/' | b':');
        let parts = pool
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..");
        if pool.bytes().all(allowed) && parts && !pool.starts_with('-') {
            return Ok(());
        }
        let message = format!("{pool:?} is not a valid name of a pool or dataset");
        Err(Error::new(ErrorKind::InvalidConfig, storage, message))
    }

    fn dataset(&self, name: &str) -> String {
        format!("{}/{name}", self.pool)
    }

    /// The zvols of the pool. `zfs list -Hp` prints tabs and bytes.
    fn zvols(&self) -> Result<Vec<Device>, Error> {
        let argv = [
            "zfs",
            "list",
            "-Hp",
            "-o",
            "name,volsize,used",
            "-t",
            "volume",
            "-d",
            "1",
            &self.pool,
        ];
        let text = self.tools.run(&argv, TIMEOUT)?;
        let zvols = text.lines().map(|line| {
            let mut fields = line.split('\t');
            let name = fields.next()?.strip_prefix(&self.pool)?.strip_prefix('/')?;
            Some(Device {
                name: name.to_owned(),
                size: fields.next()?.parse().ok()?,
                used: Some(fields.next()?.parse().ok()?),
            })
        });
        zvols.collect::<Option<_>>().ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidData,
                &self.id,
                "cannot understand what 'zfs list' prints",
            )
        })
    }

    fn find(&self, name: &str) -> Result<Option<Device>, Error> {
        Ok(self.zvols()?.into_iter().find(|zvol| zvol.name == name))
    }

    fn wait_for_node(&self, id: &VolumeId) -> Result<(), Error> {
        let path = self.path(id)?;
        let deadline = Instant::now().checked_add(NODE);
        while !path.exists() {
            if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                let message = "the device node of the volume does not appear; is udev running?";
                return Err(Error::new(ErrorKind::Unreachable, path.display(), message));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Plugin for ZfsPlugin {
    fn id(&self) -> &str {
        &self.id
    }

    fn kind(&self) -> &str {
        "zfspool"
    }

    fn capabilities(&self) -> Result<Capabilities, Error> {
        Ok(Capabilities {
            thin: self.sparse,
            zero_initialised: true,
            discard_granularity: match &self.block_size {
                Some(size) => parse_size(size),
                None => Some(DEFAULT_BLOCK),
            },
            formats: vec![VolumeFormat::Raw],
            size_rounding: ROUNDING,
            snapshots: true,
            shared: false,
        })
    }

    fn status(&self) -> Result<Status, Error> {
        let argv = [
            "zfs",
            "get",
            "-Hp",
            "-o",
            "value",
            "available,used",
            &self.pool,
        ];
        let text = self.tools.run(&argv, TIMEOUT)?;
        let numbers: Vec<u64> = text.lines().map_while(|line| line.parse().ok()).collect();
        let [available, used] = numbers[..] else {
            let message = "cannot understand what 'zfs get' prints";
            return Err(Error::new(ErrorKind::InvalidData, &self.id, message));
        };
        Ok(Status {
            total: available.saturating_add(used),
            used,
            available,
        })
    }

    fn activate(&self) -> Result<(), Error> {
        self.status().map(drop)
    }

    fn list(&self, guest: Option<&GuestId>) -> Result<Vec<Volume>, Error> {
        Ok(device::volumes(self, guest, self.zvols()?))
    }

    fn volume_id(&self, name: &VolumeName, format: VolumeFormat) -> Result<VolumeId, Error> {
        device::volume_id(self, name, format)
    }

    fn allocate(&self, request: &AllocationRequest) -> Result<VolumeId, Error> {
        let id = self.volume_id(&request.name, request.format)?;
        let name = request.name.as_str();
        let _lock = lock::acquire(&self.id)?;
        let size = request
            .size
            .checked_next_multiple_of(ROUNDING)
            .unwrap_or(u64::MAX)
            .to_string();
        let dataset = self.dataset(name);
        let mut argv = vec!["zfs", "create"];
        if self.sparse {
            argv.push("-s");
        }
        if let Some(block_size) = &self.block_size {
            argv.extend(["-b", block_size]);
        }
        argv.extend(["-V", &size, &dataset]);
        if let Err(error) = self.tools.run(&argv, TIMEOUT) {
            let error = not_made(error, self.find(name), &id);
            if error.kind() == ErrorKind::AlreadyExists {
                return Err(error);
            }
            return match self.status() {
                Ok(status) if !self.sparse && status.available < request.size => {
                    let message = format!(
                        "pool '{}' has {} bytes left, {} are needed",
                        self.pool, status.available, request.size
                    );
                    Err(Error::new(ErrorKind::NoSpace, &self.id, message).caused_by(error))
                }
                _ => Err(error),
            };
        }
        self.wait_for_node(&id).inspect_err(|_| {
            // The first error counts.
            let _ = self.tools.run(&["zfs", "destroy", &dataset], TIMEOUT);
        })?;
        Ok(id)
    }

    fn free(&self, id: &VolumeId) -> Result<Freed, Error> {
        let name = device_name(self, id)?;
        let _lock = lock::acquire(&self.id)?;
        if self.find(name)?.is_none() {
            return Ok(Freed::Absent);
        }
        let dataset = self.dataset(name);
        let mut retries = 1..ATTEMPTS;
        loop {
            let destroyed = self.tools.run(&["zfs", "destroy", "-r", &dataset], TIMEOUT);
            let Err(error) = destroyed else {
                return Ok(Freed::Removed);
            };
            let busy = "the volume cannot be removed; is something still using it?";
            let freed = not_removed(error, self.find(name), id, busy);
            match &freed {
                Err(error) if error.kind() == ErrorKind::Busy && retries.next().is_some() => {
                    sleep(PAUSE);
                }
                _ => return freed,
            }
        }
    }

    fn path(&self, id: &VolumeId) -> Result<PathBuf, Error> {
        Ok(PathBuf::from(format!(
            "/dev/zvol/{}",
            self.dataset(device_name(self, id)?)
        )))
    }

    fn blockdev(&self, id: &VolumeId) -> Result<Value, Error> {
        Ok(device::blockdev(&self.path(id)?))
    }

    fn size(&self, id: &VolumeId) -> Result<u64, Error> {
        let found = self.find(device_name(self, id)?)?;
        found
            .map(|zvol| zvol.size)
            .ok_or_else(|| no_such_volume(id))
    }

    fn resize(&self, id: &VolumeId, size: u64) -> Result<(), Error> {
        let old = self.size(id)?;
        let rounded = size.checked_next_multiple_of(ROUNDING).unwrap_or(u64::MAX);
        if rounded < old {
            return Err(Error::not_shrunk(id, old, size));
        }
        let property = format!("volsize={rounded}");
        let dataset = self.dataset(device_name(self, id)?);
        self.tools
            .run(&["zfs", "set", &property, &dataset], TIMEOUT)
            .map(drop)
    }
}

/// `16k` → 16384: the way `zfs` writes block sizes.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let (digits, unit) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1 << 10),
        None => match text.strip_suffix('m') {
            Some(digits) => (digits, 1 << 20),
            None => (text.as_str(), 1),
        },
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests;
