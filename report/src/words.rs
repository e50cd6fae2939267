//! How figures are worded.

use fleece_backup_core::units;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// A day of this year or another: `3 Nov 2026`.
pub(crate) fn date(date: Date) -> String {
    date.strftime("%-d %b %Y").to_string()
}

/// The local day of an instant.
pub(crate) fn day(at: Timestamp) -> String {
    date(at.to_zoned(TimeZone::system()).date())
}

/// `3 Nov 2026, 02:00`.
pub(crate) fn time(time: DateTime) -> String {
    time.strftime("%-d %b %Y, %H:%M").to_string()
}

pub(crate) fn nights(count: usize) -> String {
    units::count(count, "night", "nights")
}

/// How long ago something was, in the largest unit of which it was two: `5 hours`.
pub(crate) fn age(seconds: i64) -> String {
    let seconds = usize::try_from(seconds).unwrap_or(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours) {
        (0 | 1, 0 | 1) => units::count(minutes, "minute", "minutes"),
        (0 | 1, _) => units::count(hours, "hour", "hours"),
        _ => units::count(days, "day", "days"),
    }
}

/// A latency with three digits: `0.04 ms`, `28.3 ms`, `1.20 s`.
pub(crate) fn latency(micros: u64) -> String {
    let (millis, micros) = (micros / 1000, micros % 1000);
    match millis {
        0..10 => format!("{millis}.{:02} ms", micros / 10),
        10..100 => format!("{millis}.{} ms", micros / 100),
        100..1000 => format!("{millis} ms"),
        _ => format!("{}.{:02} s", millis / 1000, millis % 1000 / 10),
    }
}

/// `+4 %`.
pub(crate) fn change(percent: i64) -> String {
    match percent {
        0 => "±0 %".to_owned(),
        1.. => format!("+{percent} %"),
        _ => format!("−{} %", percent.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fit_their_numbers() {
        let ages = [0, 60, 7199, 7200, 90_000, 172_800, -5].map(age);
        assert_eq!(
            ages,
            [
                "0 minutes",
                "1 minute",
                "119 minutes",
                "2 hours",
                "25 hours",
                "2 days",
                "0 minutes"
            ]
        );
        let latencies = [40, 9_990, 28_310, 120_000, 1_204_000].map(latency);
        assert_eq!(
            latencies,
            ["0.04 ms", "9.99 ms", "28.3 ms", "120 ms", "1.20 s"]
        );
        assert_eq!([4, 0, -12].map(change), ["+4 %", "±0 %", "−12 %"]);
    }
}
