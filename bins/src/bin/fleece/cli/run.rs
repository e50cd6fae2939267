//! `fleece run`

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use fleece_backup_core::units::parse_size;

use super::hooks::Hooks;
use super::values::{wait, window};

#[derive(Clone, Debug, Args)]
pub(crate) struct Run {
    /// The job: a section [job.NAME] of the configuration, whose keys are the options of this command.
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,

    /// All guests that have a section [guest.NAME] of their own, besides those that are found in other ways.
    #[arg(long, help_heading = "Guests")]
    pub(crate) all: bool,

    /// This guest: the name of its section, or its number in Proxmox (may be given several times).
    #[arg(
        long,
        value_name = "GUEST",
        value_delimiter = ',',
        help_heading = "Guests"
    )]
    pub(crate) guest: Vec<String>,

    /// Guests behind these monitors: a path in which one * stands for the guest's number or name, as in
    /// /run/qemu/*.qmp (may be given several times).
    #[arg(long, value_name = "PATH", help_heading = "Guests")]
    pub(crate) qmp: Vec<String>,

    /// Guests of `fleece serve`: a path of control sockets with a * in it, like --qmp.
    #[arg(long, value_name = "PATH", help_heading = "Guests")]
    pub(crate) native: Vec<String>,

    /// Stopped guests: a path of images with a * in it, like --qmp.
    #[arg(long, value_name = "PATH", help_heading = "Guests")]
    pub(crate) image: Vec<String>,

    /// All domains of libvirt; those that are off are read from their images.
    #[arg(long, help_heading = "Guests")]
    pub(crate) libvirt: bool,

    /// Where that libvirt is [default: where virsh looks].
    #[arg(
        long,
        value_name = "URI",
        requires = "libvirt",
        help_heading = "Guests"
    )]
    pub(crate) connect: Option<String>,

    /// All guests of this Proxmox node; those that do not run are read from their volumes.
    #[arg(long, help_heading = "Guests")]
    pub(crate) proxmox: bool,

    /// Leave these guests out: names or patterns with * and ? (may be given several times).
    #[arg(
        long,
        value_name = "GUEST",
        value_delimiter = ',',
        help_heading = "Guests"
    )]
    pub(crate) exclude: Vec<String>,

    /// How many backups run at a time.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) jobs: NonZeroUsize,

    /// How many of them to one target [default: as many as --jobs].
    #[arg(long, value_name = "N")]
    pub(crate) jobs_per_target: Option<NonZeroUsize>,

    /// Read at most this much per second, e.g. 200M, all backups together; a guest's own limit holds, too.
    #[arg(long, value_name = "RATE", value_parser = parse_size)]
    pub(crate) bwlimit: Option<u64>,

    /// The fleecing images of all backups together hold at most this, e.g. 50G; a guest's own limit holds, too.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) fleecing_limit: Option<u64>,

    /// Try a backup that failed once more, behind all others and not before this many seconds; one that was refused
    /// is not tried again.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = wait)]
    pub(crate) retry_after: Duration,

    /// Do not try a backup that failed once more.
    #[arg(long, conflicts_with = "retry_after")]
    pub(crate) no_retry: bool,

    /// End what still runs after this time, and begin nothing more: 8h, 90m [default: no limit].
    #[arg(long, value_name = "TIME", value_parser = window)]
    pub(crate) window: Option<Duration>,

    /// Afterwards verify the archives of the host's guests, also of those that are gone, that were not verified for
    /// this many days [default: none].
    #[arg(long, value_name = "DAYS")]
    pub(crate) verify_after: Option<u32>,

    /// Change nothing; show what would be backed up, and what is in the way.
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) hooks: Hooks,
}
