//! What is done with backups: `fleece list`, `verify`, `prune`, `note`, `protect` and `delete`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use fleece_backup_core::dump::KeepRules;
use fleece_guest_config::GuestId;

#[derive(Debug, Args)]
pub(crate) struct List {
    /// A directory, or a storage's id.
    #[arg(value_name = "DIR")]
    pub(crate) place: PathBuf,

    /// Only this guest's: its number or name.
    #[arg(long, value_name = "GUEST", alias = "vmid")]
    pub(crate) guest: Option<GuestId>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Archives, directories or storage ids.
    #[arg(value_name = "ARCHIVE", required = true)]
    pub(crate) places: Vec<PathBuf>,

    /// In a directory or storage, verify again what was verified longer ago than this. An archive given by
    /// name is always verified.
    #[arg(long, value_name = "DAYS", default_value = "30")]
    pub(crate) outdated_after: u32,

    /// Verify all, no matter how recently they were verified.
    #[arg(long)]
    pub(crate) all: bool,

    /// Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times).
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Vec<PathBuf>,

    /// Check archives against the signed lists beside them, which must be by this Ed25519 key of SSH: a file of public
    /// keys, or a key itself (may be given several times). Encrypted archives need no --identity for that.
    #[arg(long, value_name = "KEY")]
    pub(crate) signed_by: Vec<OsString>,

    /// Only this guest's: its number or name.
    #[arg(long, value_name = "GUEST", alias = "vmid")]
    pub(crate) guest: Option<GuestId>,
}

#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// A directory, or a storage's id.
    #[arg(value_name = "DIR")]
    pub(crate) place: PathBuf,

    /// What to keep: keep-last=N, -hourly, -daily, -weekly, -monthly, -yearly, separated by commas
    /// [default: the prune-backups of the storage].
    #[arg(long, value_name = "RULES")]
    pub(crate) keep: Option<KeepRules>,

    /// Only this guest's: its number or name.
    #[arg(long, value_name = "GUEST", alias = "vmid")]
    pub(crate) guest: Option<GuestId>,

    /// Remove nothing; show what would happen to each backup, and why.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Note {
    /// The archive.
    #[arg(value_name = "ARCHIVE")]
    pub(crate) archive: PathBuf,

    /// The new notes; an empty text removes them.
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Protect {
    /// The archive.
    #[arg(value_name = "ARCHIVE")]
    pub(crate) archive: PathBuf,

    /// Remove the protection.
    #[arg(long)]
    pub(crate) off: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The archives.
    #[arg(value_name = "ARCHIVE", required = true)]
    pub(crate) archives: Vec<PathBuf>,
}
