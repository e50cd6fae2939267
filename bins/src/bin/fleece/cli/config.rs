//! `fleece config`

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check every file of the configuration: keys, sections and values.
    Check,
    /// Show which options of a command the configuration and the environment set, and where.
    Show(ConfigShow),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShow {
    /// For this guest: its number or name.
    #[arg(value_name = "GUEST")]
    pub(crate) guest: Option<String>,

    /// The command whose options are shown.
    #[arg(long = "for", value_name = "COMMAND", default_value = "backup")]
    pub(crate) command: String,
}
