//! `fleece demo`

use std::path::PathBuf;

use clap::Args;

use super::values::{demo_rate, demo_size};

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

    /// Write a page with the three acts to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Write a picture of the three acts to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}
