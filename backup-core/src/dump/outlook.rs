//! How long backups will stay: [`plan`] in nights to come.

use jiff::civil::DateTime;
use jiff::{Span, civil::Date};

use super::{Backup, BackupName, KeepRules, Reason, Verdict, Verified, plan};

/// How many backups to come are thought of.
const AHEAD: u32 = 100;

/// Until when a backup stays, if its guest is backed up as before and every backup to come is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no other end")]
pub enum Outlook {
    /// The next prune removes it.
    Goes,
    /// The prune of this day removes it.
    Until(Date),
    /// It is there for longer than is looked ahead.
    Beyond,
    /// No rule removes it: it is protected, has a name of its own, or there is no rule.
    Stays,
}

/// The outlook of each of one guest's `backups`, in their order, at the local time `now`, with a new one `every` so many
/// days.
#[must_use]
pub fn outlook(backups: &[Backup], rules: &KeepRules, now: DateTime, every: u16) -> Vec<Outlook> {
    let mut outlooks = vec![Outlook::Beyond; backups.len()];
    let mut there: Vec<Backup> = backups.to_vec();
    let mut places: Vec<Option<usize>> = (0..backups.len()).map(Some).collect();
    let guest = backups.iter().find_map(Backup::guest).cloned();
    let mut time = now;
    for step in 0..AHEAD {
        let verdicts = plan(&there, rules, time);
        for (place, verdict) in places.iter().zip(&verdicts) {
            let Some(outlook) = place.and_then(|place| outlooks.get_mut(place)) else {
                continue;
            };
            match verdict {
                Verdict::Remove(_) if step == 0 => *outlook = Outlook::Goes,
                Verdict::Remove(_) => *outlook = Outlook::Until(time.date()),
                Verdict::Keep(Reason::Protected | Reason::Renamed | Reason::KeepAll) => {
                    *outlook = Outlook::Stays;
                }
                Verdict::Keep(_) => {}
            }
        }
        let mut kept = verdicts
            .iter()
            .map(|verdict| matches!(verdict, Verdict::Keep(_)));
        places.retain(|_| kept.next().unwrap_or(true));
        let mut kept = verdicts
            .iter()
            .map(|verdict| matches!(verdict, Verdict::Keep(_)));
        there.retain(|_| kept.next().unwrap_or(true));
        let is_open = |place: &usize| outlooks.get(*place) == Some(&Outlook::Beyond);
        let mut open = places.iter().flatten().filter(|place| is_open(place));
        let (Some(guest), Some(_)) = (&guest, open.next()) else {
            break;
        };
        time = time.saturating_add(Span::new().days(i64::from(every.max(1))));
        let Ok(name) = BackupName::new(guest, time, None) else {
            break;
        };
        there.push(to_come(name));
        places.push(None);
    }
    outlooks
}

/// A backup that will be made, and be sound.
fn to_come(name: BackupName) -> Backup {
    Backup {
        file_name: name.to_string(),
        path: name.to_string().into(),
        name: Some(name),
        size: 1,
        modified: jiff::Timestamp::UNIX_EPOCH,
        notes: None,
        protected: false,
        indexed: false,
        verified: Verified::Unknown,
        boots: super::Boots::Unknown,
        fault: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn backup(day: i8) -> Backup {
        let time = date(2026, 11, day).at(2, 0, 0, 0);
        let name = BackupName::new(&"100".parse().unwrap(), time, None).unwrap();
        to_come(name)
    }

    fn of(days: std::ops::RangeInclusive<i8>, rules: &str, every: u16) -> Vec<Outlook> {
        let backups: Vec<Backup> = days.map(backup).collect();
        let now = date(2026, 11, 10).at(8, 0, 0, 0);
        outlook(&backups, &rules.parse().unwrap(), now, every)
    }

    #[test]
    fn each_goes_when_enough_newer_ones_have_come() {
        use Outlook::{Goes, Until};
        let until = |day| Until(date(2026, 11, day));
        assert_eq!(
            of(7..=10, "keep-last=3", 1),
            [Goes, until(11), until(12), until(13)]
        );
        assert_eq!(of(9..=10, "keep-last=2", 7), [until(17), until(24)]);
    }

    #[test]
    fn a_weekly_rule_keeps_the_newest_of_a_week_for_its_weeks() {
        // The 8th is the Sunday of its week.
        let outlooks = of(7..=9, "keep-daily=2,keep-weekly=1", 1);
        assert_eq!(outlooks[0], Outlook::Goes);
        assert!(matches!(outlooks[1], Outlook::Until(day) if day > date(2026, 11, 11)));
    }

    #[test]
    fn what_no_rule_removes_stays_and_what_is_far_away_is_not_guessed() {
        let mut protected = backup(1);
        protected.protected = true;
        let rules = "keep-last=1".parse().unwrap();
        let now = date(2026, 11, 10).at(8, 0, 0, 0);
        assert_eq!(outlook(&[protected], &rules, now, 1), [Outlook::Stays]);
        assert_eq!(
            outlook(&[backup(1)], &KeepRules::default(), now, 1),
            [Outlook::Stays]
        );
        assert_eq!(of(1..=1, "keep-last=500", 1), [Outlook::Beyond]);
        assert!(outlook(&[], &rules, now, 1).is_empty());
    }
}
