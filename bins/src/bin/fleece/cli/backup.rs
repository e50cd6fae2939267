//! `fleece backup`

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use fleece_backup_core::dump::KeepRules;
use fleece_backup_core::exports::ExportedDisk;
use fleece_backup_core::qemu::Mode;
use fleece_backup_core::units::parse_size;
use fleece_backup_core::{Compression, NamedFile, Rename};
use fleece_qmp_client::Address;
use fleece_storage::VolumeFormat;

use super::hooks::Hooks;
use super::values::{FinishWithin, compression, days, finish_within, millis, mode, pause, seconds};
use super::which::Which;

#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("who").args(["qmp", "libvirt", "native", "image", "nbd", "vmid"]).multiple(true).required(true))]
#[command(group = ArgGroup::new("earlier").args(["incremental", "base"]))]
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

    /// Encrypt the archive, with all that is in it, for this public key, of age or of SSH (may be given several times).
    /// This host cannot read it again; whoever has the secret key of one of them can (docs/ENCRYPTION.md).
    #[arg(long, value_name = "RECIPIENT",
          conflicts_with_all = ["reuse", "incremental", "base", "verify", "keep_partial"])]
    pub(crate) encrypt_to: Vec<String>,

    /// Encrypt for the public keys in this file, one a line (may be given several times).
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["reuse", "incremental", "base", "verify", "keep_partial"])]
    pub(crate) recipients: Vec<PathBuf>,

    /// Sign a list of the archive's pieces with this Ed25519 key of SSH, beside it as NAME.sig: `fleece verify --signed-by`
    /// checks the archive without being able to read it.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["reuse", "incremental", "base"])]
    pub(crate) sign: Option<PathBuf>,

    /// Put all payload on 4 KiB boundaries of the archive. That makes it 0.1 % larger, and archives of one guest
    /// can share what is equal on file systems that clone (docs/INCREMENTAL.md).
    #[arg(long)]
    pub(crate) align: bool,

    /// Share with the guest's newest archive at the target what has not changed, where its file system can (XFS,
    /// btrfs): everything is read as usual, and only what has changed takes space. The archive is as complete as
    /// any. The archives must be compressed the same way; implies --align.
    #[arg(long)]
    pub(crate) reuse: bool,

    /// Read of the guest only what has changed since its last archive at the target; the archive is as complete as
    /// any. Dirty bitmaps stay in QEMU between backups, and while they do, QEMU refuses to load snapshots
    /// (loadvm): `fleece cleanup --bitmaps` removes them. (With --native, `fleece serve` keeps account itself.) It shares
    /// like --reuse. Implies --align.
    #[arg(long, conflicts_with_all = ["image", "nbd", "reuse"])]
    pub(crate) incremental: bool,

    /// With --incremental: read everything once after this many archives of which not everything was read.
    #[arg(long, value_name = "N", requires = "incremental")]
    pub(crate) full_every: Option<u32>,

    /// With --incremental: read everything all the same, and compare with the last archive what should not have
    /// changed.
    #[arg(long, requires = "incremental")]
    pub(crate) check_unchanged: bool,

    /// With --incremental or --base: what has not changed is taken over unread of an archive that was verified, or read in
    /// full by a backup, in the last DAYS days; of an older one it is read and checked. 0: always.
    #[arg(long, value_name = "DAYS", default_value = "7", requires = "earlier", value_parser = days)]
    pub(crate) verify_base_after: Duration,

    /// Put this file of at most 65,535 bytes into the archive, under its own name or this one (may be given
    /// several times). The guest's own configuration is in it anyway, unless a file is called qemu-server.conf.
    #[arg(long, value_name = "[NAME=]FILE")]
    pub(crate) config: Vec<NamedFile>,

    /// Call a disk something else in the archive, e.g. d0=scsi0 (may be given several times).
    #[arg(long, value_name = "DISK=NAME")]
    pub(crate) rename: Vec<Rename>,

    /// A disk of the --nbd server; its export has the same name unless another is given, and must have this size. Of
    /// one with a dirty bitmap, what that does not mark is taken from the archive --base (may be given several times).
    #[arg(
        long,
        value_name = "NAME[=EXPORT][,size=SIZE][,bitmap=NAME]",
        requires = "nbd"
    )]
    pub(crate) disk: Vec<ExportedDisk>,

    /// The archive that the bitmaps of --disk count against: at its point in time they were clear.
    #[arg(long, value_name = "ARCHIVE", requires = "nbd")]
    pub(crate) base: Option<PathBuf>,

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

    /// Store these notes next to the archive. {{guestname}}, {{vmid}}, {{node}} and {{cluster}} stand for what vzdump
    /// puts there; with one of them, \\n is a line's end.
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

    /// How the guest comes to the point in time, as with vzdump: `snapshot` while it runs; `suspend` stopped for that
    /// moment; `stop` powered down by itself, to boot again while it is read.
    #[arg(long, value_name = "MODE", default_value = "snapshot", value_parser = mode(),
          conflicts_with_all = ["native", "image", "nbd"], help_heading = "The guest")]
    pub(crate) mode: Mode,

    /// With --libvirt: have libvirt make the point in time by its own backup (pull mode), instead of Fleece. As much room
    /// as the disks have is reserved for it on --fleecing, and how fast it is read depends on --bwlimit alone
    /// (docs/LIBVIRT.md).
    #[arg(long, requires = "libvirt",
          conflicts_with_all = ["mode", "incremental", "nbd_server", "cbw_timeout", "fleecing_format", "fleecing_limit",
                                "no_fleecing", "guest_latency", "finish_within", "max_pause"],
          help_heading = "The guest")]
    pub(crate) libvirt_native: bool,

    /// With --mode stop: give up when the guest has not powered down after this many seconds.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds,
          help_heading = "The guest")]
    pub(crate) stop_wait: Duration,

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

    #[command(flatten)]
    pub(crate) hooks: Hooks,

    /// The job of `fleece run` of which this is a part: that calls the hooks of jobs itself.
    #[arg(long, value_name = "JOB", hide = true)]
    pub(crate) of_job: Option<String>,

    /// Read at most this much per second together with all that name the same file.
    #[arg(long, value_name = "RATE", value_parser = parse_size, requires = "shared_in", hide = true)]
    pub(crate) shared_bwlimit: Option<u64>,

    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) shared_in: Option<PathBuf>,

    /// End the backup whose fleecing images hold the most before they hold more than this together with those of all that
    /// name a file in the same directory.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, requires = "shared_fleecing_in", hide = true)]
    pub(crate) shared_fleecing_limit: Option<u64>,

    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) shared_fleecing_in: Option<PathBuf>,
}
