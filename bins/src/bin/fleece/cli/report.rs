//! What shows how all guests' backups stand: `fleece report` and `metrics`.

use std::path::PathBuf;

use clap::Args;
use fleece_backup_core::dump::KeepRules;
use fleece_guest_config::GuestId;

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// A directory, or a storage's id.
    #[arg(value_name = "DIR")]
    pub(crate) place: PathBuf,

    /// Write a page for browsers to this file: one file that needs nothing else, and runs no script.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// What prune keeps, to tell how long each backup will stay [default: the prune-backups of the storage].
    #[arg(long, value_name = "RULES")]
    pub(crate) keep: Option<KeepRules>,

    /// Only this guest's: its number or name.
    #[arg(long, value_name = "GUEST", alias = "vmid")]
    pub(crate) guest: Option<GuestId>,

    /// How many nights to show.
    #[arg(long, value_name = "NUMBER", default_value = "31", value_parser = clap::value_parser!(u16).range(1..=366))]
    pub(crate) nights: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Metrics {
    /// A directory, or a storage's id.
    #[arg(value_name = "DIR")]
    pub(crate) place: PathBuf,

    /// Replace this file at once, for the textfile collector of Prometheus' node exporter; its name must end
    /// in .prom [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub(crate) textfile: Option<PathBuf>,
}
