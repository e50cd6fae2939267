//! The command line.

// The path holds wherever this file is included from: `cargo xtask assets` does so, too.
#[path = "cli/values.rs"]
pub(crate) mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};
use fleece_backup_core::dump::KeepRules;
use fleece_backup_core::restore::{DiskChoice, StorageChoice};
use fleece_backup_core::units::parse_size;
use fleece_backup_core::{Compression, NamedFile, Rename};
use fleece_guest_config::GuestId;
use fleece_qmp_client::Address;
use fleece_storage::VolumeFormat;

use fleece_backup_core::exports::{self, ExportedDisk};
pub(crate) use values::FinishWithin;
use values::{
    compression, demo_rate, demo_size, finish_within, millis, nbd_server, pause, property, seconds,
    vmid,
};

/// Backs up running QEMU/KVM guests on stock QEMU without slowing them down.
///
/// Old data that the guest overwrites during a backup goes to a fleecing image on fast local storage,
/// so neither a slow nor a dead backup target holds up the guest. Archives are Proxmox's VMA.
#[derive(Debug, Parser)]
#[command(name = "fleece", version, propagate_version = true, args_override_self = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) places: Places,

    /// Print one JSON object per line instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 error; 2 usage; 3 done with warnings; 4 damage found; \
                          5 guest or monitor; 6 storage or target; 130, 143 ended by a signal.";

/// Where things are kept.
#[derive(Debug, Args)]
pub(crate) struct Places {
    /// Where records of unfinished backups, sockets and by default fleecing images are kept.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    state_dir: Option<PathBuf>,

    /// Where guests' configurations are, as <vmid>.conf [default: Proxmox's, on its hosts].
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    config_dir: Option<PathBuf>,

    /// Where guests' firewall rules are, as <vmid>.fw [default: Proxmox's, if --config-dir is].
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    firewall_dir: Option<PathBuf>,

    /// The storage configuration [default: Proxmox's, on its hosts].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Places")]
    storage_config: Option<PathBuf>,
}

impl Places {
    /// The same for the library.
    pub(crate) fn settle(self) -> fleece_backup_core::Places {
        let mut places = fleece_backup_core::Places::default();
        places.state_dir = self.state_dir;
        places.config_dir = self.config_dir;
        places.firewall_dir = self.firewall_dir;
        places.storage_config = self.storage_config;
        places
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Back up a running guest into a VMA archive.
    Backup(Box<Backup>),
    /// Restore a guest from an archive: volumes on storages, and its configuration.
    ///
    /// Nothing appears half-made: the configuration is written when all disks are complete, and a failed
    /// restore frees what it made. An existing guest with this number is replaced only with --force,
    /// and its disks are freed last.
    ///
    /// With --to, without any storage: images in a directory, the archived configurations, and two
    /// ways to start the guest, start.sh for QEMU and domain.xml for libvirt.
    Restore(Restore),
    /// List the backups of a directory or storage.
    List(List),
    /// Verify backups to the last byte, and record beside each whether it is sound.
    ///
    /// In a directory or storage, backups verified within the last 30 days are skipped.
    ///
    /// An archive without an index has no checksums of its payload: only its structure is checked then,
    /// and nothing is recorded.
    Verify(Verify),
    /// Remove the backups that no rule keeps, with their side files.
    ///
    /// Proxmox's rules are applied to each guest separately. Protected backups and those with a
    /// non-standard name are kept. Rules count only sound backups: one that is damaged, empty or not an
    /// archive fills no slot, and is removed only if a newer one is sound and no rule would keep it if it
    /// were sound. One dated in the future fills no slot either, and is kept.
    Prune(Prune),
    /// Print or replace the notes of a backup.
    Note(Note),
    /// Protect a backup from removal.
    Protect(Protect),
    /// Remove backups with their side files. Protected ones are kept.
    Delete(Delete),
    /// List, add and remove the storages of the configuration.
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Remove what a killed backup or restore left: jobs, filters, exports, images, half an archive.
    ///
    /// QEMU may still be running, have been restarted, or have ended. Running it twice does no harm.
    Cleanup(Cleanup),
    /// Serve disks to guests over NBD through Fleece's own filter: for any VMM, not only QEMU.
    ///
    /// Guests use nbd.sock in the socket directory; `fleece backup --native` backs the disks up while they
    /// are in use. Ends on SIGINT or SIGTERM.
    Serve(Serve),
    /// Show what fleecing is for, on two disks in this process: no QEMU, no root, less than a minute.
    ///
    /// A guest writes all over its disks: without a backup, during one that saves old data straight
    /// to a slow target, and during one with fleecing. Then the archive is restored and compared.
    Demo(Demo),
}

impl Command {
    /// Whether standard output carries an archive.
    pub(crate) fn stdout_is_data(&self) -> bool {
        matches!(self, Self::Backup(backup) if backup.to.as_os_str() == "-")
    }
}

/// Which guest: the same for a backup as for the clean-up after it.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The guest's monitor: a QMP socket (path, unix:PATH, or tcp:HOST:PORT) that nobody else uses
    /// [default: Proxmox's for --vmid].
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["native", "image", "libvirt"])]
    pub(crate) qmp: Option<Address>,

    /// Instead of a monitor: a domain of libvirt, by its name or UUID.
    #[arg(long, value_name = "DOMAIN", conflicts_with_all = ["native", "image"])]
    pub(crate) libvirt: Option<String>,

    /// Where that libvirt is, such as qemu:///system or qemu:///session [default: where virsh looks].
    #[arg(long, value_name = "URI", requires = "libvirt")]
    pub(crate) connect: Option<String>,

    /// Instead of a QEMU guest: the disks behind this control socket of `fleece serve`.
    #[arg(long, value_name = "SOCKET", conflicts_with = "image")]
    pub(crate) native: Option<PathBuf>,

    /// Instead of a running guest: an image of a stopped one, as [format=raw|qcow2:][NAME=]PATH; by
    /// default qcow2 if the path ends in .qcow2, else raw (may be given several times).
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Vec<String>,

    /// Instead of a running guest: the disks that this NBD server (a socket, or HOST:PORT) exports, each at the
    /// instant to be backed up. With --disk, and --vmid or --name.
    #[arg(long, value_name = "SERVER", conflicts_with_all = ["qmp", "libvirt", "native", "image"],
          value_parser = nbd_server)]
    pub(crate) nbd: Option<exports::Address>,

    /// The guest's number, used in the names of its archives, records and fleecing images [default: the
    /// socket's name, if that is a number].
    #[arg(long, value_name = "N", value_parser = vmid)]
    pub(crate) vmid: Option<GuestId>,

    /// The guest's name, if it has no number [default: QEMU's -name; else the name of the socket or image,
    /// or of its directory].
    #[arg(long, value_name = "NAME", conflicts_with = "vmid")]
    pub(crate) name: Option<GuestId>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("who").args(["qmp", "libvirt", "native", "image", "nbd", "vmid"]).multiple(true).required(true))]
