//! What guests felt over time, as SVG.
//!
//! The paths are made here rather than by a plotting crate. `plotters` 0.3, with three crates below it, writes a colour as a
//! number into each element (`plotters-svg`, `make_svg_color`) and knows neither classes nor titles: a drawing of its cannot
//! follow the reader's light or dark scheme, nor be read aloud. `charming` 0.6 draws by ECharts: scripts in the page, or 151
//! crates with a JavaScript engine in the program. What is needed are two scales and two kinds of line.

use fleece_backup_core::{Point, units};
use maud::{Markup, PreEscaped, html};

use crate::words;

/// Points that a chart shows; more cannot be told apart at its width.
const MOST: usize = 120;

/// A stretch of time in a chart; it begins where the one before it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "what is drawn")]
pub struct Felt {
    /// When it ends, in seconds.
    pub until: f64,
    /// What half of the writes took at most, in microseconds.
    pub p50_us: Option<u64>,
    /// What 99 of 100 of them took at most.
    pub p99_us: Option<u64>,
    /// Bytes that the fleecing images held.
    pub fleecing: Option<u64>,
}

impl From<&Point> for Felt {
    fn from(point: &Point) -> Self {
        Self {
            until: point.until,
            p50_us: point.p50_us,
            p99_us: point.p99_us,
            fleecing: point.fleecing,
        }
    }
}

/// One backup, or a time without one.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "what is drawn")]
pub struct Panel {
    /// What is said above it.
    pub title: String,
    /// What was felt, in the order of time.
    pub felt: Vec<Felt>,
    /// What 99 of 100 writes took before, in microseconds.
    pub before_us: Option<u64>,
}

/// Panels side by side, on one scale of latencies and one of fill.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    panels: Vec<Panel>,
}

// Sizes in pixels at the chart's own width.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 10.0;
const TITLE: f64 = 22.0;
const LATENCY: f64 = 120.0;
const BETWEEN: f64 = 24.0;
const FILL: f64 = 40.0;
const AXIS: f64 = 20.0;
const GAP: f64 = 18.0;
const WIDTH: f64 = 680.0;

const LATENCY_BOTTOM: f64 = TITLE + LATENCY;
const FILL_BOTTOM: f64 = LATENCY_BOTTOM + BETWEEN + FILL;

impl Chart {
    /// A chart of these, thinned out where there are many points.
    #[must_use]
    pub fn new(mut panels: Vec<Panel>) -> Self {
        for panel in &mut panels {
            panel
                .felt
                .retain(|felt| felt.until.is_finite() && felt.until > 0.0);
            let each = panel.felt.len().div_ceil(MOST).max(1);
            let groups = panel.felt.chunks(each);
            panel.felt = groups
                .filter_map(|group| group.iter().copied().reduce(highest))
                .collect();
        }
        Self { panels }
    }

    /// A file of its own, which follows the reader's light or dark scheme.
    #[must_use]
    pub fn svg(&self) -> String {
        let style = include_str!("page/chart.css");
        let colours = include_str!("page/colours.css");
        // Both are ours.
        let style = html! { style { (PreEscaped(colours)) (PreEscaped(style)) ".paper{fill:var(--paper)}" } };
        self.draw(Some(&style)).into_string() + "\n"
    }

    /// A part of a page that has the styles.
    pub(crate) fn inline(&self) -> Markup {
        self.draw(None)
    }

    fn draw(&self, style: Option<&Markup>) -> Markup {
        let height = FILL_BOTTOM + AXIS;
        let count = float(self.panels.len().max(1));
        let width = (WIDTH - LEFT - RIGHT - GAP * (count - 1.0)) / count;
        let scale = Scale::of(&self.panels);
        let fill = self.fill();
        let panels = self.panels.iter().enumerate();
        html! {
            svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label=(self.summary())
                viewBox={ "0 0 " (WIDTH) " " (height) } {
                @if let Some(style) = style {
                    (style)
                    rect class="paper" width=(WIDTH) height=(height) {}
                }
                @for (micros, label) in scale.lines() {
                    text class="tick end" x=(LEFT - 6.0) y=(px(scale.y(micros) + 4.0)) { (label) }
                }
                @if let Some(fill) = fill {
                    text class="tick end" x=(LEFT - 6.0) y=(px(FILL_BOTTOM - FILL + 4.0)) { (size(fill)) }
                    text class="tick end" x=(LEFT - 6.0) y=(px(FILL_BOTTOM + 4.0)) { "0" }
                }
                @for (n, panel) in panels {
                    g transform={ "translate(" (px(LEFT + (width + GAP) * float(n))) " 0)" } {
                        (panel.draw(width, &scale, fill))
                    }
                }
            }
        }
    }

