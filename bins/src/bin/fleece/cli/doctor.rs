//! `fleece doctor`

use std::ffi::OsString;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The guest: a number or name that the configuration knows, or Proxmox.
    #[arg(value_name = "GUEST")]
    pub(crate) guest: Option<String>,

    /// Options of `fleece backup`, as for a backup of it.
    #[arg(
        value_name = "OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) options: Vec<OsString>,
}
