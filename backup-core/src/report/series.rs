//! What a guest felt over the time of its backup, in a bounded number of points.

use serde::{Deserialize, Serialize};

use crate::report::Progress;

/// An hour at one point a second is thinned out to this many and no fewer than half of them: as many as a
/// screen shows, in about 40 KiB of text.
pub(crate) const MAX_POINTS: usize = 600;

/// A stretch of time; it begins where the one before it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// When it ends, in seconds since the first read.
    pub until: f64,
    /// Writes and flushes of the guest.
    pub writes: u64,
    /// What half of them took at most, in microseconds.
    pub p50_us: Option<u64>,
    /// What 99 of 100 took at most, in microseconds.
    pub p99_us: Option<u64>,
    /// Bytes of disks dealt with per second, zeroes included.
    pub rate: u64,
    /// Bytes of archive written per second.
    pub write_rate: u64,
    /// Reads in flight; below one there are pauses.
    pub depth: f64,
    /// Bytes that the fleecing images held.
    pub fleecing: Option<u64>,
}

/// Points in the order of time. When there are too many, neighbours become one, which keeps the highest of
/// their latencies and fills: what is thinned out is detail, never what was worst.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Columns", into = "Columns")]
pub struct Series {
    points: Vec<Point>,
    /// How many looks become one point.
    looks_each: usize,
    /// How many the last point has.
    looks: usize,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            looks_each: 1,
            looks: 0,
        }
    }
}

impl Series {
    /// The points.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Adds what was seen at one look. One that does not come after the last one is left out.
    pub fn push(&mut self, progress: &Progress) {
        let point = Point::of(progress);
        let before = self.begin(self.points.len());
        if point.until <= before {
            return;
        }
        let begin = self.begin(self.points.len().saturating_sub(1));
        match self.points.last_mut() {
            Some(last) if self.looks < self.looks_each => {
                *last = last.and(point, last.until - begin, point.until - last.until);
                self.looks = self.looks.saturating_add(1);
            }
            _ => {
                if self.points.len() >= MAX_POINTS {
                    self.thin(self.points.len().div_ceil(2));
                    self.looks_each = self.looks_each.saturating_mul(2);
                }
                self.points.push(point);
                self.looks = 1;
            }
        }
    }

    /// The same in at most so many points.
    #[must_use]
    pub fn thinned(&self, most: usize) -> Self {
        let mut thinned = self.clone();
        thinned.thin(most);
        thinned
    }

    /// Makes groups of neighbours, as equal in number as can be, one point each.
    fn thin(&mut self, most: usize) {
        let each = self.points.len().div_ceil(most.max(1)).max(1);
        let mut begin = 0.0;
        let mut thinned = Vec::with_capacity(most);
        for group in self.points.chunks(each) {
            let mut points = group.iter();
            let Some(mut whole) = points.next().copied() else {
                continue;
            };
            for point in points {
                whole = whole.and(*point, whole.until - begin, point.until - whole.until);
            }
            begin = whole.until;
            thinned.push(whole);
        }
        self.points = thinned;
    }

    /// When a point begins.
    fn begin(&self, point: usize) -> f64 {
        let before = point.checked_sub(1).and_then(|n| self.points.get(n));
        before.map_or(0.0, |point| point.until)
    }
}

impl Point {
    fn of(progress: &Progress) -> Self {
        let latency = progress.latency;
        Self {
            until: rounded(progress.elapsed.as_secs_f64(), 1000.0),
            writes: latency.map_or(0, |latency| latency.writes),
            p50_us: latency.map(|latency| micros(latency.median)),
            p99_us: latency.map(|latency| micros(latency.slow)),
            rate: whole(progress.rate),
            write_rate: whole(progress.write_rate),
            depth: rounded(progress.depth, 100.0),
            fleecing: progress.fleecing,
        }
    }

