//! A directory: volumes are files.

use std::fs;
use std::io::ErrorKind as IoKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fleece_guest_config::GuestId;
use fleece_staged_file::create_directories;
use serde_json::{Value, json};

use super::{AllocationRequest, Capabilities, Freed, Plugin, Status, foreign};
use crate::error::{Error, ErrorKind};
use crate::image;
use crate::lock;
use crate::mounts;
use crate::name::{VolumeFormat, VolumeName, owner, split_extension};
use crate::probe;
use crate::volume::{Volume, VolumeId};

/// The file systems' block: what a hole in a file is a multiple of, on all that matter.
const BLOCK: u64 = 4096;
/// How often an allocation starts anew when the directory is removed under it.
const MAX_TRIES: u32 = 100;

/// A directory as a storage: one of `storage.cfg`, or a plain one given by its path.
#[derive(Debug, Clone)]
pub struct DirPlugin {
    id: String,
    /// What must be there before anything is made in it.
    root: PathBuf,
    /// Where the volumes lie.
    images: PathBuf,
    layout: Layout,
    dump: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `DIR/vm-100-disk-0.raw`; the id is the path.
    Flat,
    /// `DIR/images/100/vm-100-disk-0.raw`, as Proxmox has it.
    PerGuest,
}

impl DirPlugin {
    /// A plain directory, by its absolute path: volumes and backups lie flat in it.
    ///
    /// # Errors
    ///
    /// `InvalidName` if the path cannot be part of a volume id.
    pub fn plain(path: &Path) -> Result<Self, Error> {
        let id = VolumeId::at(path)?.to_string();
        let images = path.to_owned();
        Ok(Self {
            id,
            root: images.clone(),
            dump: images.clone(),
            images,
            layout: Layout::Flat,
        })
    }

    /// A storage of Proxmox's layout below `root`.
    pub(crate) fn configured(id: &str, root: &Path, images: PathBuf, dump: PathBuf) -> Self {
        Self {
            id: id.to_owned(),
            root: root.to_owned(),
            images,
            layout: Layout::PerGuest,
            dump,
        }
    }

    /// The file of a volume of this storage, and its format.
    fn locate(&self, id: &VolumeId) -> Result<(PathBuf, VolumeFormat), Error> {
        let found = match self.layout {
            Layout::Flat => id
                .as_path()
                .filter(|path| path.parent() == Some(&self.images)),
            Layout::PerGuest => id
                .volume()
                .filter(|_| id.storage() == Some(&self.id))
                .map(Path::new),
        };
        let relative = found.ok_or_else(|| foreign(self, id))?;
        let name = relative
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        let (stem, format) = split_extension(name).ok_or_else(|| {
            let why = "not a volume: its name ends neither in .raw nor in .qcow2";
            Error::new(ErrorKind::Unsupported, id, why)
        })?;
        let directory = match self.layout {
            // Only what is named like a volume is one: a plain directory holds anything.
            Layout::Flat => owner(stem).map(|_| self.images.clone()),
            // A linked clone has its base in front: BASE/NAME/VMID/NAME.
            Layout::PerGuest => relative
                .parent()
                .and_then(|parent| parent.file_name()?.to_str())
                .filter(|guest| is_owner(guest, stem))
                .map(|guest| self.images.join(guest)),
        };
        Ok((
            directory.ok_or_else(|| foreign(self, id))?.join(name),
            format,
        ))
    }

    fn list_directory(
        &self,
        directory: &Path,
        guest: Option<&GuestId>,
        volumes: &mut Vec<Volume>,
    ) -> Result<(), Error> {
        for path in entries(directory)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let Some((stem, format)) = split_extension(name) else {
                continue;
            };
            let Some(guest) = guest.cloned().or_else(|| owner(stem)) else {
                continue;
            };
            // A link of Proxmox's chains of snapshots; the volume is the end of the chain.
            if stem.starts_with("snap-") {
                continue;
            }
            if self.layout == Layout::PerGuest && !is_owner(&guest.to_string(), stem) {
                continue;
            }
            let id = match self.layout {
                Layout::Flat => VolumeId::at(&path),
                Layout::PerGuest => VolumeId::configured(&self.id, &format!("{guest}/{name}")),
            };
            let (Ok(id), Ok(metadata)) = (id, fs::symlink_metadata(&path)) else {
                continue;
            };
            if !metadata.is_file() {
                continue;
            }
            volumes.push(Volume {
                id,
                guest,
                name: stem.to_owned(),
                format,
                size: image::size(&path, format).ok(),
                used: Some(metadata.blocks().saturating_mul(512)),
            });
        }
        Ok(())
    }
}

impl Plugin for DirPlugin {
    fn id(&self) -> &str {
        &self.id
    }

    fn kind(&self) -> &str {
        "dir"
    }

    fn capabilities(&self) -> Result<Capabilities, Error> {
        Ok(Capabilities {
            thin: true,
            zero_initialised: true,
            discard_granularity: Some(BLOCK),
            formats: vec![VolumeFormat::Raw, VolumeFormat::Qcow2],
            size_rounding: 1,
            snapshots: false,
            shared: mounts::is_remote(&self.images)?,
        })
    }

