//! What is called, and who is told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use fleece_fleet::Heartbeat;

use super::values::seconds;

/// The same for one backup as for a run of several.
#[derive(Clone, Debug, Args)]
pub(crate) struct Hooks {
    /// Call this program at the moments at which Proxmox's vzdump calls its --script, in the same way; on standard
    /// input it gets JSON (docs/HOOKS.md). If it fails, so does the backup.
    #[arg(long, value_name = "PROGRAM", help_heading = "Hooks")]
    pub(crate) script: Option<PathBuf>,

    /// End a program that is called after this many seconds; it counts as failed.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds, help_heading = "Hooks")]
    pub(crate) hook_timeout: Duration,

    /// Call this with `sh -c` before anything else.
    #[arg(long, value_name = "COMMAND", help_heading = "Hooks")]
    pub(crate) on_start: Option<String>,

    /// Call this with `sh -c` at the end, with JSON of how it went on standard input.
    #[arg(long, value_name = "COMMAND", help_heading = "Hooks")]
    pub(crate) on_end: Option<String>,

    /// Like --on-end, but only if all went well.
    #[arg(long, value_name = "COMMAND", help_heading = "Hooks")]
    pub(crate) on_success: Option<String>,

    /// Like --on-end, but not if all went well; a warning is enough.
    #[arg(long, value_name = "COMMAND", help_heading = "Hooks")]
    pub(crate) on_failure: Option<String>,

    /// Send a mail by `sendmail` (may be given several times).
    #[arg(long, value_name = "ADDRESS", help_heading = "Hooks")]
    pub(crate) mail_to: Vec<String>,

    /// Post the JSON of how it went to this address by `curl`.
    #[arg(long, value_name = "URL", help_heading = "Hooks")]
    pub(crate) webhook: Option<String>,

    /// Give a sign of life to what watches for it: an address of healthchecks.io or a service like it, which is requested as
    /// URL/start at the beginning, and at the end as URL, or as URL/fail after a failure; or the absolute path of a file,
    /// which is rewritten at each success (may be given several times).
    #[arg(long, value_name = "URL|FILE", help_heading = "Hooks")]
    pub(crate) heartbeat: Vec<Heartbeat>,

    /// When the mail and the webhook are sent.
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "failure",
        help_heading = "Hooks"
    )]
    pub(crate) notify: When,
}

/// When somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// Unless all went well; a warning is enough.
    Failure,
    /// In any case.
    Always,
}