    /// This and the next one, which last so long: counts add up, rates are means, the rest is the highest.
    fn and(self, next: Self, mine: f64, its: f64) -> Self {
        let mean = |one: f64, other: f64| (one * mine + other * its) / (mine + its);
        let rate = |one: u64, other: u64| whole(mean(float(one), float(other)));
        Self {
            until: next.until,
            writes: self.writes.saturating_add(next.writes),
            p50_us: self.p50_us.max(next.p50_us),
            p99_us: self.p99_us.max(next.p99_us),
            rate: rate(self.rate, next.rate),
            write_rate: rate(self.write_rate, next.write_rate),
            depth: rounded(mean(self.depth, next.depth), 100.0),
            fleecing: self.fleecing.max(next.fleecing),
        }
    }
}

/// What takes longer than anybody counts, and for ever, is told as this: a minute.
const LONGEST_MICROS: u64 = 60_000_000;

/// A latency in whole microseconds.
pub(crate) fn micros(latency: std::time::Duration) -> u64 {
    u64::try_from(latency.as_micros()).map_or(LONGEST_MICROS, |micros| micros.min(LONGEST_MICROS))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate: what is not a number or below zero becomes 0"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

#[expect(clippy::cast_precision_loss, reason = "a rate has few digits")]
fn float(rate: u64) -> f64 {
    rate as f64
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// The form in files: a list for each quantity, all of one length.
#[derive(Serialize, Deserialize)]
struct Columns {
    until: Vec<f64>,
    writes: Vec<u64>,
    p50_us: Vec<Option<u64>>,
    p99_us: Vec<Option<u64>>,
    rate: Vec<u64>,
    write_rate: Vec<u64>,
    depth: Vec<f64>,
    fleecing: Vec<Option<u64>>,
}

impl From<Series> for Columns {
    fn from(series: Series) -> Self {
        fn column<T>(points: &[Point], of: impl Fn(&Point) -> T) -> Vec<T> {
            points.iter().map(of).collect()
        }
        let points = &series.points;
        Self {
            until: column(points, |point| point.until),
            writes: column(points, |point| point.writes),
            p50_us: column(points, |point| point.p50_us),
            p99_us: column(points, |point| point.p99_us),
            rate: column(points, |point| point.rate),
            write_rate: column(points, |point| point.write_rate),
            depth: column(points, |point| point.depth),
            fleecing: column(points, |point| point.fleecing),
        }
    }
}

impl TryFrom<Columns> for Series {
    type Error = &'static str;

    fn try_from(columns: Columns) -> Result<Self, &'static str> {
        let count = columns.until.len();
        let lengths = [
            columns.writes.len(),
            columns.p50_us.len(),
            columns.p99_us.len(),
            columns.rate.len(),
            columns.write_rate.len(),
            columns.depth.len(),
            columns.fleecing.len(),
        ];
        if count > MAX_POINTS || lengths.iter().any(|length| *length != count) {
            return Err("the lists of a series have one length, of at most 600");
        }
        let mut before = 0.0;
        let mut points = Vec::with_capacity(count);
        let mut writes = columns.writes.into_iter();
        let mut p50 = columns.p50_us.into_iter();
        let mut p99 = columns.p99_us.into_iter();
        let mut rate = columns.rate.into_iter();
        let mut write_rate = columns.write_rate.into_iter();
        let mut depth = columns.depth.into_iter();
        let mut fleecing = columns.fleecing.into_iter();
        for until in columns.until {
            let point = Point {
                until,
                writes: writes.next().unwrap_or_default(),
                p50_us: p50.next().flatten(),
                p99_us: p99.next().flatten(),
                rate: rate.next().unwrap_or_default(),
                write_rate: write_rate.next().unwrap_or_default(),
                depth: depth.next().unwrap_or_default(),
                fleecing: fleecing.next().flatten(),
            };
            if !(until.is_finite() && until > before && point.depth.is_finite()) {
                return Err("the points of a series come one after the other");
            }
            before = until;
            points.push(point);
        }
        Ok(Self {
            points,
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::pace::latency::WriteLatency;

    fn look(second: u64, slow: u64, fleecing: u64, rate: f64) -> Progress {
        Progress {
            elapsed: Duration::from_secs(second),
            latency: Some(WriteLatency {
                writes: 10,
                slow: Duration::from_micros(slow),
                median: Duration::from_micros(slow / 2),
                mean: Duration::ZERO,
            }),
            fleecing: Some(fleecing),
            rate,
            depth: 1.0,
            ..Progress::default()
        }
    }

    #[test]
    fn a_long_backup_is_thinned_out_and_keeps_what_was_worst() {
        let mut series = Series::default();
        for second in 1..=7201 {
            let slow = if second == 3333 { 90_000 } else { 200 };
            series.push(&look(second, slow, second, 50.0));
            assert!(series.points().len() <= MAX_POINTS);
        }
        let points = series.points();
        assert!(points.len() > MAX_POINTS / 2, "{}", points.len());
        assert_eq!(points.last().map(|point| point.until), Some(7201.0));
        let slowest: Vec<_> = points
            .iter()
            .filter(|point| point.p99_us == Some(90_000))
            .collect();
        assert_eq!(slowest.len(), 1);
        assert!((slowest[0].until - 3333.0).abs() < 16.0);
        assert_eq!(points.iter().map(|point| point.writes).sum::<u64>(), 72_010);
        assert!(points.iter().all(|point| point.rate == 50));
        // All but the last are of one width.
        let widths = points.windows(2).map(|two| two[1].until - two[0].until);
        let widths: Vec<f64> = widths.take(points.len() - 2).collect();
        assert!(widths.iter().all(|width| (width - widths[0]).abs() < 1e-9));
    }

    #[test]
    fn rates_of_stretches_that_become_one_are_weighed_by_their_length() {
        let mut series = Series::default();
        series.push(&look(1, 100, 5, 100.0));
        series.push(&look(4, 300, 2, 20.0));
        let one = series.thinned(1);
        let point = one.points()[0];
        assert_eq!((one.points().len(), point.until, point.rate), (1, 4.0, 40));
        assert_eq!(
            (point.p50_us, point.p99_us, point.fleecing),
            (Some(150), Some(300), Some(5))
        );
        assert_eq!(series.thinned(2), series);
        assert!(Series::default().thinned(0).points().is_empty());
    }

    #[test]
    fn time_that_does_not_go_on_and_latencies_without_end_do_no_harm() {
        let mut series = Series::default();
        let mut forever = look(2, 0, 0, f64::NAN);
        forever.latency = Some(WriteLatency {
            writes: 1,
            slow: Duration::MAX,
            median: Duration::MAX,
            mean: Duration::MAX,
        });
        series.push(&forever);
        series.push(&look(2, 1, 1, 1.0));
        series.push(&look(0, 1, 1, 1.0));
        assert_eq!(series.points().len(), 1);
        assert_eq!(series.points()[0].p99_us, Some(60_000_000));
        let text = serde_json::to_string(&series).unwrap();
        let read: Series = serde_json::from_str(&text).unwrap();
        assert_eq!(read.points(), series.points());
    }

    #[test]
    fn lists_that_do_not_fit_together_are_no_series() {
        let mut series = Series::default();
        series.push(&look(1, 1, 1, 1.0));
        series.push(&look(2, 1, 1, 1.0));
        let text = serde_json::to_string(&series).unwrap();
        assert!(serde_json::from_str::<Series>(&text).is_ok());
        for (from, to) in [
            ("[1.0,2.0]", "[1.0]"),
            ("[1.0,2.0]", "[2.0,1.0]"),
            ("[1.0,2.0]", "[-1.0,1.0]"),
            ("[1.0,2.0]", "[1.0,1e999]"),
        ] {
            let wrong = text.replacen(from, to, 1);
            assert_ne!(wrong, text);
            assert!(serde_json::from_str::<Series>(&wrong).is_err(), "{wrong}");
        }
    }
}
