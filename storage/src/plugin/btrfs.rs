//! btrfs: each volume is a subvolume with one file, `disk.raw`, in it.

use std::fs::{self, File};
use std::io::ErrorKind as IoKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleece_guest_config::GuestId;
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use serde_json::Value;

use super::dir::{entries, file_blockdev, is_owner, make_directory};
use super::{AllocationRequest, Capabilities, Freed, Plugin, Status, foreign, no_such_format};
use crate::error::{Error, ErrorKind};
use crate::exec::Runner;
use crate::image;
use crate::lock;
use crate::name::{VolumeFormat, VolumeName, split_extension};
use crate::probe;
use crate::volume::{Volume, VolumeId};

const DISK: &str = "disk.raw";
/// How long `btrfs` may take; deleting a subvolume waits for a transaction.
const TIMEOUT: Duration = Duration::from_secs(60);

/// `PATH/images/100/vm-100-disk-0/disk.raw` is volume `ID:100/vm-100-disk-0.raw`.
#[derive(Debug, Clone)]
pub(crate) struct BtrfsPlugin {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    /// New volumes are overwritten in place: no copies, no checksums.
    pub(crate) nocow: bool,
    pub(crate) tools: Arc<dyn Runner>,
}

impl BtrfsPlugin {
    fn images(&self) -> PathBuf {
        self.path.join("images")
    }

    /// The subvolume of a volume.
    fn locate(&self, id: &VolumeId) -> Result<PathBuf, Error> {
        let volume = id.volume().filter(|_| id.storage() == Some(&self.id));
        let mut parts = volume.ok_or_else(|| foreign(self, id))?.rsplit('/');
        match (parts.next().and_then(split_extension), parts.next()) {
            (Some((name, VolumeFormat::Raw)), Some(guest)) if is_owner(guest, name) => {
                Ok(self.images().join(guest).join(name))
            }
            (Some((_, format)), Some(_)) => Err(no_such_format(self, format)),
            _ => Err(foreign(self, id)),
        }
    }

    fn create(&self, subvolume: &Path, size: u64) -> Result<(), Error> {
        if let Some(directory) = subvolume.parent() {
            make_directory(directory)?;
        }
        let made = self.subvolume("create", subvolume);
        if made.is_err() && subvolume.try_exists().unwrap_or(false) {
            let message = "a volume of this name exists already";
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                subvolume.display(),
                message,
            ));
        }
        made?;
        let disk = subvolume.join(DISK);
        let filled = self
            .prepare(&disk)
            .and_then(|()| image::grow(&disk, VolumeFormat::Raw, size));
        if filled.is_err() {
            // The first error counts; the subvolume is ours, made a moment ago.
            let _ = self.subvolume("delete", subvolume);
        }
        filled
    }

    fn prepare(&self, disk: &Path) -> Result<(), Error> {
        image::create(disk, VolumeFormat::Raw, 0)?;
        if self.nocow {
            // Only an empty file can be told.
            let io = |source: std::io::Error| Error::io("turn copy-on-write off for", disk, source);
            let file = File::open(disk).map_err(io)?;
            let flags = ioctl_getflags(&file).map_err(|errno| io(errno.into()))?;
            ioctl_setflags(&file, flags | IFlags::NOCOW).map_err(|errno| io(errno.into()))?;
        }
        Ok(())
    }

    fn subvolume(&self, command: &str, path: &Path) -> Result<(), Error> {
        let path = path.to_str().ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidName,
                path.display(),
                "the path is not UTF-8",
            )
        })?;
        self.tools
            .run(&["btrfs", "subvolume", command, "--", path], TIMEOUT)
            .map(drop)
    }
}

impl Plugin for BtrfsPlugin {
    fn id(&self) -> &str {
        &self.id
    }

    fn kind(&self) -> &str {
        "btrfs"
    }