    /// The highest fill of all panels.
    fn fill(&self) -> Option<u64> {
        let felt = self.panels.iter().flat_map(|panel| &panel.felt);
        felt.filter_map(|felt| felt.fleecing)
            .max()
            .filter(|fill| *fill > 0)
    }

    /// The same in words.
    fn summary(&self) -> String {
        let panels: Vec<String> = self.panels.iter().map(Panel::summary).collect();
        panels.join("; ")
    }
}

impl Panel {
    fn summary(&self) -> String {
        let most = |of: fn(&Felt) -> Option<u64>| self.felt.iter().filter_map(of).max();
        let mut text = match most(|felt| felt.p99_us) {
            None => format!("{}: no writes", self.title),
            Some(p99) => format!(
                "{}: 99 of 100 writes took at most {}",
                self.title,
                words::latency(p99)
            ),
        };
        if let Some(before) = self.before_us {
            text.push_str(&format!(", before {}", words::latency(before)));
        }
        if let Some(fill) = most(|felt| felt.fleecing) {
            text.push_str(&format!(
                ", fleecing images held at most {}",
                units::bytes(fill)
            ));
        }
        text
    }

    fn draw(&self, width: f64, scale: &Scale, fill: Option<u64>) -> Markup {
        let end = self.felt.last().map_or(1.0, |felt| felt.until);
        let x = |seconds: f64| seconds / end * width;
        let stretches = self.stretches();
        let band = |of: &[(f64, f64, u64, u64)]| {
            let there = of
                .iter()
                .flat_map(|(from, until, _, p99)| [(*from, *p99), (*until, *p99)]);
            let back = of
                .iter()
                .rev()
                .flat_map(|(from, until, p50, _)| [(*until, *p50), (*from, *p50)]);
            let points = there
                .chain(back)
                .map(|(seconds, micros)| (x(seconds), scale.y(micros)));
            path(points) + "Z"
        };
        let line = |of: &[(f64, f64, u64, u64)]| {
            let points = of
                .iter()
                .flat_map(|(from, until, _, p99)| [(*from, *p99), (*until, *p99)]);
            path(points.map(|(seconds, micros)| (x(seconds), scale.y(micros))))
        };
        let bands: String = stretches.iter().map(|stretch| band(stretch)).collect();
        let lines: String = stretches.iter().map(|stretch| line(stretch)).collect();
        let axis = |bottom: f64| format!("M0 {0}H{1}", px(bottom), px(width));
        html! {
            text class="title" x="0" y="12" { (self.title) }
            @for (micros, _) in scale.lines() {
                path class="grid" d=(axis(scale.y(micros))) {}
            }
            @if !bands.is_empty() {
                path class="band" d=(bands) {}
                path class="line" d=(lines) {}
            }
            @if let Some(before) = self.before_us {
                path class="before" d=(axis(scale.y(before))) { title { "before the backup: " (words::latency(before)) } }
            }
            @if let Some(fill) = fill.filter(|_| self.felt.iter().any(|felt| felt.fleecing.is_some())) {
                path class="fill" d=(self.area(x, fill)) {}
                path class="grid" d=(axis(FILL_BOTTOM)) {}
                text class="tick" x="0" y=(px(FILL_BOTTOM - FILL - 6.0)) { "fleecing images" }
            }
            @for second in ticks(end) {
                @let place = x(float(second));
                path class="grid" d={ "M" (px(place)) " " (FILL_BOTTOM) "v4" } {}
                text class={ "tick " (if second == 0 { "" } else { "middle" }) } x=(px(place)) y=(px(FILL_BOTTOM + 16.0)) {
                    (duration(second))
                }
            }
        }
    }

