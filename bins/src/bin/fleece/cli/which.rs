//! Which guest is meant.

use std::path::PathBuf;

use clap::Args;
use fleece_backup_core::exports;
use fleece_guest_config::GuestId;
use fleece_qmp_client::Address;

use super::values::{nbd_server, vmid};

/// Which guest: the same for a backup as for the clean-up after it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Which {
    /// The guest's monitor: a QMP socket (path, unix:PATH, or tcp:HOST:PORT) that nobody else uses
    /// [default: Proxmox's for --vmid].
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["native", "image", "libvirt"])]
    pub(crate) qmp: Option<Address>,

    /// Instead of a monitor: a domain of libvirt, by its name or UUID. For a backup without either: all that run, one
    /// after the other.
    #[arg(long, value_name = "DOMAIN", conflicts_with_all = ["native", "image"])]
    #[expect(
        clippy::option_option,
        reason = "an option whose value may be left out"
    )]
    pub(crate) libvirt: Option<Option<String>>,

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
