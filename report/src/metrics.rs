//! Metrics in Prometheus' text format, for the textfile collector of its node exporter.
//!
//! The format is a name, labels and a number a line (Prometheus, "Exposition formats", text-based format); times are seconds
//! since 1970, and no line has a timestamp of its own, which the collector refuses.

use std::fmt::Write as _;

use fleece_backup_core::dump::{RunResult, Stats};
use fleece_fleet::status::Status;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::figures::{Entry, Guest, Report, State};

/// What one metric says of a guest, with more labels.
type Of = fn(&Guest) -> Vec<(&'static str, f64)>;

/// What one metric says of a backup that runs.
type OfRunning = fn(&Status) -> Option<u64>;

/// Name, explanation, value. All are gauges: what they count may shrink.
const METRICS: [(&str, &str, Of); 20] = [
    (
        "fleece_backup_needs_attention",
        "1 if somebody should look: the newest backup failed, had warnings, or is missing.",
        |guest| one(Some(f64::from(u8::from(guest.state.needs_attention())))),
    ),
    (
        "fleece_backup_missed_nights",
        "Nights since the newest run on which a backup was due.",
        |guest| one(Some(missed(guest))),
    ),
    (
        "fleece_backup_result",
        "The newest run: 0 done, 1 done with warnings, 2 failed.",
        |guest| one(guest.backups.first().map(result)),
    ),
    (
        "fleece_backup_last_run_timestamp_seconds",
        "When the newest run began.",
        |guest| one(guest.backups.first().and_then(|entry| seconds(entry.began))),
    ),
    (
        "fleece_backup_last_success_timestamp_seconds",
        "When the newest backup began that nothing speaks against.",
        |guest| one(guest.newest.and_then(seconds)),
    ),
    (
        "fleece_backup_verify_last_ok_timestamp_seconds",
        "When a backup was last verified and found sound.",
        |guest| {
            let times = guest.backups.iter().filter_map(|entry| entry.verified_at);
            one(times.max().map(|time| number(time.as_second())))
        },
    ),
    (
        "fleece_backup_last_duration_seconds",
        "How long the newest run took.",
        |guest| newest(guest, |stats| Some(stats.seconds)),
    ),
    (
        "fleece_backup_last_size_bytes",
        "The newest archive.",
        |guest| {
            one(guest
                .backups
                .iter()
                .find_map(|entry| entry.size)
                .map(number))
        },
    ),
    (
        "fleece_backup_last_transferred_bytes",
        "What the newest run read of the guest's disks.",
        |guest| newest(guest, |stats| Some(number(stats.read))),
    ),
    (
        "fleece_backup_dirty_bytes",
        "What the newest run read of the guest because its bitmaps told that it had changed.",
        |guest| newest(guest, |stats| stats.read_of_guest.map(number)),
    ),
    (
        "fleece_backup_reused_bytes",
        "What the newest archive shares with an earlier one.",
        |guest| newest(guest, |stats| stats.shared.map(number)),
    ),
    (
        "fleece_backup_new_bytes",
        "What of the newest archive it does not share with an earlier one.",
        |guest| {
            newest(guest, |stats| {
                let shared = stats.shared.unwrap_or(0);
                Some(number(stats.size?.saturating_sub(shared)))
            })
        },
    ),
    (
        "fleece_backup_warnings",
        "Warnings of the newest run.",
        |guest| newest(guest, |stats| Some(number(stats.warnings))),
    ),
    (
        "fleece_fleecing_peak_bytes",
        "The most that the fleecing images held in the newest run.",
        |guest| newest(guest, |stats| stats.fleecing_peak.map(number)),
    ),
    (
        "fleece_guest_paused_seconds",
        "How long the guest stood still for the newest backup.",
        |guest| newest(guest, |stats| stats.paused_ms.map(|millis| millis / 1000.0)),
    ),
    (
        "fleece_guest_frozen_seconds",
        "How long the guest's file systems were frozen for the newest backup.",
        |guest| newest(guest, |stats| stats.frozen_ms.map(|millis| millis / 1000.0)),
    ),
    (
        "fleece_guest_write_latency_seconds",
        "What this share of the guest's writes took at most in the worst second of the newest run.",
        |guest| {
            let Some(stats) = stats(guest) else {
                return Vec::new();
            };
            let points = stats.series.points();
            let p50 = points.iter().filter_map(|point| point.p50_us).max();
            let p99 = points.iter().filter_map(|point| point.p99_us).max();
            let pairs = [(",quantile=\"0.5\"", p50), (",quantile=\"0.99\"", p99)];
            let known = pairs
                .into_iter()
                .filter_map(|(label, micros)| Some((label, micros?)));
            known
                .map(|(label, micros)| (label, number(micros) / 1e6))
                .collect()
        },
    ),
    (
        "fleece_guest_write_latency_before_seconds",
        "What 99 of 100 of the guest's writes took before the newest run.",
        |guest| newest(guest, |stats| Some(number(stats.before_us?) / 1e6)),
    ),
    (
        "fleece_backup_archives",
        "Archives of the guest.",
        |guest| {
            let archives = guest.backups.iter().filter(|entry| entry.file.is_some());
            one(Some(number(archives.count())))
        },
    ),
    (
        "fleece_backup_archives_bytes",
        "All archives of the guest together.",
        |guest| one(Some(number(guest.size))),
    ),
];

/// All metrics of all guests.
#[must_use]
pub fn metrics(report: &Report) -> String {
    let mut text = String::new();
    for (name, help, of) in METRICS {
        let mut lines = String::new();
        for guest in &report.guests {
            for (labels, value) in of(guest) {
                // Writing to a text cannot fail.
                let _ = writeln!(
                    lines,
                    "{name}{{guest=\"{}\"{labels}}} {value}",
                    label(&guest.guest)
                );
            }
        }
        family(&mut text, name, help, &lines);
    }
    let mut names = String::new();
    for guest in &report.guests {
        if let Some(name) = &guest.name {
            let (guest, name) = (label(&guest.guest), label(name));
            let _ = writeln!(
                names,
                "fleece_guest_info{{guest=\"{guest}\",name=\"{name}\"}} 1"
            );
        }
    }
    let mut bitmaps = String::new();
    for guest in &report.guests {
        for (disk, is_ok) in stats(guest).iter().flat_map(|stats| &stats.bitmaps) {
            let (guest, disk, is_ok) = (label(&guest.guest), label(disk), u8::from(*is_ok));
            let _ = writeln!(
                bitmaps,
                "fleece_bitmap_ok{{guest=\"{guest}\",disk=\"{disk}\"}} {is_ok}"
            );
        }
    }
    family(
        &mut text,
        "fleece_bitmap_ok",
        "1 if the newest run could go by the disk's bitmap, and read only what had changed.",
        &bitmaps,
    );
    family(
        &mut text,
        "fleece_guest_info",
        "What the guest's configuration calls it.",
        &names,
    );
    let used = report
        .totals
        .used
        .map(|used| format!("fleece_backup_used_bytes {used}\n"));
    let help = "What all archives take of the storage, counting once what they share.";
    family(
        &mut text,
        "fleece_backup_used_bytes",
        help,
        &used.unwrap_or_default(),
    );
    text
}

/// What runs now on this host: all that have a file in a state directory and are alive.
#[must_use]
pub fn running(all: &[Status]) -> String {
    let mut text = String::new();
    let metrics: [(&str, &str, OfRunning); 3] = [
        (
            "fleece_backup_running",
            "1 while a backup of the guest runs.",
            |_| Some(1),
        ),
        (
            "fleece_backup_stalled_seconds",
            "For how long the backup that runs has not got on.",
            |status| Some(status.stands_still().as_secs()),
        ),
        (
            "fleece_fleecing_used_bytes",
            "What the fleecing images of the backup that runs hold.",
            |status| status.fleecing,
        ),
    ];
    for (name, help, of) in metrics {
        let mut lines = String::new();
        for status in all.iter().filter(|status| status.is_alive()) {
            if let Some(value) = of(status) {
                let guest = label(&status.guest);
                let _ = writeln!(lines, "{name}{{guest=\"{guest}\"}} {value}");
            }
        }
        family(&mut text, name, help, &lines);
    }
    text
}

fn family(text: &mut String, name: &str, help: &str, lines: &str) {
    if !lines.is_empty() {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{lines}");
    }
}

fn one(value: Option<f64>) -> Vec<(&'static str, f64)> {
    value.map(|value| ("", value)).into_iter().collect()
}

/// The record of the newest run, if there is one.
fn stats(guest: &Guest) -> Option<&Stats> {
    guest.backups.first()?.stats.as_ref()
}

fn newest(guest: &Guest, of: fn(&Stats) -> Option<f64>) -> Vec<(&'static str, f64)> {
    one(stats(guest).and_then(of))
}

fn result(entry: &Entry) -> f64 {
    match (entry.stats.as_ref().map(|stats| stats.result), entry.state) {
        (Some(RunResult::Failed), _) | (_, State::Failed) => 2.0,
        (_, State::Warning) => 1.0,
        _ => 0.0,
    }
}

/// Missed nights at the end of those that are shown.
fn missed(guest: &Guest) -> f64 {
    let nights = guest.nights.iter().flatten();
    let missed = nights
        .rev()
        .take_while(|night| night.state == State::Missing);
    number(missed.count())
}

/// Local times are taken for this host's.
fn seconds(time: DateTime) -> Option<f64> {
    let zoned = time.to_zoned(TimeZone::system()).ok()?;
    Some(number(zoned.timestamp().as_second()))
}

/// A number in as many digits as it has: doubles are what Prometheus keeps.
fn number<N: TryInto<i64>>(number: N) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 9 PB")]
    number.try_into().map_or(f64::MAX, |number| number as f64)
}

/// A label's value, quoted as the format wants it.
fn label(value: &str) -> String {
    let value: String = value
        .chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .collect();
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_end_their_line() {
        assert_eq!(label("a\"} 1\nb\\\u{1b}"), "a\\\"} 1\\nb\\\\");
    }

    #[test]
    fn every_metric_has_a_name_of_its_own_and_its_unit() {
        let mut names: Vec<_> = METRICS.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
        assert!(
            METRICS
                .iter()
                .all(|(name, help, _)| name.starts_with("fleece_") && help.ends_with('.'))
        );
    }
}