    /// Neighbouring times in which there were writes: from, until, and the two latencies.
    fn stretches(&self) -> Vec<Vec<(f64, f64, u64, u64)>> {
        let mut stretches = vec![Vec::new()];
        let mut from = 0.0;
        for felt in &self.felt {
            match (felt.p50_us, felt.p99_us, stretches.last_mut()) {
                (Some(p50), Some(p99), Some(stretch)) => stretch.push((from, felt.until, p50, p99)),
                _ => stretches.push(Vec::new()),
            }
            from = felt.until;
        }
        stretches.retain(|stretch| !stretch.is_empty());
        stretches
    }

    fn area(&self, x: impl Fn(f64) -> f64, most: u64) -> String {
        let y = |fill: u64| FILL_BOTTOM - long(fill) / long(most) * FILL;
        let points = self
            .felt
            .iter()
            .map(|felt| (x(felt.until), y(felt.fleecing.unwrap_or(0))));
        let end = self.felt.last().map_or(0.0, |felt| x(felt.until));
        path(
            [(0.0, FILL_BOTTOM)]
                .into_iter()
                .chain(points)
                .chain([(end, FILL_BOTTOM)]),
        ) + "Z"
    }
}

fn highest(one: Felt, next: Felt) -> Felt {
    Felt {
        until: next.until,
        p50_us: one.p50_us.max(next.p50_us),
        p99_us: one.p99_us.max(next.p99_us),
        fleecing: one.fleecing.max(next.fleecing),
    }
}

/// Latencies by their powers of ten: of these, a guest feels differences, not of milliseconds.
struct Scale {
    lowest: i32,
    highest: i32,
}

impl Scale {
    fn of(panels: &[Panel]) -> Self {
        let felt = panels.iter().flat_map(|panel| &panel.felt);
        let of_panels = panels.iter().filter_map(|panel| panel.before_us);
        let all = felt
            .flat_map(|felt| [felt.p50_us, felt.p99_us])
            .flatten()
            .chain(of_panels);
        let (mut low, mut high) = (u64::MAX, 0);
        for micros in all {
            low = low.min(micros.max(1));
            high = high.max(micros);
        }
        if high == 0 {
            (low, high) = (100, 10_000);
        }
        let lowest = decade(low);
        // A latency just below a power of ten needs the line above it; that of one alone, too.
        let highest = decade(high).saturating_add(1).max(lowest.saturating_add(2));
        Self { lowest, highest }
    }

    fn y(&self, micros: u64) -> f64 {
        let decades = long(micros.max(1)).log10() - f64::from(self.lowest);
        LATENCY_BOTTOM - decades / f64::from(self.highest.saturating_sub(self.lowest)) * LATENCY
    }

    /// The powers of ten, with what they are called.
    fn lines(&self) -> Vec<(u64, &'static str)> {
        const NAMES: [&str; 9] = [
            "1 µs", "10 µs", "0.1 ms", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s",
        ];
        let powers = (self.lowest..=self.highest).filter_map(|power| {
            let power = u32::try_from(power).ok()?;
            let name = NAMES.get(usize::try_from(power).ok()?)?;
            Some((10_u64.checked_pow(power)?, *name))
        });
        powers.collect()
    }
}

/// The power of ten at or below.
fn decade(micros: u64) -> i32 {
    micros
        .checked_ilog10()
        .and_then(|power| i32::try_from(power).ok())
        .unwrap_or(0)
}

/// Full seconds, minutes or hours, at most six of them, from 0 on.
fn ticks(end: f64) -> Vec<u64> {
    const STEPS: [u64; 16] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 86_400,
    ];
    let step = STEPS.into_iter().find(|step| end / float64(*step) <= 5.0);
    let Some(step) = step else {
        return vec![0];
    };
    (0..=5_u64)
        .map(|n| n.saturating_mul(step))
        .filter(|second| float64(*second) <= end * 0.97)
        .collect()
}

