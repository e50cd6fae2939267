//! Backup by backup: what the guest felt, and what is to be known of it.

use fleece_backup_core::dump::Stats;
use fleece_backup_core::{Series, units};
use maud::{Markup, html};

use super::glance::{backup_anchor, called};
use crate::chart::{Chart, Panel};
use crate::figures::{Entry, Guest, Report};
use crate::sheet::icon;
use crate::words;

/// Charts in the page, each of about 4 KiB; more would make it slow, and nobody looks at thousands. The newest of each
/// guest have one.
const CHARTS: usize = 200;

/// Rows of the table behind a chart.
const ROWS: usize = 12;

/// All guests, each with its backups.
pub(super) fn all(report: &Report) -> Markup {
    let charts = CHARTS.checked_div(report.guests.len()).unwrap_or(0).max(1);
    html! {
        @for (g, guest) in report.guests.iter().enumerate() {
            section id={ "g" (g) } class="guest" {
                h2 { (icon(guest.state)) (called(guest)) }
                p class="soft" { (sentence(guest)) }
                @let some = guest.backups.iter().any(|backup| backup.stats.is_some());
                @for (b, backup) in guest.backups.iter().enumerate() {
                    (entry(&backup_anchor(g, b), backup, b < charts, b == 0 && guest.state.needs_attention()))
                }
                @if some && guest.backups.len() > charts {
                    p class="soft" { "Charts are drawn of the newest " (charts) " only; .stats.json beside each archive has them all." }
                }
            }
        }
    }
}

fn sentence(guest: &Guest) -> String {
    let every = match guest.every_nights {
        Some(1) => "Backed up every night. ".to_owned(),
        Some(nights) => format!("Backed up every {nights} nights. "),
        None => String::new(),
    };
    let next = guest
        .backups
        .iter()
        .filter_map(|backup| backup.until.as_deref());
    let next = next
        .filter(|until| until.starts_with(|c: char| c.is_ascii_digit()))
        .min();
    let goes = match next {
        Some(day) => format!("By the rules, the next one goes on {}.", until(day)),
        None => String::new(),
    };
    every + &goes
}

/// A day as people write it, or the word that it is.
fn until(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), words::date)
}

fn entry(anchor: &str, entry: &Entry, with_chart: bool, is_open: bool) -> Markup {
    let took = entry.stats.as_ref().map(|stats| seconds(stats.seconds));
    html! {
        details id=(anchor) class="backup" open[is_open] {
            summary {
                (icon(entry.state))
                span class="when" { (words::time(entry.began)) }
                span class="why" { (entry.state.word()) }
                span class="n" { (entry.size.map(units::bytes).unwrap_or_default()) }
                span class="n wide" { (took.unwrap_or_default()) }
                span class="n wide" {
                    @if let Some(slowest) = entry.slowest_us { "p99 ≤ " (words::latency(slowest)) }
                }
                span class="n wide" { @if let Some(day) = &entry.until { (kept(day)) } }
            }
            div class="inside" {
                @if let Some(stats) = &entry.stats {
                    @if with_chart && !stats.series.points().is_empty() { (felt(stats)) }
                }
                (facts(entry))
            }
        }
    }
}

fn kept(day: &str) -> String {
    match day {
        "next prune" => "goes next".to_owned(),
        "later" | "stays" => "stays".to_owned(),
        day => format!("until {}", until(day)),
    }
}

/// The chart, and the same as a table.
fn felt(stats: &Stats) -> Markup {
    let panel = Panel {
        title: "latency of the guest's writes: median to 99th percentile".into(),
        felt: stats.series.points().iter().map(Into::into).collect(),
        before_us: stats.before_us,
    };
    html! {
        figure { (Chart::new(vec![panel]).inline()) }
        details class="numbers" {
            summary { "The same as a table" }
            (table(&stats.series.thinned(ROWS)))
        }
    }
}

fn table(series: &Series) -> Markup {
    let latency = |micros: Option<u64>| micros.map_or_else(|| "–".into(), words::latency);
    html! {
        div class="scroll" {
            table {
                thead {
                    tr {
                        @for title in ["Until", "Writes", "Median", "99th percentile", "Read", "Written", "Reads at once", "Fleecing images"] {
                            th scope="col" class="n" { (title) }
                        }
                    }
                }
                tbody {
                    @for point in series.points() {
                        tr {
                            td class="n" { (seconds(point.until)) }
                            td class="n" { (point.writes) }
                            td class="n" { (latency(point.p50_us)) }
                            td class="n" { (latency(point.p99_us)) }
                            td class="n" { (units::bytes(point.rate)) "/s" }
                            td class="n" { (units::bytes(point.write_rate)) "/s" }
                            td class="n" { (format!("{:.1}", point.depth)) }
                            td class="n" { (point.fleecing.map_or_else(|| "–".into(), units::bytes)) }
                        }
                    }
                }
            }
        }
    }
}

fn facts(entry: &Entry) -> Markup {
    let stats = entry.stats.as_ref();
    let ms = |millis: f64| format!("{millis:.1} ms");
    let mut facts: Vec<(&str, String)> =
        vec![("State", format!("{}: {}", entry.state.word(), entry.why))];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("Archive", entry.file.clone());
    add("Notes", entry.notes.clone());
    add(
        "Kept",
        entry.verdict.clone().map(|verdict| match &entry.until {
            Some(day) => format!("{verdict}; {}", kept(day)),
            None => verdict,
        }),
    );
    add(
        "Own bytes",
        entry
            .own
            .filter(|own| Some(*own) < entry.size)
            .map(units::bytes),
    );
    if let Some(stats) = stats {
        add("Took", Some(seconds(stats.seconds)));
        add(
            "Disks",
            stats.disks.map(|disks| {
                let zero = stats.zero.unwrap_or(0);
                format!(
                    "{}, of which {} zero",
                    units::bytes(disks),
                    units::bytes(zero)
                )
            }),
        );
        add(
            "Read of the guest",
            Some(units::bytes(stats.read_of_guest.unwrap_or(stats.read))),
        );
        add(
            "Taken from the earlier archive",
            stats
                .read_of_archive
                .filter(|bytes| *bytes > 0)
                .map(units::bytes),
        );
        add(
            "Shared with the earlier archive",
            stats.shared.filter(|bytes| *bytes > 0).map(units::bytes),
        );
        add("Switch", stats.switch_ms.map(ms));
        add("Guest stood still", stats.paused_ms.map(ms));
        add("File systems frozen", stats.frozen_ms.map(ms));
        add(
            "Guest was down",
            stats.down_ms.map(|down| seconds(down / 1000.0)),
        );
        add(
            "Fleecing images, at most",
            stats.fleecing_peak.map(|peak| match stats.fleecing_limit {
                Some(limit) => format!("{} of {}", units::bytes(peak), units::bytes(limit)),
                None => units::bytes(peak),
            }),
        );
    }
    html! {
        dl {
            @for (name, value) in facts { div { dt { (name) } dd { (value) } } }
        }
        @if let Some(stats) = stats {
            @if !stats.warning_texts.is_empty() {
                p class="soft" { (units::count(usize::try_from(stats.warnings).unwrap_or(usize::MAX), "warning", "warnings")) }
                ul { @for text in &stats.warning_texts { li { (text) } } }
            }
        }
    }
}

fn seconds(seconds: f64) -> String {
    let duration = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    match seconds {
        0.0..10.0 => format!("{seconds:.1} s"),
        _ => units::duration(duration),
    }
}
