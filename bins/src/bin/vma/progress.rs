//! How far it is: the reference's lines, and a bar for people.

use std::io::IsTerminal;
use std::time::Instant;

use fleece_vma_format::{Device, Tally};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::failure::Result;
use super::report;
use super::report::print_text;
use fleece_bins::events;

/// Reports on reading an archive.
pub(super) struct Progress {
    verbose: bool,
    total: u64,
    percent: Option<u64>,
    begun: Instant,
    bar: ProgressBar,
}

impl Progress {
    /// `devices` are those that will be read. `verbose` prints the reference's lines; `bar` shows a
    /// bar if standard error is a terminal.
    pub(super) fn new(devices: &[&Device], verbose: bool, bar: bool) -> Self {
        let clusters: u64 = devices.iter().map(|device| device.clusters()).sum();
        let total = clusters.saturating_mul(fleece_vma_format::CLUSTER_SIZE as u64);
        Self {
            verbose,
            total,
            percent: None,
            begun: Instant::now(),
            bar: progress_bar(total, bar),
        }
    }

    /// Tells that so much has been read.
    pub(super) fn update(&mut self, tally: &Tally) -> Result<()> {
        let bytes = tally.bytes();
        self.bar.set_position(bytes);
        let percent = percent(bytes, self.total);
        if report::is_events() {
            return match self.percent.replace(percent) == Some(percent) {
                true => Ok(()),
                false => report::event(&progress_event(bytes, self.total)),
            };
        }
        if self.verbose && self.percent.replace(percent) != Some(percent) {
            let seconds = self.begun.elapsed().as_secs();
            print_text(&format!(
                "progress {percent}% (read {bytes} bytes, duration {seconds} sec)\n"
            ))?;
        }
        Ok(())
    }

    /// Prints the reference's summary.
    pub(super) fn finish(&self, tally: &Tally) -> Result<()> {
        self.bar.finish_and_clear();
        if !self.verbose || report::is_events() {
            return Ok(());
        }
        let (bytes, sparse) = (tally.bytes(), tally.sparse());
        if bytes == 0 {
            return print_text("vma archive contains no image data\n");
        }
        let mut text = format!(
            "total bytes read {bytes}, sparse bytes {sparse} ({}%)\n",
            share(sparse, bytes)
        );
        let stored = bytes.saturating_sub(sparse);
        if stored > 0 {
            let saved = share(tally.zero_in_clusters(), stored);
            text.push_str(&format!("space reduction due to 4K zero blocks {saved}%\n"));
        }
        print_text(&text)
    }
}

/// How far it is, in bytes, for programs.
pub(super) fn progress_event(done: u64, total: u64) -> Value {
    events::status_of(json!({"done": done, "total": total}))
}

/// A bar with rate and time left, hidden unless `wanted` and standard error is a terminal.
pub(super) fn progress_bar(total: u64, wanted: bool) -> ProgressBar {
    if !wanted || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let line = "{bar:30} {percent}%  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
    let style = ProgressStyle::with_template(line).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

/// Whole percent, never above 100.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    match whole {
        0 => 100,
        _ => (u128::from(part) * 100)
            .checked_div(u128::from(whole))
            .map_or(100, |p| u64::try_from(p).unwrap_or(100).min(100)),
    }
}

/// Percent with three significant digits, as C's `%.3g` prints them.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn share(part: u64, whole: u64) -> String {
    three_digits(part as f64 * 100.0 / whole as f64)
}

fn three_digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    // Rounded to three digits, in the form 1.23e-4, which also tells the exponent.
    let rounded = format!("{value:.2e}");
    let (digits, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..3).contains(&exponent) {
        let places = usize::try_from(2_i32.saturating_sub(exponent)).unwrap_or(0);
        trim(&format!("{value:.places$}"))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(digits), exponent.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::{percent, three_digits};

    #[test]
    fn three_digits_are_those_of_c() {
        for (value, text) in [
            (0.0, "0"),
            (100.0, "100"),
            (71.484_375, "71.5"),
            (99.96, "100"),
            (99.94, "99.9"),
            (9.999, "10"),
            (5.0, "5"),
            (0.012_345, "0.0123"),
            (0.000_1, "0.0001"),
            (0.000_012_34, "1.23e-05"),
        ] {
            assert_eq!(three_digits(value), text);
        }
    }

    #[test]
    fn percent_stays_between_0_and_100() {
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(70_000, 65_536), 100);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }
}
