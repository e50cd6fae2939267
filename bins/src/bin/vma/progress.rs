//! How far it is: the reference's lines, and a bar for people.

use std::io::IsTerminal;
use std::time::Instant;

use fleece_units as units;
use fleece_vma_format::{CLUSTER_SIZE, Device, Tally};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::failure::Result;
use super::report;
use super::report::print_text;
use fleece_bins::events;

/// Reports on how far it is.
pub(super) struct Progress {
    verbose: bool,
    total: u64,
    percent: Option<u64>,
    begun: Instant,
    bar: ProgressBar,
}

impl Progress {
    /// Of `total` bytes. `verbose` prints the reference's lines; `bar` shows a bar if standard error is a terminal.
    pub(super) fn new(total: u64, verbose: bool, bar: bool) -> Self {
        Self {
            verbose,
            total,
            percent: None,
            begun: Instant::now(),
            bar: progress_bar(total, bar),
        }
    }

    /// Of reading an archive, of which `devices` will be read.
    pub(super) fn of_reading(devices: &[&Device], verbose: bool, bar: bool) -> Self {
        let clusters: u64 = devices.iter().map(|device| device.clusters()).sum();
        Self::new(clusters.saturating_mul(CLUSTER_SIZE as u64), verbose, bar)
    }

    /// Tells that so many bytes are done; `line` prints a new percentage, unless a program reads it.
    pub(super) fn advance(
        &mut self,
        done: u64,
        line: impl FnOnce(u64) -> Result<()>,
    ) -> Result<()> {
        self.bar.set_position(done);
        let percent = units::percent(done, self.total).min(100);
        if !(self.verbose || report::is_events()) || self.percent.replace(percent) == Some(percent)
        {
            return Ok(());
        }
        match report::is_events() {
            true => report::event(&events::status_of(
                json!({"done": done, "total": self.total}),
            )),
            false => line(percent),
        }
    }

    /// Tells that so much has been read.
    pub(super) fn update(&mut self, tally: &Tally) -> Result<()> {
        let (bytes, seconds) = (tally.bytes(), self.begun.elapsed().as_secs());
        self.advance(bytes, |percent| {
            print_text(&format!(
                "progress {percent}% (read {bytes} bytes, duration {seconds} sec)\n"
            ))
        })
    }

    /// Whether people want the reference's lines.
    pub(super) fn has_lines(&self) -> bool {
        self.verbose && !report::is_events()
    }

    /// Removes the bar.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Prints the reference's summary.
    pub(super) fn finish(&self, tally: &Tally) -> Result<()> {
        self.clear();
        if !self.has_lines() {
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

/// A bar with rate and time left, hidden unless `wanted` and standard error is a terminal.
fn progress_bar(total: u64, wanted: bool) -> ProgressBar {
    if !wanted || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let line = "{bar:30} {percent}%  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
    let style = ProgressStyle::with_template(line).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
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
    use super::three_digits;

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
}
