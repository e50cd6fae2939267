//! What every storage can do.

mod btrfs;
mod device;
pub(crate) mod dir;
mod external;
pub(crate) mod factory;
mod lvm;
mod lvmthin;
mod mounted;
mod rbd;
mod volume_group;
mod zfspool;

use std::fmt::{Debug, Display};
use std::path::PathBuf;
use std::sync::Arc;

use fleece_guest_config::GuestId;
use serde_json::Value;

use crate::block::{Access, Backing, BlockDevice, Qcow2, RawFile, WriteAt};
use crate::error::{Error, ErrorKind};
use crate::name::{VolumeFormat, VolumeName};
use crate::volume::{Volume, VolumeId};

/// A storage of some type.
///
/// # Contract
///
/// - Nothing hangs: what may wait for a network or a program has a deadline and then fails with
///   `Unreachable`.
/// - `allocate` is all or nothing, and of several callers one wins a name, also across processes.
/// - `free` is idempotent.
/// - An id of another storage is refused with `InvalidName` by every operation.
/// - Nothing but `activate` needs the storage to have been activated by this process.
pub trait Plugin: Debug + Send + Sync {
    /// The storage's id in `storage.cfg`, or its absolute path if it is a plain directory.
    fn id(&self) -> &str;

    /// The type of the storage, as `storage.cfg` calls it.
    fn kind(&self) -> &str;

    /// What volumes of this storage are like.
    ///
    /// # Errors
    ///
    /// If the storage must be asked and does not answer.
    fn capabilities(&self) -> Result<Capabilities, Error>;

    /// How much room there is.
    ///
    /// # Errors
    ///
    /// `NotMounted` and `Unreachable` among others.
    fn status(&self) -> Result<Status, Error>;

    /// Makes the storage usable: checks that it is there, creates directories that it needs.
    /// Does nothing if it is usable.
    ///
    /// # Errors
    ///
    /// The reason why it cannot be used.
    fn activate(&self) -> Result<(), Error>;

    /// Makes an existing volume usable: [`path`](Self::path) leads to it afterwards. Does nothing
    /// if it is.
    ///
    /// # Errors
    ///
    /// `NotFound`, or the reason why it cannot be used.
    fn activate_volume(&self, id: &VolumeId) -> Result<(), Error> {
        match self.exists(id)? {
            true => Ok(()),
            false => Err(no_such_volume(id)),
        }
    }

    /// The volumes of one guest or of all, sorted by id.
    ///
    /// # Errors
    ///
    /// If the storage cannot be read; a single odd volume is no error.
    fn list(&self, guest: Option<&GuestId>) -> Result<Vec<Volume>, Error>;

    /// The id that [`allocate`](Self::allocate) gives to a volume. It makes nothing, so that the
    /// intent can be recorded first.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a format that this storage has not.
    fn volume_id(&self, name: &VolumeName, format: VolumeFormat) -> Result<VolumeId, Error>;

    /// Makes a volume that shows exactly the size asked for (raw volumes of a storage that
    /// rounds sizes show that, see [`Capabilities::size_rounding`]).
    ///
    /// # Errors
    ///
    /// `AlreadyExists` for a taken name, `NoSpace`, `Unsupported` for a format.
    fn allocate(&self, request: &AllocationRequest) -> Result<VolumeId, Error>;

    /// Removes a volume. To free what is not there is no error.
    ///
    /// # Errors
    ///
    /// `Busy` if it is in use.
    fn free(&self, id: &VolumeId) -> Result<Freed, Error>;

    /// Where the volume appears in the file system.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it does not appear there.
    fn path(&self, id: &VolumeId) -> Result<PathBuf, Error>;

    /// Makes a volume usable and opens it as a disk, whatever its format.
    ///
    /// It keeps nobody else from using the volume, and must not be written while somebody does: a QEMU that has
    /// it open holds its [image lock](crate::block::ImageLock). A linked clone, whose data lies in other volumes
    /// too, is refused.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Io` if it cannot be opened; `Unsupported` if only QEMU can open it, as a volume that does not
    /// appear in the file system.
    fn open(&self, id: &VolumeId, access: Access) -> Result<Arc<dyn BlockDevice>, Error> {
        self.activate_volume(id)?;
        let path = self.path(id)?;
        let options = self.blockdev(id)?;
        let format = options.get("driver").and_then(Value::as_str).unwrap_or("");
        let opened: crate::block::Result<Arc<dyn BlockDevice>> = match (format, access) {
            ("raw", _) => RawFile::open(&path, access).map(|disk| Arc::new(disk) as _),
            ("qcow2", Access::ReadOnly) => {
                Qcow2::open(&path, Backing::Deny).map(|disk| Arc::new(disk) as _)
            }
            ("qcow2", Access::ReadWrite) => {
                Qcow2::open_writable(&path).map(|disk| Arc::new(disk) as _)
            }
            _ => {
                let message = format!("volumes of the format {format:?} cannot be opened");
                return Err(Error::new(ErrorKind::Unsupported, id, message));
            }
        };
        opened.map_err(|error| Error::new(ErrorKind::Io, id, "cannot be opened").caused_by(error))
    }