    fn status(&self) -> Result<Status, Error> {
        match probe::status(&self.images) {
            Err(error) if error.kind() == ErrorKind::NotFound => probe::status(&self.root),
            status => status,
        }
    }

    fn activate(&self) -> Result<(), Error> {
        self.status()?;
        if self.layout == Layout::PerGuest {
            make_directory(&self.images)?;
        }
        Ok(())
    }

    fn list(&self, wanted: Option<&GuestId>) -> Result<Vec<Volume>, Error> {
        let mut volumes = Vec::new();
        match self.layout {
            Layout::Flat => self.list_directory(&self.images, None, &mut volumes)?,
            Layout::PerGuest => {
                for path in entries(&self.images)? {
                    let name = path.file_name().and_then(|name| name.to_str());
                    let guest = name.and_then(|name| name.parse::<GuestId>().ok());
                    let guest = guest.filter(|guest| wanted.is_none_or(|wanted| wanted == guest));
                    if guest.is_some() && path.is_dir() {
                        self.list_directory(&path, guest.as_ref(), &mut volumes)?;
                    }
                }
            }
        }
        volumes.retain(|volume| wanted.is_none_or(|guest| *guest == volume.guest));
        volumes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(volumes)
    }

    fn volume_id(&self, name: &VolumeName, format: VolumeFormat) -> Result<VolumeId, Error> {
        match self.layout {
            Layout::Flat => VolumeId::at(&self.images.join(format!("{name}.{format}"))),
            Layout::PerGuest => {
                VolumeId::configured(&self.id, &format!("{}/{name}.{format}", name.guest()))
            }
        }
    }

    fn allocate(&self, request: &AllocationRequest) -> Result<VolumeId, Error> {
        let id = self.volume_id(&request.name, request.format)?;
        let (path, format) = self.locate(&id)?;
        let _lock = lock::acquire(&self.id)?;
        for _ in 0..MAX_TRIES {
            if self.layout == Layout::PerGuest
                && let Some(directory) = path.parent()
            {
                make_directory(directory)?;
            }
            match image::create(&path, format, request.size) {
                // The guest's last volume was freed at this moment, and its directory with it.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                result => return result.map(|()| id),
            }
        }
        Err(Error::new(
            ErrorKind::Io,
            id,
            "the directory of the volume keeps vanishing",
        ))
    }

    fn free(&self, id: &VolumeId) -> Result<Freed, Error> {
        let (path, _) = self.locate(id)?;
        let _lock = lock::acquire(&self.id)?;
        let freed = match fs::remove_file(&path) {
            Ok(()) => Freed::Removed,
            Err(error) if error.kind() == IoKind::NotFound => Freed::Absent,
            Err(error) => return Err(Error::io("remove the volume", &path, error)),
        };
        if self.layout == Layout::PerGuest
            && let Some(directory) = path.parent()
        {
            // Stays if it holds something; nothing depends on whether it is there.
            let _ = fs::remove_dir(directory);
        }
        Ok(freed)
    }

    fn path(&self, id: &VolumeId) -> Result<PathBuf, Error> {
        Ok(self.locate(id)?.0)
    }

    fn blockdev(&self, id: &VolumeId) -> Result<Value, Error> {
        let (path, format) = self.locate(id)?;
        Ok(file_blockdev(&path, format))
    }

    fn size(&self, id: &VolumeId) -> Result<u64, Error> {
        let (path, format) = self.locate(id)?;
        image::size(&path, format)
    }

    fn exists(&self, id: &VolumeId) -> Result<bool, Error> {
        let (path, _) = self.locate(id)?;
        path.try_exists()
            .map_err(|source| Error::io("look for the volume", &path, source))
    }

    fn resize(&self, id: &VolumeId, size: u64) -> Result<(), Error> {
        let (path, format) = self.locate(id)?;
        image::grow(&path, format, size)
    }

    fn dump_directory(&self) -> Option<PathBuf> {
        Some(self.dump.clone())
    }
}

/// Whether a volume in the folder of `guest` can be that guest's: what lies in a number's folder is,
/// whatever its name, as for Proxmox. A folder with another name may be anybody's, and so may what is in it.
pub(super) fn is_owner(guest: &str, volume: &str) -> bool {
    guest.parse::<GuestId>().is_ok_and(|guest| {
        guest.number().is_some() || owner(volume).is_some_and(|owner| owner == guest)
    })
}

/// The block device options of an image file.
pub(super) fn file_blockdev(path: &Path, format: VolumeFormat) -> Value {
    json!({
        "driver": format.as_str(),
        "file": { "driver": "file", "filename": path },
    })
}

/// The paths in a directory; none if the directory is not there.
pub(super) fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |source| Error::io("list the directory", directory, source);
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()).map_err(io))
            .collect(),
        Err(error) if error.kind() == IoKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io(error)),
    }
}

pub(super) fn make_directory(path: &Path) -> Result<(), Error> {
    create_directories(path, 0o755)
        .map(drop)
        .map_err(|source| Error::io("create the directory", path, source))
}

#[cfg(test)]
mod tests;
