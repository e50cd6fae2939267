//! What a run of a backup was like: the `.stats.json` beside the archive, or in its place if the run failed.
//!
//! `docs/JSON.md` describes the fields. Whoever may write to the directory may write anything here, so what is
//! read is bounded, and believed only where a wrong word does no harm: in a report.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use crate::report::error::Error;
use crate::report::series::{MAX_POINTS, Series};

/// The version of the form. A newer one has fields that mean something else.
pub(crate) const VERSION: u32 = 1;

/// More than one can have: 600 points take about 45 KiB, the texts at most 90 KiB.
pub(super) const MAX_SIZE: u64 = 256 << 10;

/// Texts of warnings that are kept, and characters of each text.
pub(super) const MAX_TEXTS: usize = 20;
const MAX_TEXT: usize = 1000;

/// Earlier runs that are carried along: two months of nights.
pub(super) const MAX_EARLIER: usize = 62;

/// Disks of a guest, and bytes of a disk's name, at most: as in an archive.
const MAX_DISKS: usize = 254;
const MAX_NAME: usize = 255;

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "there is nothing between these")]
pub enum RunResult {
    /// An archive, and nothing to complain of.
    Ok,
    /// An archive, and something to look at.
    Warnings,
    /// No archive, or one that is damaged.
    Failed,
}

impl RunResult {
    /// The word in files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warnings => "warnings",
            Self::Failed => "failed",
        }
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunError {
    /// The kind, as in what `--json` prints.
    pub kind: String,
    /// What happened.
    pub message: String,
}

impl RunError {
    /// An error of this kind.
    #[must_use]
    pub fn new(kind: impl Into<String>, message: &str) -> Self {
        Self {
            kind: kind.into(),
            message: fleece_plain_text::message(message).into_owned(),
        }
    }
}

impl From<&Error> for RunError {
    fn from(error: &Error) -> Self {
        Self::new(error.kind().word(), &error.chain())
    }
}

/// A run before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Earlier {
    /// When it began, in the local time of the host that made it.
    pub began: DateTime,
    /// What came of it; `None` where only its archive told of it.
    pub result: Option<RunResult>,
}

/// What a run was like. Sizes are in bytes; what is not known is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// That of the form: 1.
    pub version: u32,
    /// The guest, as in the archive's name.
    pub guest: String,
    /// What its configuration calls it.
    pub name: Option<String>,
    /// The archive's file name, also if there is none.
    pub archive: String,
    /// When it began.
    pub began: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// What came of it.
    pub result: RunResult,
    /// Why it failed.
    pub error: Option<RunError>,
    /// How many warnings there were.
    pub warnings: u64,
    /// The first of their texts.
    #[serde(default)]
    pub warning_texts: Vec<String>,
    /// The archive.
    pub size: Option<u64>,
    /// What it shares with an earlier one.
    pub shared: Option<u64>,
    /// The disks.
    pub disks: Option<u64>,
    /// What of them is zero.
    pub zero: Option<u64>,
    /// What was read of them.
    pub read: u64,
    /// With bitmaps: what was read of the guest.
    pub read_of_guest: Option<u64>,
    /// With bitmaps: what was taken from the earlier archive.
    pub read_of_archive: Option<u64>,
    /// How many disks' bitmaps could be used.
    pub disks_by_bitmap: Option<u64>,
    /// Of each disk with a bitmap, whether it could be used.
    #[serde(default)]
    pub bitmaps: BTreeMap<String, bool>,
    /// How long the switch took, in milliseconds.
    pub switch_ms: Option<f64>,
    /// How long the guest stood still for it.
    pub paused_ms: Option<f64>,
    /// How long its file systems were frozen.
    pub frozen_ms: Option<f64>,
    /// How long it was down, if it was stopped for the backup.
    pub down_ms: Option<f64>,
    /// The most that the fleecing images held.
    pub fleecing_peak: Option<u64>,
    /// What they may hold.
    pub fleecing_limit: Option<u64>,
    /// What 99 of 100 of the guest's writes took before, in microseconds.
    pub before_us: Option<u64>,
    /// What the guest felt.
    #[serde(default)]
    pub series: Series,
    /// The guest's runs before this one, the newest first: so a night is not taken for one without a backup
    /// when its archive has been pruned.
    #[serde(default)]
    pub earlier: Vec<Earlier>,
}