#[command(group = ArgGroup::new("exports").arg("nbd").requires("disk"))]
pub(crate) struct Backup {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Where the archive goes: a directory, a storage's id, a new file, or - for standard output.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,

    /// Compress the archive.
    #[arg(long, value_name = "HOW", default_value = "zstd", value_parser = compression)]
    pub(crate) compress: Compression,

    /// Put all payload on 4 KiB boundaries of the archive. That makes it 0.1 % larger, and archives of one guest
    /// can share what is equal on file systems that clone (docs/INCREMENTAL.md).
    #[arg(long)]
    pub(crate) align: bool,

    /// Share with the guest's newest archive at the target what has not changed, where its file system can (XFS,
    /// btrfs): everything is read as usual, and only what has changed takes space. The archive is as complete as
    /// any. Needs --compress none; implies --align.
    #[arg(long)]
    pub(crate) reuse: bool,

    /// Read of the guest only what has changed since its last archive at the target; the archive is as complete as
    /// any. Dirty bitmaps stay in QEMU between backups, and while they do, QEMU refuses to load snapshots
    /// (loadvm): `fleece cleanup --bitmaps` removes them. With --compress none it shares like --reuse. Implies
    /// --align.
    #[arg(long, conflicts_with_all = ["native", "image", "reuse"])]
    pub(crate) incremental: bool,

    /// With --incremental: read everything once after this many archives of which not everything was read.
    #[arg(long, value_name = "N", requires = "incremental")]
    pub(crate) full_every: Option<u32>,

    /// With --incremental: read everything all the same, and compare with the last archive what should not have
    /// changed.
    #[arg(long, requires = "incremental")]
    pub(crate) check_unchanged: bool,

    /// Put this file of at most 65,535 bytes into the archive, under its own name or this one (may be given
    /// several times). The guest's own configuration is in it anyway, unless a file is called qemu-server.conf.
    #[arg(long, value_name = "[NAME=]FILE")]
    pub(crate) config: Vec<NamedFile>,

    /// Call a disk something else in the archive, e.g. d0=scsi0 (may be given several times).
    #[arg(long, value_name = "DISK=NAME")]
    pub(crate) rename: Vec<Rename>,

    /// A disk of the --nbd server; its export has the same name unless another is given, and must have this size
    /// (may be given several times).
    #[arg(long, value_name = "NAME[=EXPORT][,size=SIZE]", requires = "nbd")]
    pub(crate) disk: Vec<ExportedDisk>,