    fn capabilities(&self) -> Result<Capabilities, Error> {
        Ok(Capabilities {
            thin: true,
            zero_initialised: true,
            discard_granularity: Some(4096),
            formats: vec![VolumeFormat::Raw],
            size_rounding: 1,
            snapshots: true,
            shared: false,
        })
    }

    fn status(&self) -> Result<Status, Error> {
        probe::status(&self.path)
    }

    fn activate(&self) -> Result<(), Error> {
        self.status()?;
        make_directory(&self.images())
    }

    fn list(&self, wanted: Option<&GuestId>) -> Result<Vec<Volume>, Error> {
        let mut volumes = Vec::new();
        for directory in entries(&self.images())? {
            let guest = directory
                .file_name()
                .and_then(|name| name.to_str()?.parse::<GuestId>().ok());
            let Some(guest) = guest.filter(|guest| wanted.is_none_or(|wanted| wanted == guest))
            else {
                continue;
            };
            for subvolume in entries(&directory)? {
                let name = subvolume
                    .file_name()
                    .and_then(|name| name.to_str())
                    .unwrap_or("");
                let id = VolumeId::configured(&self.id, &format!("{guest}/{name}.raw"));
                let metadata = fs::symlink_metadata(subvolume.join(DISK));
                let (Ok(id), Ok(metadata)) = (id, metadata) else {
                    continue;
                };
                if name.contains('@') || !is_owner(&guest.to_string(), name) {
                    continue;
                }
                volumes.push(Volume {
                    id,
                    guest: guest.clone(),
                    name: name.to_owned(),
                    format: VolumeFormat::Raw,
                    size: Some(metadata.len()),
                    used: Some(metadata.blocks().saturating_mul(512)),
                });
            }
        }
        volumes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(volumes)
    }

    fn volume_id(&self, name: &VolumeName, format: VolumeFormat) -> Result<VolumeId, Error> {
        match format {
            VolumeFormat::Raw => {
                VolumeId::configured(&self.id, &format!("{}/{name}.raw", name.guest()))
            }
            _ => Err(no_such_format(self, format)),
        }
    }

    fn allocate(&self, request: &AllocationRequest) -> Result<VolumeId, Error> {
        let id = self.volume_id(&request.name, request.format)?;
        let _lock = lock::acquire(&self.id)?;
        self.create(&self.locate(&id)?, request.size)?;
        Ok(id)
    }

    fn free(&self, id: &VolumeId) -> Result<Freed, Error> {
        let subvolume = self.locate(id)?;
        let _lock = lock::acquire(&self.id)?;
        let Some(directory) = subvolume.parent() else {
            return Err(foreign(self, id));
        };
        let name = subvolume
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        let mut freed = Freed::Absent;
        for path in entries(directory)? {
            let other = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or("");
            // Its snapshots lie beside it and go with it.
            if other.split('@').next() == Some(name) {
                self.subvolume("delete", &path)?;
                freed = Freed::Removed;
            }
        }
        // Stays if it holds something; nothing depends on whether it is there.
        let _ = fs::remove_dir(directory);
        Ok(freed)
    }

    fn path(&self, id: &VolumeId) -> Result<PathBuf, Error> {
        Ok(self.locate(id)?.join(DISK))
    }

    fn blockdev(&self, id: &VolumeId) -> Result<Value, Error> {
        Ok(file_blockdev(&self.path(id)?, VolumeFormat::Raw))
    }

    fn size(&self, id: &VolumeId) -> Result<u64, Error> {
        image::size(&self.path(id)?, VolumeFormat::Raw)
    }

    fn exists(&self, id: &VolumeId) -> Result<bool, Error> {
        let subvolume = self.locate(id)?;
        match fs::symlink_metadata(&subvolume) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == IoKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("look for the volume", &subvolume, error)),
        }
    }

    fn resize(&self, id: &VolumeId, size: u64) -> Result<(), Error> {
        image::grow(&self.path(id)?, VolumeFormat::Raw, size)
    }

    fn dump_directory(&self) -> Option<PathBuf> {
        Some(self.path.join("dump"))
    }
}