fn duration(seconds: u64) -> String {
    match seconds {
        0 => "0".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// Bytes in as few characters as an axis has room for.
fn size(bytes: u64) -> String {
    let text = units::bytes(bytes);
    match text.split_once(' ') {
        Some((number, unit)) if number.len() > 4 => {
            let whole = number.split('.').next().unwrap_or(number);
            format!("{whole} {unit}")
        }
        _ => text,
    }
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut d = String::new();
    for (n, (x, y)) in points.enumerate() {
        d.push(if n == 0 { 'M' } else { 'L' });
        d.push_str(&format!("{} {}", px(x), px(y)));
    }
    d
}

/// A place to a tenth of a pixel.
fn px(place: f64) -> f64 {
    (place * 10.0).round() / 10.0
}

fn float(number: impl TryInto<u32>) -> f64 {
    number.try_into().map_or(f64::MAX, f64::from)
}

fn float64(number: u64) -> f64 {
    float(number)
}

#[expect(clippy::cast_precision_loss, reason = "a place in a drawing")]
fn long(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(latencies: &[Option<u64>]) -> Panel {
        let felt = latencies.iter().enumerate().map(|(n, latency)| Felt {
            until: float(n + 1),
            p50_us: latency.map(|latency| latency / 2),
            p99_us: *latency,
            fleecing: Some(n as u64 * 1000),
        });
        Panel {
            title: "one".into(),
            felt: felt.collect(),
            before_us: Some(80),
        }
    }

    fn panels(latencies: &[Option<u64>]) -> String {
        Chart::new(vec![panel(latencies)]).svg()
    }

    #[test]
    fn a_time_without_writes_is_a_gap_and_not_a_zero() {
        let svg = panels(&[Some(100), Some(200), None, Some(100)]);
        let line = svg
            .split("class=\"line\" d=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert_eq!(line.matches('M').count(), 2, "{line}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn every_latency_is_within_its_scale() {
        for latencies in [
            &[Some(1), Some(60_000_000)][..],
            &[Some(100)],
            &[Some(99_999)],
            &[],
            &[None],
            &[Some(0)],
        ] {
            let chart = Chart::new(vec![panel(latencies)]);
            let scale = Scale::of(&chart.panels);
            assert!(scale.lines().len() >= 3, "{latencies:?}");
            for micros in latencies.iter().flatten() {
                let y = scale.y(*micros);
                assert!((TITLE..=LATENCY_BOTTOM).contains(&y), "{micros}: {y}");
            }
            assert!(!chart.svg().contains("NaN"));
        }
    }

    #[test]
    fn many_points_are_thinned_out_and_the_worst_one_stays() {
        let mut latencies = vec![Some(100); 600];
        latencies[333] = Some(90_000);
        let chart = Chart::new(vec![panel(&latencies)]);
        assert_eq!(chart.panels[0].felt.len(), MOST);
        assert!(
            chart.summary().contains("at most 90.0 ms"),
            "{}",
            chart.summary()
        );
        assert!(chart.svg().len() < 12_000, "{}", chart.svg().len());
    }

    #[test]
    fn an_axis_of_time_has_a_few_round_numbers() {
        assert_eq!(ticks(0.4), [0]);
        assert_eq!(ticks(5.2), [0, 2, 4]);
        assert_eq!(ticks(17.0), [0, 5, 10, 15]);
        assert_eq!(ticks(3600.0), [0, 900, 1800, 2700]);
        assert_eq!(ticks(1e9), [0]);
        let named = [0, 5, 90, 900, 7200].map(duration);
        assert_eq!(named, ["0", "5 s", "1:30 min", "15 min", "2 h"]);
        assert_eq!([330 << 20, 5 << 30].map(size), ["330 MiB", "5.00 GiB"]);
    }

    #[test]
    fn titles_are_text() {
        let mut hostile = panel(&[Some(1)]);
        hostile.title = "</text><script>alert(1)</script>".into();
        let svg = Chart::new(vec![hostile]).svg();
        assert!(!svg.contains("<script>"), "{svg}");
    }
}
