//! Nights: which a backup is of, which one was due, and which of them were missed.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::{Span, ToSpan as _, Unit};

/// How much later than by its rhythm a backup may begin before its night is called missed.
const GRACE_HOURS: i64 = 4;

/// Gaps that tell a guest's rhythm: those of a month.
const GAPS: usize = 31;

/// The night of a time, named by its morning: it lasts from noon to noon.
pub(crate) fn night(time: DateTime) -> Date {
    time.saturating_add(12.hours()).date()
}

/// The newest night to show: that of this morning, or tonight's if a backup was made already.
pub(crate) fn last(now: DateTime, newest: Option<DateTime>) -> Date {
    let newest = newest.map(night).filter(|newest| *newest <= night(now));
    newest.map_or_else(|| now.date(), |newest| newest.max(now.date()))
}

/// The nights up to `last`, so many, the oldest first.
pub(crate) fn up_to(last: Date, count: u16) -> Vec<Date> {
    let back = |days: u16| last.saturating_sub(Span::new().days(i64::from(days)));
    (0..count).rev().map(back).collect()
}

/// Nights from one run to the next, usually: the most common distance, and of those as common the shortest.
pub(crate) fn rhythm(runs: &BTreeSet<Date>) -> Option<u16> {
    let newest: Vec<Date> = runs.iter().rev().take(GAPS).copied().collect();
    let gaps = newest.windows(2).filter_map(|two| match two {
        [newer, older] => days(*older, *newer),
        _ => None,
    });
    let gaps: Vec<u16> = gaps.collect();
    let count = |gap: u16| gaps.iter().filter(|other| **other == gap).count();
    gaps.iter()
        .copied()
        .max_by_key(|gap| (count(*gap), u16::MAX.saturating_sub(*gap)))
}

/// The nights without a run on which one was due by the guest's rhythm, up to `last`. `newest` is when the last run
/// began.
pub(crate) fn missed(
    runs: &BTreeSet<Date>,
    newest: Option<DateTime>,
    last: Date,
    now: DateTime,
) -> BTreeSet<Date> {
    let (Some(every), Some(first)) = (rhythm(runs), runs.first()) else {
        return BTreeSet::new();
    };
    let never = idle_weekdays(runs, *first, last);
    let after = |from: Date, nights: u16| from.saturating_add(Span::new().days(i64::from(nights)));
    let mut missed = BTreeSet::new();
    for (run, next) in runs.iter().zip(runs.iter().skip(1)) {
        let mut due = after(*run, every);
        // A run that is nearer to the next one's night than half a rhythm is that one, late or early.
        while days(due, *next).is_some_and(|left| left.saturating_mul(2) > every) {
            missed.insert(due);
            due = after(due, every);
        }
    }
    if let (Some(run), Some(newest)) = (runs.last(), newest) {
        let mut due = after(*run, every);
        let time = |due: Date| due.to_datetime(newest.time());
        // The time of day of an evening's run is on the day before its night.
        let eve = i64::from(night(newest) != newest.date());
        let limit = |due: Date| {
            time(due)
                .saturating_sub(Span::new().days(eve))
                .saturating_add(GRACE_HOURS.hours())
        };
        while due <= last && limit(due) < now {
            missed.insert(due);
            due = after(due, every);
        }
    }
    missed.retain(|night| every > 1 || !never.contains(&number(night.weekday())));
    missed
}

/// The days of the week on which a nightly guest never ran, although there were two of each.
fn idle_weekdays(runs: &BTreeSet<Date>, first: Date, last: Date) -> BTreeSet<i8> {
    let ran: BTreeSet<i8> = runs.iter().map(|night| number(night.weekday())).collect();
    let long_enough = days(first, last).is_some_and(|days| days >= 14);
    (1..=7)
        .filter(|day| long_enough && !ran.contains(day))
        .collect()
}

fn number(weekday: Weekday) -> i8 {
    weekday.to_monday_one_offset()
}

fn days(from: Date, to: Date) -> Option<u16> {
    let span = from.until((Unit::Day, to)).ok()?;
    u16::try_from(span.get_days()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn november(days: impl IntoIterator<Item = i8>) -> BTreeSet<Date> {
        days.into_iter().map(|day| date(2026, 11, day)).collect()
    }

    fn missed_in(runs: &BTreeSet<Date>, now: DateTime) -> Vec<i8> {
        let newest = runs.last().map(|night| night.at(2, 0, 0, 0));
        let missed = missed(runs, newest, last(now, newest), now);
        missed.into_iter().map(Date::day).collect()
    }

    fn at(day: i8, hour: i8) -> DateTime {
        date(2026, 11, day).at(hour, 0, 0, 0)
    }

    #[test]
    fn an_evening_and_the_morning_after_it_are_one_night() {
        for time in [at(22, 12), at(22, 23), at(23, 2), at(23, 11)] {
            assert_eq!(night(time), date(2026, 11, 23), "{time}");
        }
        assert_eq!(last(at(23, 8), None), date(2026, 11, 23));
        assert_eq!(last(at(23, 20), None), date(2026, 11, 23));
        assert_eq!(last(at(23, 23), Some(at(23, 22))), date(2026, 11, 24));
        assert_eq!(
            last(at(23, 8), Some(at(29, 2))),
            date(2026, 11, 23),
            "a clock that was wrong"
        );
        assert_eq!(
            up_to(date(2026, 11, 2), 3),
            [date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2)]
        );
    }

    #[test]
    fn a_nightly_guest_misses_a_night_and_tonight_only_when_it_is_late() {
        let runs = november([1, 2, 3, 5, 6]);
        assert_eq!(missed_in(&runs, at(6, 8)), [4]);
        assert_eq!(missed_in(&runs, at(7, 5)), [4]);
        assert_eq!(missed_in(&runs, at(7, 7)), [4, 7]);
        assert_eq!(missed_in(&runs, at(9, 7)), [4, 7, 8, 9]);
    }

    #[test]
    fn an_evening_run_is_late_in_its_night() {
        let evenings: Vec<DateTime> = (1..=5).map(|day| at(day, 22)).collect();
        let runs: BTreeSet<Date> = evenings.iter().map(|time| night(*time)).collect();
        let newest = evenings.last().copied();
        let now = |day, hour| missed(&runs, newest, last(at(day, hour), newest), at(day, hour));
        assert!(now(6, 23).is_empty());
        assert_eq!(now(7, 3), november([7]));
    }

    #[test]
    fn a_guest_of_weekdays_rests_at_weekends_once_that_is_known() {
        // The 2nd is a Monday.
        let weeks = [2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 16, 17, 19, 20];
        assert_eq!(missed_in(&november(weeks), at(22, 20)), [18]);
        assert_eq!(missed_in(&november([2, 3, 4, 5, 6]), at(8, 20)), [7, 8]);
    }

    #[test]
    fn a_weekly_guest_is_missed_once_a_week_and_may_come_a_day_late() {
        let runs = november([1, 8, 16, 23]);
        assert_eq!(missed_in(&runs, at(29, 20)), Vec::<i8>::new());
        assert_eq!(missed_in(&runs, at(30, 20)), [30]);
        assert_eq!(missed_in(&november([1, 8, 22]), at(23, 0)), [15]);
    }

    #[test]
    fn what_has_no_rhythm_misses_nothing() {
        assert_eq!(rhythm(&november([4])), None);
        assert!(missed_in(&november([4]), at(20, 0)).is_empty());
        assert!(missed_in(&november([]), at(20, 0)).is_empty());
        assert_eq!(rhythm(&november([1, 2, 4, 5, 7])), Some(1));
    }
}