impl Stats {
    /// Reads what lies beside an archive; `None` if it is none of these, or of a newer form.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if u64::try_from(bytes.len()).ok()? > MAX_SIZE {
            return None;
        }
        let mut stats: Self = serde_json::from_slice(bytes).ok()?;
        let times = [
            Some(stats.seconds),
            stats.switch_ms,
            stats.paused_ms,
            stats.frozen_ms,
            stats.down_ms,
        ];
        let is_time = |time: &f64| time.is_finite() && *time >= 0.0;
        if stats.version != VERSION || !times.iter().flatten().all(is_time) {
            return None;
        }
        stats.cut();
        Some(stats)
    }

    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut stats = self.clone();
        stats.cut();
        // Numbers, texts and lists of these can always be written.
        serde_json::to_string(&stats).map_or_else(|_| String::new(), |text| text + "\n")
    }

    /// Leaves out what is longer than anything that is to be read.
    fn cut(&mut self) {
        let texts = self.warning_texts.iter_mut();
        let error = self.error.iter_mut();
        let error = error.flat_map(|error| [&mut error.kind, &mut error.message]);
        let names = [&mut self.guest, &mut self.archive];
        for text in texts.chain(error).chain(names).chain(&mut self.name) {
            cut(text);
        }
        self.warning_texts.truncate(MAX_TEXTS);
        self.earlier.truncate(MAX_EARLIER);
        if self.bitmaps.len() > MAX_DISKS || self.bitmaps.keys().any(|name| name.len() > MAX_NAME) {
            self.bitmaps.clear();
        }
    }
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
        text.push('…');
    }
}

/// What the fuzz target calls: what is read is bounded, and can be thinned out and written.
pub fn fuzz(data: &[u8]) {
    let Some(stats) = Stats::parse(data) else {
        return;
    };
    assert!(stats.warning_texts.len() <= MAX_TEXTS && stats.earlier.len() <= MAX_EARLIER);
    let points = stats.series.points().len();
    assert!(points <= MAX_POINTS && stats.series.thinned(16).points().len() <= 16);
    assert!(!stats.to_text().is_empty());
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn stats() -> Stats {
        Stats {
            version: VERSION,
            guest: "100".into(),
            name: Some("web".into()),
            archive: "vzdump-qemu-100-2026_11_03-02_00_01.vma.zst".into(),
            began: Timestamp::UNIX_EPOCH,
            seconds: 12.5,
            result: RunResult::Ok,
            error: None,
            warnings: 0,
            warning_texts: Vec::new(),
            size: Some(1000),
            shared: None,
            disks: Some(4096),
            zero: Some(96),
            read: 4000,
            read_of_guest: None,
            read_of_archive: None,
            disks_by_bitmap: None,
            bitmaps: BTreeMap::new(),
            switch_ms: Some(3.5),
            paused_ms: None,
            frozen_ms: None,
            down_ms: None,
            fleecing_peak: Some(500),
            fleecing_limit: None,
            before_us: Some(80),
            series: Series::default(),
            earlier: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut stats = stats();
        stats.earlier.push(Earlier {
            began: jiff::civil::date(2026, 11, 2).at(2, 0, 1, 0),
            result: Some(RunResult::Failed),
        });
        assert_eq!(Stats::parse(stats.to_text().as_bytes()), Some(stats));
    }

    #[test]
    fn what_is_unknown_is_passed_over_and_what_is_of_another_form_is_not_read() {
        let text = stats().to_text();
        let with = |more: &str| text.replacen('{', &format!("{{{more},"), 1);
        assert_eq!(Stats::parse(with("\"new\": [1]").as_bytes()), Some(stats()));
        for wrong in [
            text.replace("\"version\":1", "\"version\":2"),
            text.replace("12.5", "-1"),
            text.replace("\"ok\"", "\"fine\""),
            text.replace("4000", "-4000"),
            text.replace("4000", "4e300"),
            "[".repeat(100_000),
            "{}".into(),
            " ".repeat(300_000) + &text,
        ] {
            assert_ne!(wrong, text);
            assert_eq!(Stats::parse(wrong.as_bytes()), None);
        }
    }

    #[test]
    fn a_record_of_which_any_byte_is_another_does_no_harm() {
        let text = stats().to_text();
        for place in 0..text.len() {
            for byte in *b"\0\"-9[}\xff" {
                let mut bytes = text.clone().into_bytes();
                bytes[place] = byte;
                fuzz(&bytes);
            }
            fuzz(&text.as_bytes()[..place]);
        }
    }

    #[test]
    fn texts_are_cut_and_lists_are_short() {
        let mut long = stats();
        long.warning_texts = vec!["ä".repeat(5000); 1000];
        let earlier = Earlier {
            began: jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0),
            result: None,
        };
        long.earlier = vec![earlier; 5000];
        let text = long.to_text();
        assert!((text.len() as u64) < MAX_SIZE, "{}", text.len());
        let read = Stats::parse(text.as_bytes()).unwrap();
        assert_eq!(read.warning_texts.len(), MAX_TEXTS);
        assert_eq!(read.earlier.len(), MAX_EARLIER);
        assert_eq!(read.warning_texts[0].chars().count(), 1001);
    }
}
