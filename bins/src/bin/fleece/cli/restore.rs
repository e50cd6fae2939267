//! `fleece restore`

use std::path::PathBuf;

use clap::Args;
use fleece_backup_core::Rename;
use fleece_backup_core::restore::{DiskChoice, StorageChoice};
use fleece_backup_core::units::parse_size;
use fleece_guest_config::GuestId;
use fleece_storage::VolumeFormat;

use super::values::vmid;

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The archive, compressed or not; - for standard input. Files that lie beside it (notes, log, index) may be
    /// named, too, as a shell does for ARCHIVE*.
    #[arg(value_name = "ARCHIVE", required_unless_present_any = ["resume", "live_server"])]
    pub(crate) archive: Vec<PathBuf>,

    /// Read an encrypted archive with the secret key in this file, of age or of SSH (may be given several times).
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Vec<PathBuf>,

    /// The number of the restored guest.
    #[arg(long, value_name = "N", required_unless_present_any = ["to", "libvirt", "resume", "live_server"], value_parser = vmid)]
    pub(crate) vmid: Option<GuestId>,

    /// Instead of a guest on storages: images in this directory, with scripts that start the guest.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["vmid", "storage", "config_out"])]
    pub(crate) to: Option<PathBuf>,

    /// Instead of a guest of Proxmox's: a domain that libvirt knows, with its images in a pool or, with --to, in a
    /// directory.
    #[arg(long, conflicts_with_all = ["vmid", "storage", "config_out", "rename", "force", "dry_run"])]
    pub(crate) libvirt: bool,

    /// Where that libvirt is, such as qemu:///system [default: where virsh looks].
    #[arg(long, value_name = "URI", requires = "libvirt")]
    pub(crate) connect: Option<String>,

    /// The domain's images go to this storage pool, which must be a directory [default: default].
    #[arg(long, value_name = "POOL", requires = "libvirt", conflicts_with = "to")]
    pub(crate) pool: Option<String>,

    /// The domain's name [default: the one that it had].
    #[arg(long, value_name = "NAME", requires = "libvirt")]
    pub(crate) name: Option<String>,

    /// Take over all of the archived domain, whatever it has QEMU open, run or listen to: for archives that nobody
    /// else could write.
    #[arg(long, requires = "libvirt")]
    pub(crate) trust_xml: bool,

    /// The images' format with --to or --libvirt, raw (sparse) or qcow2 [default: raw with --to, qcow2 with
    /// --libvirt].
    #[arg(long, value_name = "FORMAT", conflicts_with_all = ["vmid", "storage", "config_out"])]
    pub(crate) format: Option<VolumeFormat>,

    /// Where its disks go: a storage's id, or a directory, and perhaps the volumes' format, as in fast:qcow2
    /// [default: the storages they came from].
    #[arg(long, value_name = "STORAGE[:FORMAT]")]
    pub(crate) storage: Option<StorageChoice>,

    /// Where one disk goes, as DISK=STORAGE[:FORMAT] or DISK=skip, e.g. drive-scsi0=fast:qcow2
    /// (may be given several times); with --to only DISK=skip.
    #[arg(long, value_name = "DISK=…")]
    pub(crate) disk: Vec<DiskChoice>,

    /// Make a disk of the archive another drive of the guest, as DISK=DRIVE, e.g. d0=scsi0; its line of the
    /// configuration moves with it (may be given several times).
    #[arg(long, value_name = "DISK=DRIVE")]
    pub(crate) rename: Vec<Rename>,

    /// Write the guest's configuration to this file [default: <vmid>.conf in --config-dir].
    #[arg(long, value_name = "FILE")]
    pub(crate) config_out: Option<PathBuf>,

    /// Give the guest new MAC addresses and a new uuid, so that it can run beside the original.
    #[arg(long)]
    pub(crate) unique: bool,

    /// Replace the guest that has this number. Its disks are freed after the whole archive is restored, so
    /// there must be room for both. With --to: replace existing files.
    #[arg(long)]
    pub(crate) force: bool,

    /// Keep the disks of the guest that has this number, which must be stopped, and write into them only what differs
    /// from the archive; its configuration becomes the archived one. With --to: keep the images that an earlier restore
    /// has made there. Of an archive with an index only what differs is read. If this is interrupted, the disks are
    /// neither old nor new: run it again.
    #[arg(long, conflicts_with_all = ["libvirt", "storage", "force", "unique"])]
    pub(crate) in_place: bool,

    /// Write at most this much per second, e.g. 200M.
    #[arg(long, value_name = "RATE", value_parser = parse_size)]
    pub(crate) bwlimit: Option<u64>,

    /// Change nothing; show what would be made, written and replaced, and whether there is room. The exit code
    /// is that of a restore, as far as it can be foreseen.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Start the guest when it is restored: with --libvirt by libvirt; with --to by its start.sh, in the background;
    /// else, on a Proxmox host, by `qm start`.
    #[arg(long, conflicts_with_all = ["dry_run", "config_out"])]
    pub(crate) start: bool,

    /// Start the guest at once, on the archive, and copy its disks to qcow2 images behind it; with --to. The archive must
    /// stay until that is done, and it is said when it is. What the guest writes is in its images from the first byte
    /// on: whatever is killed or loses its power in between, --resume goes on.
    #[arg(long, conflicts_with_all = ["in_place", "config_out", "storage"])]
    pub(crate) live: bool,

    /// Go on with the live restore in this directory: behind the guest if it runs, or is started with --start; else
    /// without it.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["archive", "to", "vmid", "libvirt", "live",
        "in_place", "config_out", "storage", "disk", "rename", "unique", "force", "format", "dry_run"])]
    pub(crate) resume: Option<PathBuf>,

    /// Serve the archive of the live restore in this directory, until that is complete.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) live_server: Option<PathBuf>,
}
