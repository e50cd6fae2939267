//! `fleece drill`

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use fleece_backup_core::restore::Marker;

use super::values::seconds;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["archive", "all"]).required(true))]
pub(crate) struct Drill {
    /// An archive or, with --to, a guest's number or name, whose newest backup is meant.
    #[arg(value_name = "ARCHIVE|GUEST")]
    pub(crate) archive: Option<String>,

    /// The newest backup of every guest in --to, one after the other.
    #[arg(long, requires = "to", conflicts_with = "archive")]
    pub(crate) all: bool,

    /// Where the backups are: a directory, or a storage's id.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,

    /// What shows that the guest has booted: serial=TEXT (a line on its first serial port; * stands for anything), agent
    /// (the guest's agent answers), event=NAME (of QEMU), or port=NUMBER (a TCP service answers). May be given several
    /// times: then all of it [default: serial=login: or agent, whichever comes first].
    #[arg(long = "wait", value_name = "MARKER", value_parser = str::parse::<Marker>)]
    pub(crate) wait: Vec<Marker>,

    /// How long that may take.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Keep a picture of the guest's screen in this directory, under the archive's name.
    #[arg(long, value_name = "DIR")]
    pub(crate) screenshots: Option<PathBuf>,

    /// Let the guest power down when it has booted, and check the file systems of its disks with their own programs (e2fsck,
    /// xfs_repair, fsck.fat, btrfs), on copies: there must be room for one disk's data in the directory of the records.
    #[arg(long)]
    pub(crate) fsck: bool,

    /// QEMU's accelerator, such as tcg [default: KVM where that is, else tcg].
    #[arg(long, value_name = "NAME")]
    pub(crate) accel: Option<String>,

    /// Give the guest another amount of memory, in MiB.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    pub(crate) memory: Option<u32>,
}
