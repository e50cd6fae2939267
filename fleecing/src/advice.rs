//! What can be done about an error, as data: a program puts it in the words of its own command line.

use std::path::PathBuf;

use crate::address::GuestAddress;
use fleece_guest_config::GuestId;

/// The next step after an error, where there is one that a caller can offer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Give the guest a name or number: nothing else tells who it is.
    NameGuest,
    /// Give the guest another name than this, or confirm that it is the guest that has it.
    ConfirmGuest(GuestId),
    /// Give the guest another name, or remove this file if the guest it tells of no longer has the name.
    ReleaseName(PathBuf),
    /// Keep the records in another directory.
    OtherStateDirectory,
    /// Keep the records in a directory with a shorter path.
    ShorterStateDirectory,
    /// Leave out these disks and back up the others. The names are those of devices, such as `scsi0`.
    ExcludeDisks(Vec<String>),
    /// Use another fleecing storage, or another format of its images.
    OtherFleecingFormat,
    /// Give the guest more time to power down, or do not have it do so.
    WaitLonger,
    /// Have Fleece make the point in time, not libvirt.
    PlainMethod,
    /// Name the address of the NBD server that runs in the guest's QEMU.
    NameNbdServer,
    /// Name no NBD server: then one is started.
    NoNbdServer,
    /// Make the monitor available, or name another one of the same QEMU for a clean-up.
    OtherMonitor(CleanUp),
    /// Clean up what is on record, then try again.
    CleanUpFirst(CleanUp),
    /// Clean up once what the error tells of is over.
    CleanUpAfterwards(CleanUp),
    /// Wait for the backup that is under way; if there is none, clean up what it left.
    CleanUpAbandoned(CleanUp),
    /// Clean up when the guest's agent answers again. If it never does, thaw the guest's file systems by
    /// hand or restart it, and clean up with the word that they are thawed.
    Thaw(CleanUp),
    /// Restore the guest again, into the same disks or in the place of the guest that is there.
    RestoreAgain(AgainFrom),
}

/// A restore that has to be done again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgainFrom {
    /// The guest.
    pub guest: GuestId,
    /// The archive; `None` if it came through a pipe.
    pub archive: Option<PathBuf>,
}

/// A clean-up, as far as is known what it is to be called with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanUp {
    /// The guest.
    pub guest: Option<GuestId>,
    /// The directory of its record.
    pub state_directory: Option<PathBuf>,
    /// Its monitor, where the record does not name it.
    pub monitor: Option<GuestAddress>,
}

impl CleanUp {
    /// The clean-up of a guest whose record is in the directory in use.
    pub(crate) fn of(guest: &GuestId) -> Self {
        Self {
            guest: Some(guest.clone()),
            ..Self::default()
        }
    }
}
