//! What a run says and measures, kept until it has ended.

use std::time::{Duration, Instant};

use jiff::{Timestamp, Zoned};

use super::stats::{MAX_TEXTS, RunError, RunResult, Stats, VERSION};
use crate::job::Outcome;
use crate::report::error::{Error, ErrorKind};
use crate::report::series::{Series, micros};
use crate::report::{Event, Progress};

/// A log longer than this in bytes is of use to nobody; what comes then is left out, but for errors. Proxmox's
/// mails end here, too.
const MAX_LOG: usize = 1 << 20;

/// Follows a run from its beginning; [`DumpDirectory::record`](super::DumpDirectory::record) puts what it has
/// seen beside the archive.
#[derive(Debug)]
pub struct Recorder {
    began: Zoned,
    start: Instant,
    log: String,
    texts: Vec<String>,
    warnings: u64,
    series: Series,
    last: Progress,
}

impl Recorder {
    /// Of a run that begins at `now`.
    #[must_use]
    pub fn new(now: Zoned) -> Self {
        Self {
            began: now,
            start: Instant::now(),
            log: String::new(),
            texts: Vec::new(),
            warnings: 0,
            series: Series::default(),
            last: Progress::default(),
        }
    }

    /// Takes what was measured. What is said comes in as [`line`](Self::line)s, in the program's own words.
    pub fn take(&mut self, event: &Event) {
        if let Event::Progress(progress) = event {
            self.series.push(progress);
            self.last = *progress;
        }
    }

    /// A line of the log, `INFO`, `WARN` or `ERROR`, as Proxmox writes it.
    pub fn line(&mut self, level: &str, text: &str) {
        if level == "WARN" {
            self.warnings = self.warnings.saturating_add(1);
            if self.texts.len() < MAX_TEXTS {
                self.texts.push(text.to_owned());
            }
        }
        if self.log.len() < MAX_LOG || level == "ERROR" {
            let now = self.now().strftime("%Y-%m-%d %H:%M:%S");
            self.log.push_str(&format!("{now} {level}: {text}\n"));
        }
    }

    /// The log so far.
    #[must_use]
    pub fn log(&self) -> &str {
        &self.log
    }

    /// When the run began.
    #[must_use]
    pub fn began(&self) -> &Zoned {
        &self.began
    }

    /// What a run was like of which no archive was begun.
    pub(super) fn failure(&self, (guest, name): (&str, Option<&str>), why: RunError) -> Stats {
        let unknown = Error::new(ErrorKind::Internal, "");
        let stats = self.stats((guest, name, ""), Err(&unknown));
        Stats {
            error: Some(why),
            ..stats
        }
    }

    /// What the run was like, of a guest that is called `name`, and with the archive of this file name.
    #[must_use]
    pub fn stats(
        &self,
        (guest, name, archive): (&str, Option<&str>, &str),
        result: Result<&Outcome, &Error>,
    ) -> Stats {
        let outcome = result.ok();
        let archived = outcome.map(|outcome| &outcome.archived);
        let switched = outcome.and_then(|outcome| outcome.switched);
        let tracked = outcome.and_then(|outcome| outcome.tracked.as_ref());
        let peak = self.series.points().iter();
        let peak = peak.filter_map(|point| point.fleecing).max();
        let error = result.err().map(RunError::from);
        let told = outcome.and_then(|outcome| u64::try_from(outcome.warnings).ok());
        let told = told.unwrap_or(self.warnings);
        let result = match outcome {
            None => RunResult::Failed,
            Some(outcome) if outcome.warnings > 0 => RunResult::Warnings,
            Some(_) => RunResult::Ok,
        };
        Stats {
            version: VERSION,
            guest: guest.to_owned(),
            name: name.map(str::to_owned),
            archive: archive.to_owned(),
            began: Timestamp::from_second(self.began.timestamp().as_second()).unwrap_or_default(),
            seconds: seconds(self.start.elapsed()),
            result,
            error,
            warnings: told,
            warning_texts: self.texts.clone(),
            size: archived.map(|archived| archived.size),
            shared: archived.and_then(|archived| archived.shared),
            disks: archived.map(|archived| archived.disks),
            zero: archived.map(|archived| archived.zero),
            read: self.last.read,
            read_of_guest: tracked.map(|tracked| tracked.from_guest),
            read_of_archive: tracked.map(|tracked| tracked.from_archive),
            disks_by_bitmap: tracked.and_then(|tracked| u64::try_from(tracked.disks).ok()),
            bitmaps: tracked
                .map(|tracked| tracked.bitmaps.clone())
                .unwrap_or_default(),
            switch_ms: millis(switched.map(|switched| switched.took)),
            paused_ms: millis(switched.and_then(|switched| switched.paused)),
            frozen_ms: millis(outcome.and_then(|outcome| outcome.frozen)),
            down_ms: millis(outcome.and_then(|outcome| outcome.down)),
            fleecing_peak: outcome.and_then(|outcome| outcome.fleecing_peak).or(peak),
            fleecing_limit: self.last.fleecing_limit,
            before_us: self.last.latency_before.map(micros),
            series: self.series.clone(),
            earlier: Vec::new(),
        }
    }

    /// The time by the clock that the run began with.
    fn now(&self) -> Zoned {
        let elapsed = self.start.elapsed();
        self.began
            .checked_add(elapsed)
            .unwrap_or_else(|_| self.began.clone())
    }
}

fn millis(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| (duration.as_secs_f64() * 1e6).round() / 1e3)
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder() -> Recorder {
        Recorder::new("2026-11-03T02:00:01+01:00[Europe/Berlin]".parse().unwrap())
    }

    #[test]
    fn a_failed_run_is_recorded_with_what_it_felt_until_then() {
        let mut recorder = recorder();
        let progress = Progress {
            elapsed: Duration::from_secs(1),
            read: 700,
            fleecing: Some(30),
            latency_before: Some(Duration::from_micros(90)),
            ..Progress::default()
        };
        recorder.take(&Event::Progress(progress));
        recorder.line("WARN", "something");
        let error = Error::new(ErrorKind::Target, "the target is full\nand more");
        let stats = recorder.stats(("100", Some("web"), "a.vma"), Err(&error));
        assert_eq!(stats.result, RunResult::Failed);
        let told = stats.error.as_ref().unwrap();
        assert_eq!(told.kind, "target");
        assert!(!told.message.contains('\n'));
        assert_eq!(
            (stats.read, stats.fleecing_peak, stats.before_us),
            (700, Some(30), Some(90))
        );
        assert_eq!((stats.warnings, stats.warning_texts.len()), (1, 1));
        assert_eq!(stats.began.to_string(), "2026-11-03T01:00:01Z");
        assert!(recorder.log().starts_with("2026-11-03 02:00:0"));
        assert!(recorder.log().ends_with(" WARN: something\n"));
    }

    #[test]
    fn a_log_has_an_end_and_errors_come_after_it() {
        let mut recorder = recorder();
        let line = "x".repeat(1000);
        for _ in 0..2000 {
            recorder.line("INFO", &line);
        }
        recorder.line("ERROR", "why");
        assert!(recorder.log().len() < MAX_LOG + 2000);
        assert!(recorder.log().ends_with(" ERROR: why\n"));
    }
}
