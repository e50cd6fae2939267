//! What a backup of a guest on QEMU is asked for, and what it was.

use std::path::PathBuf;
use std::time::Duration;

use fleece_fleecing::{GuestAddress, Place};
use fleece_libvirt::DomainAddress;
use fleece_qmp_client::Address;
use fleece_storage::{Storages, VolumeFormat};

use crate::job::archive::ArchiveOptions;
use crate::job::incremental::Incrementally;

/// A backup of a guest that QEMU runs.
#[derive(Debug)]
#[non_exhaustive]
pub struct GuestBackup {
    /// The guest's monitor.
    pub qmp: GuestAddress,
    /// The guest, and where the records of what is made are kept. Whose the name is must be settled, and stay
    /// so, while the backup runs: [`fleece_fleecing::Identity`].
    pub record: Place,
    /// Storages by name, for fleecing images and for cleaning up.
    pub storages: Storages,
    /// Where old data is saved before the guest overwrites it.
    pub fleecing: Fleecing,
    /// The archive to write.
    pub archive: ArchiveOptions,
    /// Disks to back up, by name; empty: all writable ones.
    pub include: Vec<String>,
    /// Disks to leave out, by name; the guest must have them.
    pub exclude: Vec<String>,
    /// Disks to leave out, by name, if the guest has them.
    pub unwanted: Vec<String>,
    /// How the guest comes to the instant.
    pub mode: Mode,
    /// With [`Mode::Stop`]: how long the guest may take to power down.
    pub stop_wait: Duration,
    /// The guest's agent, to freeze file systems for the instant.
    pub agent: Option<GuestAddress>,
    /// After this long a copy to the fleecing image is given up, and with it the backup.
    pub cbw_timeout: Duration,
    /// Names for disks, by the id of QEMU's device: what whoever made the guest calls them, such as `virtio0` for
    /// `virtio-disk0`.
    pub disk_names: Vec<(String, String)>,
    /// The longest that the guest may stand still for the switch, as far as that is known before; zero: not at all.
    pub max_pause: Duration,
    /// Read only what has changed since the guest's last archive at the target.
    pub incremental: Option<Incrementally>,
    /// An NBD server that runs in this QEMU already.
    pub nbd_server: Option<Address>,
    /// The domain, if libvirt runs the guest.
    pub domain: Option<InDomain>,
}

/// A guest as libvirt knows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InDomain {
    /// The domain.
    pub address: DomainAddress,
    /// What it calls the disks, such as `vda`, by their names in the archive without `drive-`.
    pub targets: Vec<(String, String)>,
    /// The file of its EFI variables.
    pub nvram: Option<PathBuf>,
    /// libvirt makes the point in time, by its own backup in pull mode: nothing steers how fast it is read but limits,
    /// and all room that the guest could need for what it overwrites is reserved before.
    pub pull: bool,
}

/// How the guest comes to the instant; the names are those of Proxmox's `vzdump`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// While it runs.
    #[default]
    Snapshot,
    /// Stopped for the switch, even where QEMU needs no pause for it.
    Suspend,
    /// Powered down by itself; it boots again while it is read. libvirt ends QEMU with its guest, and starts another.
    Stop,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Snapshot, Self::Suspend, Self::Stop];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Suspend => "suspend",
            Self::Stop => "stop",
        }
    }
}

/// Where old data goes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fleecing {
    /// A storage's id, or a directory.
    pub storage: String,
    /// The images' format.
    pub format: VolumeFormat,
}

impl Fleecing {
    /// Raw images on a storage, or in a directory.
    #[must_use]
    pub fn on(storage: impl Into<String>) -> Self {
        Self {
            storage: storage.into(),
            format: VolumeFormat::Raw,
        }
    }
}

impl GuestBackup {
    /// A backup with the defaults.
    #[must_use]
    pub fn new(
        qmp: impl Into<GuestAddress>,
        record: Place,
        fleecing: Fleecing,
        archive: ArchiveOptions,
    ) -> Self {
        Self {
            qmp: qmp.into(),
            record,
            storages: Storages::none(),
            fleecing,
            archive,
            include: Vec::new(),
            exclude: Vec::new(),
            unwanted: Vec::new(),
            mode: Mode::Snapshot,
            stop_wait: Duration::from_secs(600),
            agent: None,
            cbw_timeout: Duration::from_secs(45),
            disk_names: Vec::new(),
            max_pause: Duration::from_secs(1),
            incremental: None,
            nbd_server: None,
            domain: None,
        }
    }
}