    /// Discard on the --nbd server what was read. Only for exports of a point in time that take this for "not
    /// needed any more": other exports would lose their data.
    #[arg(long, requires = "nbd")]
    pub(crate) release: bool,

    /// Back up only this disk (may be given several times) [default: all writable disks].
    #[arg(long, value_name = "DISK", value_delimiter = ',')]
    pub(crate) include: Vec<String>,

    /// Leave this disk out (may be given several times).
    #[arg(long, value_name = "DISK", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,

    /// Where fleecing images go: a directory or a storage's id; fast, local and thin
    /// [default: images/ in the state directory].
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "no_fleecing",
        help_heading = "Fleecing"
    )]
    pub(crate) fleecing: Option<String>,

    /// Save old data next to the archive instead: the guest's writes then wait for the backup target,
    /// for at most --cbw-timeout.
    #[arg(long, help_heading = "Fleecing")]
    pub(crate) no_fleecing: bool,

    /// The fleecing images' format: raw, or qcow2 where raw images are not thin.
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "raw",
        help_heading = "Fleecing"
    )]
    pub(crate) fleecing_format: VolumeFormat,

    /// Abandon a copy to the fleecing image, and the backup with it, after this many seconds; the
    /// guest's write continues.
    #[arg(long, value_name = "SECONDS", default_value = "45", value_parser = seconds,
          help_heading = "Fleecing")]
    pub(crate) cbw_timeout: Duration,

    /// End the backup before the fleecing images hold more than this, e.g. 20G [default: no limit].
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Fleecing")]
    pub(crate) fleecing_limit: Option<u64>,

    /// Abandon the backup when the target takes longer than this for one write.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub(crate) target_timeout: Duration,

    /// Store these notes next to the archive.
    #[arg(long, value_name = "TEXT")]
    pub(crate) notes: Option<String>,

    /// Protect the archive from removal.
    #[arg(long)]
    pub(crate) protected: bool,

    /// Read the archive back and verify every byte. If it is damaged, it is kept and marked so, and nothing
    /// is pruned.
    #[arg(long)]
    pub(crate) verify: bool,

    /// Afterwards remove the guest's older backups that no rule keeps, e.g. keep-last=3,keep-weekly=4.
    #[arg(long, value_name = "RULES")]
    pub(crate) prune_backups: Option<KeepRules>,

    /// Change nothing; show what would be backed up, how and to where, and what is in the way. The exit code is
    /// that of a backup, as far as it can be foreseen.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// If the backup fails, keep what was written as ARCHIVE.partial; `vma recover` reads it.
    #[arg(long)]
    pub(crate) keep_partial: bool,

    /// The guest agent's socket: freezes file systems for the point in time [default with --libvirt: libvirt
    /// is asked to, if an agent is connected].
    #[arg(long, value_name = "SOCKET", help_heading = "The guest")]
    pub(crate) agent: Option<Address>,

    /// Do not begin if the guest would have to stand still for longer than this many milliseconds, as far as that
    /// can be told before; 0 if it must not at all.
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = pause,
          help_heading = "The guest")]
    pub(crate) max_pause: Duration,

    /// Limit for the 99th percentile of the guest's write latency, in milliseconds; reading slows down to
    /// keep it [default: 1.5 times the latency with hardly any reading, at least 2 ms more].
    #[arg(long, value_name = "MS", value_parser = millis, help_heading = "The guest")]
    pub(crate) guest_latency: Option<Duration>,

    /// Read fast enough to finish within this time, even if that slows the guest: 8h, 90m, or none.
    #[arg(long, value_name = "TIME", default_value = "8h", value_parser = finish_within,
          help_heading = "The guest")]
    pub(crate) finish_within: FinishWithin,

    /// Read at most this much per second, e.g. 200M.
    #[arg(long, value_name = "RATE", value_parser = parse_size, help_heading = "The guest")]
    pub(crate) bwlimit: Option<u64>,

    /// Maximum number of reads in flight, reached with an idle guest.
    #[arg(long, value_name = "N", default_value = "8", help_heading = "The guest",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) max_depth: u16,

    /// An NBD server that is already running in this QEMU (it can have only one).
    #[arg(long, value_name = "SOCKET", help_heading = "The guest")]
    pub(crate) nbd_server: Option<Address>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The disks, as [format=raw|qcow2:][NAME=]PATH; by default qcow2 if the path ends in .qcow2, else raw.
    #[arg(value_name = "DISK", required = true)]
    pub(crate) disks: Vec<String>,

    /// Where nbd.sock and control.sock are created; a directory of its own
    /// [default: serve/ in the state directory].
    #[arg(long, value_name = "DIR")]
    pub(crate) socket: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The archive, compressed or not; - for standard input. Files that lie beside it (notes, log, index) may be
    /// named, too, as a shell does for ARCHIVE*.
    #[arg(value_name = "ARCHIVE", required = true)]
    pub(crate) archive: Vec<PathBuf>,

    /// The number of the restored guest.
    #[arg(long, value_name = "N", required_unless_present_any = ["to", "libvirt"], value_parser = vmid)]
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
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// A directory, or a storage's id.
    #[arg(value_name = "DIR")]
    pub(crate) place: PathBuf,

    /// Only this guest's: its number or name.
    #[arg(long, value_name = "GUEST", alias = "vmid")]
    pub(crate) guest: Option<GuestId>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Archives, directories or storage ids.
    #[arg(value_name = "ARCHIVE", required = true)]
    pub(crate) places: Vec<PathBuf>,

    /// In a directory or storage, verify again what was verified longer ago than this. An archive given by
    /// name is always verified.
    #[arg(long, value_name = "DAYS", default_value = "30")]
    pub(crate) outdated_after: u32,

    /// Verify all, no matter how recently they were verified.
    #[arg(long)]
    pub(crate) all: bool,

    /// Only this guest's: its number or name.
    #[arg(long, value_name = "GUEST", alias = "vmid")]
    pub(crate) guest: Option<GuestId>,
}

