//! Measurements side by side with peers, in one run, as ratios of medians.
//!
//! Each program in `src/bin` prints its own table; `cargo run --release -p fleece-benches --bin NAME`
//! after `cargo xtask lab`. Criterion benchmarks are in `benches/`.

use std::time::Duration;

/// The median; of an even number the lower of the middle two.
#[must_use]
pub fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times
        .get(times.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_outliers() {
        let times = [9, 1, 2, 3, 500].map(Duration::from_secs);
        assert_eq!(median(&times), Duration::from_secs(3));
    }
}
