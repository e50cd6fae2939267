//! The figures: what the page, the JSON and the metrics all show.

use fleece_backup_core::dump::Stats;
use jiff::civil::{Date, DateTime};
use serde::Serialize;

/// What became of a night, a backup, or a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(
    clippy::exhaustive_enums,
    reason = "the states that the page has pictures for"
)]
pub enum State {
    /// There is a backup, and it was found sound.
    Sound,
    /// There is a backup that nobody has verified since it was made.
    Unverified,
    /// There was a backup, and it has been removed since.
    Removed,
    /// There is a backup, and something was not as it should be.
    Warning,
    /// A backup was due, and nothing tells of one.
    Missing,
    /// A backup was begun and failed, or is damaged.
    Failed,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Sound,
        Self::Unverified,
        Self::Warning,
        Self::Failed,
        Self::Missing,
        Self::Removed,
    ];

    /// One word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Unverified => "unverified",
            Self::Removed => "removed",
            Self::Warning => "warning",
            Self::Missing => "missing",
            Self::Failed => "failed",
        }
    }

    /// Whether somebody should look.
    #[must_use]
    pub fn needs_attention(self) -> bool {
        self >= Self::Warning
    }
}

/// All guests of a directory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The directory.
    pub place: String,
    /// When it was looked at, local time.
    pub made: DateTime,
    /// The nights that are shown, each named by its morning, the newest last.
    pub nights: Vec<Date>,
    /// The guests, by number and name.
    pub guests: Vec<Guest>,
    /// All together.
    pub totals: Totals,
}

/// All guests together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// How many guests.
    pub guests: usize,
    /// How many of them need a look.
    pub attention: usize,
    /// How many archives.
    pub backups: usize,
    /// Bytes of all archives.
    pub size: u64,
    /// Bytes that they take of the storage; `None` if its file system does not tell.
    pub used: Option<u64>,
    /// Bytes that they would take more if none shared with another.
    pub saved: Option<u64>,
}

/// One guest.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Guest {
    /// Its number or name.
    pub guest: String,
    /// What its configuration calls it.
    pub name: Option<String>,
    /// How it stands.
    pub state: State,
    /// Why, in words.
    pub why: String,
    /// When the newest backup was begun that nothing speaks against, local time.
    pub newest: Option<DateTime>,
    /// Seconds since then.
    pub newest_age: Option<i64>,
    /// When the newest one was begun that was verified and found sound.
    pub newest_verified: Option<DateTime>,
    /// Nights from one backup to the next, usually; `None` if that is not known.
    pub every_nights: Option<u16>,
    /// What became of each of [`Report::nights`]; `None` where nothing was due.
    pub nights: Vec<Option<Night>>,
    /// Bytes of its archives.
    pub size: u64,
    /// How much larger the newest archive is than the oldest of the nights that are shown, in percent.
    pub growth_percent: Option<i64>,
    /// Its backups and failed runs, the newest first.
    pub backups: Vec<Entry>,
}

/// One night of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Night {
    /// What became of it.
    pub state: State,
    /// When its runs began.
    pub runs: Vec<DateTime>,
}

/// A backup, or a run that left none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// When it began, local time.
    pub began: DateTime,
    /// The archive's file name, if there is one.
    pub file: Option<String>,
    /// What is to be thought of it.
    pub state: State,
    /// Why, in words.
    pub why: String,
    /// Bytes of the archive.
    pub size: Option<u64>,
    /// Bytes that no other file shares.
    pub own: Option<u64>,
    /// What people wrote about it.
    pub notes: Option<String>,
    /// Whether it must not be removed.
    pub protected: bool,
    /// When it was last verified.
    pub verified_at: Option<jiff::Timestamp>,
    /// Why the rules keep it; `None` if there are no rules.
    pub verdict: Option<String>,
    /// Until when they do: a day, `next prune`, `stays`, or `later` than is looked ahead.
    pub until: Option<String>,
    /// The highest latency that 99 of 100 writes had over any stretch, in microseconds.
    pub slowest_us: Option<u64>,
    /// What the run was like.
    #[serde(skip)]
    pub stats: Option<Stats>,
}
