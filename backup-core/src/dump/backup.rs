//! One backup in a dump directory.

use std::path::{Path, PathBuf};

use fleece_guest_config::GuestId;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::name::UNREAD;
use super::{BackupName, Boots, Fault, Verified, space};

/// A backup, with what lies beside its archive.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    pub(super) file_name: String,
    pub(super) path: PathBuf,
    pub(super) name: Option<BackupName>,
    pub(super) size: u64,
    pub(super) modified: Timestamp,
    pub(super) notes: Option<String>,
    pub(super) protected: bool,
    pub(super) indexed: bool,
    pub(super) verified: Verified,
    pub(super) boots: Boots,
    pub(super) fault: Option<Fault>,
}

impl Backup {
    /// The name of the archive in its directory.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Where the archive lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name's parts; `None` for an archive whose name is not the standard one.
    pub fn standard_name(&self) -> Option<&BackupName> {
        self.name.as_ref()
    }

    /// The guest, as far as the name tells.
    pub fn guest(&self) -> Option<&GuestId> {
        self.name.as_ref().map(BackupName::guest)
    }

    /// When the backup was begun, in local time: as its name says, wherever it is read; else by its archive's
    /// header, else by its file.
    pub fn local_time(&self) -> DateTime {
        let here = || self.modified.to_zoned(TimeZone::system()).datetime();
        self.name.as_ref().map_or_else(here, BackupName::time)
    }

    /// The same as an instant: a name's local time is taken for this host's.
    pub fn time(&self) -> Timestamp {
        let named = self.name.as_ref().map(BackupName::time);
        let named = named.and_then(|time| time.to_zoned(TimeZone::system()).ok());
        named.map_or(self.modified, |time| time.timestamp())
    }

    /// The size of the archive in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes of its archive no other file has, too; `None` if the file system does not tell.
    pub fn own(&self) -> Option<u64> {
        space::own(&self.path)
    }

    /// What people wrote about it.
    pub fn notes(&self) -> Option<&str> {
        self.notes.as_deref()
    }

    /// Whether it must not be removed.
    pub fn is_protected(&self) -> bool {
        self.protected
    }

    /// Whether an index lies beside it.
    pub fn is_indexed(&self) -> bool {
        self.indexed
    }

    /// What the last verification found.
    pub fn verified(&self) -> Verified {
        self.verified
    }

    /// What the last drill found.
    pub fn boots(&self) -> Boots {
        self.boots
    }

    /// What is known to be wrong with it. Whether its header can be read shows only when it is to be
    /// pruned.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Whether its archive can be read as it is: one in bzip2 has to be decompressed first.
    pub fn is_readable(&self) -> bool {
        !self.file_name.ends_with(UNREAD)
    }

    /// All of it for programs. Times are RFC 3339, in UTC.
    pub fn to_json(&self) -> Value {
        let at = self.verified.at().map(|time| time.to_string());
        json!({
            "file": self.file_name,
            "path": self.path,
            "guest": self.guest().map(GuestId::to_string),
            "vmid": self.guest().and_then(GuestId::number),
            "time": self.time().to_string(),
            "local_time": self.local_time().to_string(),
            "size": self.size,
            "own": self.own(),
            "notes": self.notes,
            "protected": self.protected,
            "indexed": self.indexed,
            "verified": self.verified.to_string(),
            "verified_at": at,
            "boots": self.boots.word(),
            "drilled_at": self.boots.at().map(|time| time.to_string()),
        })
    }
}
