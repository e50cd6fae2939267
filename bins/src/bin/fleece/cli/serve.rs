//! `fleece serve`

use std::path::PathBuf;

use clap::Args;

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