    /// Opens a volume that nobody uses, to fill it, as a restore does. There are volumes that can be filled but
    /// not [opened](Self::open).
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    fn open_writable(&self, id: &VolumeId) -> Result<Arc<dyn WriteAt>, Error> {
        Ok(self.open(id, Access::ReadWrite)?)
    }

    /// QEMU's `BlockdevOptions` of the volume: the format layer with the protocol layer as
    /// `file`, without node names and cache options, which are the caller's to add. A caller who
    /// needs an exact size on a storage that rounds adds `size` to a raw format layer.
    ///
    /// # Errors
    ///
    /// If the volume is not one of this storage.
    fn blockdev(&self, id: &VolumeId) -> Result<Value, Error>;

    /// The size that a guest sees, in bytes.
    ///
    /// # Errors
    ///
    /// `NotFound`, `InvalidData` for a broken image.
    fn size(&self, id: &VolumeId) -> Result<u64, Error>;

    /// Whether the volume is there.
    ///
    /// # Errors
    ///
    /// If that cannot be found out.
    fn exists(&self, id: &VolumeId) -> Result<bool, Error> {
        match self.size(id) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Grows a volume that nobody uses to `size` bytes; the new part reads as zeroes where the
    /// storage is zero-initialised.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the volume would shrink.
    fn resize(&self, id: &VolumeId, size: u64) -> Result<(), Error>;

    /// The directory for backups, if this storage keeps such.
    fn dump_directory(&self) -> Option<PathBuf> {
        None
    }
}

/// What volumes of a storage are like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "plugins outside the tree make them"
)]
pub struct Capabilities {
    /// A new volume takes no room until it is written.
    pub thin: bool,
    /// A new volume reads as zeroes.
    pub zero_initialised: bool,
    /// Discarding aligned ranges of this many bytes gives their room back to the storage; `None`
    /// if discarding frees nothing.
    pub discard_granularity: Option<u64>,
    /// The formats of volumes, the preferred one first.
    pub formats: Vec<VolumeFormat>,
    /// The sizes of raw volumes are rounded up to a multiple of this many bytes.
    pub size_rounding: u64,
    /// Volumes can be frozen at an instant.
    pub snapshots: bool,
    /// Another host, or a program, answers for the volumes: others may see the same ones, and the
    /// storage can hang.
    pub shared: bool,
}

/// How much room a storage has, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "plugins outside the tree make them"
)]
pub struct Status {
    /// All of it.
    pub total: u64,
    /// What is taken.
    pub used: u64,
    /// What can be taken by this user.
    pub available: u64,
}

/// A volume to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AllocationRequest {
    /// Its name, which also tells the guest it belongs to.
    pub name: VolumeName,
    /// Its format.
    pub format: VolumeFormat,
    /// The size that a guest sees, in bytes.
    pub size: u64,
}

impl AllocationRequest {
    /// A volume of exactly `size` bytes.
    pub fn new(name: VolumeName, format: VolumeFormat, size: u64) -> Self {
        Self { name, format, size }
    }
}

/// What [`Plugin::free`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a volume is there or is not")]
pub enum Freed {
    /// The volume was there and is gone.
    Removed,
    /// There was nothing to free.
    Absent,
}

/// The most volumes of one purpose for one guest; Proxmox stops there too.
const MAX_NUMBERED: u32 = 1024;

/// The first `count` names `vm-<guest>-<purpose>-<n>` that no volume of the storage has, in any
/// format. Another process may take one of them before it is allocated.
///
/// # Errors
///
/// Those of [`Plugin::list`]; `InvalidName` for an odd purpose or when more than 1024 would be in
/// use.
pub fn free_names(
    storage: &dyn Plugin,
    guest: &GuestId,
    purpose: &str,
    count: usize,
) -> Result<Vec<VolumeName>, Error> {
    let taken = storage.list(Some(guest))?;
    let mut names = Vec::new();
    for n in 0..MAX_NUMBERED {
        if names.len() == count {
            break;
        }
        let name = VolumeName::numbered(guest, purpose, n)?;
        if !taken.iter().any(|volume| volume.name == name.as_str()) {
            names.push(name);
        }
    }
    if names.len() < count {
        let message = format!("guest {guest} has {MAX_NUMBERED} '{purpose}' volumes already");
        return Err(Error::new(ErrorKind::InvalidName, storage.id(), message));
    }
    Ok(names)
}

/// The error for an id that another storage must answer for.
fn foreign(storage: &dyn Plugin, id: &VolumeId) -> Error {
    let message = format!("not a volume of storage '{}'", storage.id());
    Error::new(ErrorKind::InvalidName, id, message)
}

/// The error for a format that a storage does not have.
fn no_such_format(storage: &dyn Plugin, format: VolumeFormat) -> Error {
    let message = format!("a {} storage has no {format} volumes", storage.kind());
    Error::new(ErrorKind::Unsupported, storage.id(), message)
}

/// The error for a volume that must be there and is not.
fn no_such_volume(subject: impl Display) -> Error {
    Error::new(ErrorKind::NotFound, subject, "there is no such volume")
}
