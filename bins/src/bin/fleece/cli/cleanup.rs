//! `fleece cleanup`

use clap::{ArgGroup, Args};
use fleece_guest_config::GuestId;

use super::which::Which;

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
