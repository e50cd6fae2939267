//! What is shown in the end.

use std::fmt;
use std::time::Duration;

use fleece_backup_core::units;
use fleece_report::{Chart, Panel};
use serde_json::{Value, json};

use super::phases::{Backup, Phase};
use crate::cli::demo::Demo;

/// The three acts, side by side.
pub(super) struct Table([Phase; 3]);

const NAMES: [&str; 3] = ["(a) no backup", "(b) no fleecing", "(c) fleecing"];

impl Table {
    pub(super) fn new(phases: [Phase; 3]) -> Self {
        Self(phases)
    }

    /// As one object: times in seconds, sizes in bytes, rates in bytes per second.
    pub(super) fn to_json(&self, arguments: &Demo, equal: bool) -> Value {
        let [alone, straight, fleeced] = self.0.each_ref().map(phase_to_json);
        json!({
            "size": arguments.size,
            "target_speed": arguments.target_speed,
            "guest_speed": arguments.guest_speed,
            "no_backup": alone,
            "no_fleecing": straight,
            "fleecing": fleeced,
            "restored_equal": equal,
        })
    }
}

impl Table {
    /// What the guest felt in each act.
    pub(super) fn chart(&self) -> Chart {
        let panels = NAMES.iter().zip(&self.0).map(|(name, phase)| Panel {
            title: (*name).to_owned(),
            felt: phase.guest.felt.clone(),
            before_us: None,
        });
        Chart::new(panels.collect())
    }

    /// The rows, the first of which has the names.
    fn rows(&self) -> Vec<[String; 4]> {
        let row = |name: &str, [a, b, c]: [String; 3]| [name.to_owned(), a, b, c];
        let each = |of: &dyn Fn(&Phase) -> String| self.0.each_ref().map(of);
        let latency = |share| each(&|phase| millis(phase.guest.latency(share)));
        let peak = |phase: &Phase| {
            let peak = phase.backup.and_then(|backup| backup.fleecing_peak);
            peak.map_or_else(none, units::bytes)
        };
        vec![
            row("", NAMES.map(str::to_owned)),
            row("guest's writes, median", latency(0.5)),
            row("  99 of 100 within", latency(0.99)),
            row("  slowest", latency(1.0)),
            row("guest writes", each(&|phase| units::rate(rate(phase)))),
            row("backup", each(&ending)),
            row("fleecing images, at most", each(&peak)),
        ]
    }

    /// A page of both.
    pub(super) fn page(&self, about: &str) -> String {
        fleece_report::chart_page(
            "What a backup costs a guest",
            about,
            &self.chart(),
            &self.rows(),
        )
    }
}

fn phase_to_json(phase: &Phase) -> Value {
    let guest = &phase.guest;
    json!({
        "guest": {
            "writes": guest.latency.len(),
            "p50": guest.latency(0.5).as_secs_f64(),
            "p99": guest.latency(0.99).as_secs_f64(),
            "max": guest.latency(1.0).as_secs_f64(),
            "rate": rate(phase),
            "seconds": phase.guest.time.as_secs_f64(),
        },
        "backup": phase.backup.map(|backup| json!({
            "seconds": backup.took.as_secs_f64(),
            "done_percent": backup.done,
            "fleecing_peak": backup.fleecing_peak,
        })),
    })
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for [name, a, b, c] in self.rows() {
            writeln!(f, "{name:26}{a:>18}{b:>18}{c:>18}")?;
        }
        Ok(())
    }
}

fn ending(phase: &Phase) -> String {
    match phase.backup {
        None => none(),
        Some(Backup {
            took, done: 100, ..
        }) => format!("{:.1} s", took.as_secs_f64()),
        Some(Backup { done, .. }) => format!("stopped at {done}%"),
    }
}

/// Bytes per second.
fn rate(phase: &Phase) -> f64 {
    units::speed(phase.guest.bytes, phase.guest.time)
}

fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

fn none() -> String {
    "-".into()
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::super::load::Measured;
    use super::*;

    fn phase(millis: u64, backup: Option<Backup>) -> Phase {
        let mut latency = Histogram::new(5).unwrap();
        latency.record(millis.saturating_mul(1_000_000)).unwrap();
        let guest = Measured {
            latency,
            bytes: 3 << 20,
            time: Duration::from_secs(2),
            felt: Vec::new(),
        };
        Phase { guest, backup }
    }

    fn backup(done: u64, fleecing_peak: Option<u64>) -> Option<Backup> {
        Some(Backup {
            took: Duration::from_millis(17_440),
            done,
            fleecing_peak,
        })
    }

    #[test]
    fn the_table_tells_what_was_measured_and_what_was_stopped() {
        let table = Table::new([
            phase(1, None),
            phase(120, backup(12, None)),
            phase(2, backup(100, Some(5 << 20))),
        ]);
        let expected = [
            "                               (a) no backup   (b) no fleecing      (c) fleecing\n",
            "guest's writes, median               1.00 ms         120.00 ms           2.00 ms\n",
            "  99 of 100 within                   1.00 ms         120.00 ms           2.00 ms\n",
            "  slowest                            1.00 ms         120.00 ms           2.00 ms\n",
            "guest writes                      1.50 MiB/s        1.50 MiB/s        1.50 MiB/s\n",
            "backup                                     -    stopped at 12%            17.4 s\n",
            "fleecing images, at most                   -                 -          5.00 MiB\n",
        ];
        assert_eq!(table.to_string(), expected.concat());
    }
}
