//! What can be done about an error or a warning, as data: a program puts it in the words of its own command
//! line.

use std::path::PathBuf;
use std::time::Duration;

use fleece_storage::block::Look;

/// The next step, where there is one that a caller can offer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// About the guest, its record, its disks or its fleecing images.
    Fleecing(fleece_fleecing::Advice),
    /// About the archive that is read.
    Archive(fleece_vma_format::Advice),
    /// Say what format an image has: raw, or qcow2; it looks like this.
    NameFormat(Look),
    /// Make room on the fleecing storage, or use another.
    MakeRoom,
    /// Use a fleecing storage that shares nothing with the guest's disks, or limit the fleecing images.
    SeparateFleecing,
    /// Repair the fleecing storage, use another, or let QEMU wait longer for it.
    RepairFleecing,
    /// Let the fleecing images hold more, or back up while the guest writes less.
    RaiseFleecingLimit,
    /// Repair the backup target, or give it more time for a write.
    RepairTarget,
    /// See why the server of the disks has ended, and start it again.
    RestartServer,
    /// Verify this archive, and mark it as damaged if it is.
    VerifyArchive(PathBuf),
    /// Make an index for this archive.
    MakeIndex(PathBuf),
    /// Recover what is in this unfinished archive.
    Recover(PathBuf),
    /// Name the guest's monitor, or where its record is.
    NameMonitor,
    /// A clean-up removes what is left, once that is possible.
    CleanUpLater,
    /// Name a storage for this disk, or for all of them.
    NameStorage(String),
    /// Leave this disk out.
    SkipDisk(String),
    /// Choose only what is left out: all other disks go to the folder, in one format.
    OnlySkip,
    /// Restore under another number, or replace the guest that is there.
    ReplaceGuest,
    /// Restore it as a new guest.
    RestoreAnew,
    /// Restore without starting the guest, and start it by hand.
    StartYourself,
    /// Suspend the guest only, or back it up while it runs.
    OtherMode,
    /// Restore to another folder, or replace the files that are there.
    ReplaceFiles,
    /// Go on with the live restore in this folder.
    ResumeLive(PathBuf),
    /// Say where guests' configurations are kept, or where this one goes.
    NameConfig,
    /// Say where firewall rules are kept, or print those of the archive.
    NameFirewallDirectory,
    /// Print this configuration of the archive.
    PrintConfig(String),
    /// See what this configuration of the archive has QEMU do, and take it over as it is if it can be trusted.
    TrustDomain(String),
    /// Install `virsh`, which belongs to libvirt.
    InstallVirsh,
    /// Become a user whom libvirt serves: root, or one of its group.
    BecomeLibvirtUser,
    /// Name the libvirt that is meant by its URI, and see whether it runs.
    NameConnection,
    /// See which domains there are.
    ListDomains,
    /// Back up the images of a domain that is off, or start it.
    BackUpImages {
        /// The domain's name.
        name: String,
        /// Its images, as a backup of images takes them.
        images: Vec<String>,
    },
    /// Name a directory for the images of the domain.
    NameFolder,
    /// Give the domain a name that files can have, too.
    NameDomain,
    /// Give the restored domain another name.
    RenameDomain,
    /// Give the restored domain a new identity.
    NewIdentity,
    /// Allow the guest to stand still for so long, or let it have a monitor of its own for Fleece.
    AllowPause(Duration),
    /// Extract the disks without the guest's configuration.
    ExtractDisks,
}