#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// A directory, or a storage's id.
    #[arg(value_name = "DIR")]
    pub(crate) place: PathBuf,

    /// What to keep: keep-last=N, -hourly, -daily, -weekly, -monthly, -yearly, separated by commas
    /// [default: the prune-backups of the storage].
    #[arg(long, value_name = "RULES")]
    pub(crate) keep: Option<KeepRules>,

    /// Only this guest's: its number or name.
    #[arg(long, value_name = "GUEST", alias = "vmid")]
    pub(crate) guest: Option<GuestId>,

    /// Remove nothing; show what would happen to each backup, and why.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Note {
    /// The archive.
    #[arg(value_name = "ARCHIVE")]
    pub(crate) archive: PathBuf,

    /// The new notes; an empty text removes them.
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Protect {
    /// The archive.
    #[arg(value_name = "ARCHIVE")]
    pub(crate) archive: PathBuf,

    /// Remove the protection.
    #[arg(long)]
    pub(crate) off: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The archives.
    #[arg(value_name = "ARCHIVE", required = true)]
    pub(crate) archives: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// List them with their free space, and what is wrong with those that do not work.
    List,
    /// Add a storage. The rest of the file stays as it is.
    Add(StorageAdd),
    /// Remove a storage from the configuration; its data is kept.
    Remove(StorageRemove),
}

#[derive(Debug, Args)]
pub(crate) struct StorageAdd {
    /// The type: dir, nfs, cifs, btrfs, lvm, lvmthin, zfspool, rbd, or a plugin's.
    #[arg(value_name = "TYPE")]
    pub(crate) kind: String,

    /// The new storage's id.
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// Its properties, as in storage.cfg: path=/srv/images content=images,backup …
    #[arg(value_name = "KEY=VALUE", value_parser = property)]
    pub(crate) properties: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct StorageRemove {
    /// The storage's id.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("who").args(["guest", "all", "qmp", "libvirt", "native", "image", "vmid", "name"])
    .multiple(true).required(true))]
pub(crate) struct Cleanup {
    /// The guest's number or name; or select the guest as for `backup`. With --qmp: if its monitor is no
    /// longer the recorded one.
    #[arg(value_name = "GUEST", conflicts_with_all = ["vmid", "name", "native", "image"])]
    pub(crate) guest: Option<GuestId>,

    /// All guests that have a record.
    #[arg(long, conflicts_with_all = ["guest", "qmp", "libvirt", "native", "image", "vmid", "name"])]
    pub(crate) all: bool,

    /// The guest's file systems are known to be thawed: forget that its agent has not confirmed it.
    #[arg(long, conflicts_with = "all")]
    pub(crate) thawed: bool,

    /// Also remove the dirty bitmaps that `backup --incremental` has left in QEMU: the next backup reads everything,
    /// and the guest's snapshots can be loaded again. Needs the guest's monitor.
    #[arg(long, conflicts_with = "all")]
    pub(crate) bitmaps: bool,

    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Size of the two disks together.
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = demo_size)]
    pub(crate) size: u64,

    /// How much the backup target takes per second.
    #[arg(long, value_name = "RATE", default_value = "20M", value_parser = demo_rate)]
    pub(crate) target_speed: u64,

    /// How much the guest tries to write per second.
    #[arg(long, value_name = "RATE", default_value = "32M", value_parser = demo_rate)]
    pub(crate) guest_speed: u64,

    /// Where the temporary directory is created, with room for about four times the disks
    /// [default: the system's].
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
