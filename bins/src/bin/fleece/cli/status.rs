//! `fleece status`

use clap::Args;
use fleece_guest_config::GuestId;

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only this guest: its number or name.
    #[arg(value_name = "GUEST")]
    pub(crate) guest: Option<GuestId>,
}
