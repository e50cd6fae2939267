use std::path::PathBuf;

use jiff::Timestamp;
use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::dump::{BackupName, Verified};

/// When the tables' backups are judged.
const NOW: DateTime = DateTime::constant(2027, 2, 1, 0, 0, 0, 0);

/// A backup from `VMID YYYY-MM-DD HH:MM`, or with `protected`, `renamed` or a fault's word behind it.
fn backup(text: &str) -> Backup {
    let words: Vec<&str> = text.split(' ').collect();
    let time = format!("{}T{}:00", words[1], words[2]).parse().unwrap();
    let name = BackupName::new(&words[0].parse().unwrap(), time, Some("zst")).unwrap();
    Backup {
        file_name: name.to_string(),
        path: PathBuf::from(name.to_string()),
        name: Some(name).filter(|_| !words.contains(&"renamed")),
        size: 1,
        modified: Timestamp::UNIX_EPOCH,
        notes: None,
        protected: words.contains(&"protected"),
        indexed: false,
        verified: Verified::Unknown,
        boots: crate::dump::Boots::Unknown,
        fault: words.last().and_then(|word| {
            Some(match *word {
                "damaged" => Fault::Damaged,
                "empty" => Fault::Empty,
                "junk" => Fault::Header("junk".to_owned()),
                "unreadable" => Fault::Unreadable("I/O error".to_owned()),
                _ => return None,
            })
        }),
    }
}

/// Checks a table of `BACKUP → VERDICT` lines.
fn check(rules: &str, table: &str) {
    let rows: Vec<(&str, &str)> = table
        .trim()
        .lines()
        .map(|row| row.trim().split_once(" → ").unwrap())
        .collect();
    let backups: Vec<Backup> = rows.iter().map(|(text, _)| backup(text)).collect();
    let verdicts = plan(&backups, &rules.parse().unwrap(), NOW);
    for ((text, expected), verdict) in rows.iter().zip(verdicts) {
        assert_eq!(verdict.to_string(), *expected, "{text} under {rules}");
    }
}

#[test]
fn without_rules_everything_stays() {
    for rules in ["", "keep-all=1", "keep-last=0", "keep-all=0"] {
        check(rules, "100 2026-01-01 00:00 → keep (no rule is given)");
    }
}

#[test]
fn the_last_ones_stay() {
    check(
        "keep-last=2",
        "100 2026-01-01 00:00 → remove
         100 2026-01-01 00:02 → keep (last)
         100 2026-01-01 00:01 → keep (last)",
    );
}

#[test]
fn each_guest_is_judged_by_itself() {
    check(
        "keep-last=1",
        "100 2026-01-01 00:00 → remove
         101 2026-01-01 00:00 → keep (last)
         100 2026-01-02 00:00 → keep (last)",
    );
}

#[test]
fn of_each_day_the_newest_stays() {
    check(
        "keep-daily=2",
        "100 2026-01-01 05:00 → remove
         100 2026-01-02 05:00 → remove
         100 2026-01-02 23:59 → keep (daily 2026-01-02)
         100 2026-01-04 00:00 → remove
         100 2026-01-04 00:01 → keep (daily 2026-01-04)",
    );
}

#[test]
fn days_without_a_backup_do_not_count() {
    check(
        "keep-daily=3",
        "100 2025-03-01 05:00 → keep (daily 2025-03-01)
         100 2025-09-09 05:00 → keep (daily 2025-09-09)
         100 2026-01-04 00:01 → keep (daily 2026-01-04)",
    );
}

#[test]
fn a_period_that_an_earlier_rule_serves_is_passed_over() {
    check(
        "keep-last=2,keep-daily=1",
        "100 2026-01-01 05:00 → keep (daily 2026-01-01)
         100 2026-01-02 05:00 → remove
         100 2026-01-02 06:00 → keep (last)
         100 2026-01-02 07:00 → keep (last)",
    );
}

#[test]
fn hours_are_hours_of_a_day() {
    check(
        "keep-hourly=2",
        "100 2026-01-01 05:10 → remove
         100 2026-01-02 05:10 → keep (hourly 2026-01-02 05:00)
         100 2026-01-02 06:10 → remove
         100 2026-01-02 06:50 → keep (hourly 2026-01-02 06:00)",
    );
}

#[test]
fn weeks_begin_on_monday_and_may_belong_to_the_other_year() {
    // 2026-12-28 is a Monday, of week 53; 2027-01-03 is the Sunday after it.
    check(
        "keep-weekly=2",
        "100 2026-12-26 05:00 → remove
         100 2026-12-27 05:00 → keep (weekly 2026-W52)
         100 2026-12-28 05:00 → remove
         100 2026-12-31 05:00 → remove
         100 2027-01-03 05:00 → keep (weekly 2026-W53)",
    );
}

#[test]
fn months_are_months_of_a_year() {
    check(
        "keep-monthly=2",
        "100 2025-01-31 05:00 → keep (monthly 2025-01)
         100 2026-01-01 05:00 → remove
         100 2026-01-31 05:00 → keep (monthly 2026-01)",
    );
}

#[test]
fn all_rules_work_together() {
    check(
        "keep-last=1,keep-hourly=1,keep-daily=1,keep-weekly=1,keep-monthly=1,keep-yearly=1",
        "100 2024-06-01 12:00 → remove
         100 2025-06-01 12:00 → keep (yearly 2025)
         100 2026-06-10 12:00 → remove
         100 2026-06-20 12:00 → keep (monthly 2026-06)
         100 2026-07-20 12:00 → keep (weekly 2026-W30)
         100 2026-07-28 12:00 → keep (daily 2026-07-28)
         100 2026-07-29 11:00 → keep (hourly 2026-07-29 11:00)
         100 2026-07-29 12:00 → remove
         100 2026-07-29 12:30 → keep (last)",
    );
}

#[test]
fn protected_and_renamed_ones_stay_and_serve_nothing() {
    check(
        "keep-last=1",
        "100 2026-01-01 00:00 → remove
         100 2026-01-02 00:00 → keep (last)
         100 2026-01-03 00:00 protected → keep (protected)
         100 2026-01-04 00:00 renamed → keep (not a standard name)
         100 2026-01-05 00:00 renamed protected → keep (protected)",
    );
}

#[test]
fn what_one_rule_removes_no_later_rule_keeps() {
    check(
        "keep-daily=1,keep-yearly=5",
        "100 2025-01-01 00:00 → keep (yearly 2025)
         100 2026-01-01 00:00 → remove
         100 2026-01-01 01:00 → keep (daily 2026-01-01)",
    );
}

#[test]
fn what_is_damaged_empty_or_unreadable_takes_nobodys_place() {
    for (fault, said) in [
        ("damaged", "damaged"),
        ("empty", "empty"),
        ("junk", "no archive: junk"),
    ] {
        let table = format!(
            "100 2026-01-01 00:00 → remove
             100 2026-01-02 00:00 → keep (last)
             100 2026-01-03 00:00 {fault} → remove ({said})
             100 2026-01-04 00:00 → keep (last)
             100 2026-01-05 00:00 {fault} → keep ({said}, but nothing newer is sound)"
        );
        check("keep-last=2", &table);
    }
    check(
        "keep-last=1",
        "100 2026-01-01 00:00 unreadable → keep (cannot be read: I/O error, ignored by all rules)
         100 2026-01-02 00:00 → remove
         100 2026-01-03 00:00 → keep (last)
         100 2026-01-04 00:00 unreadable → keep (cannot be read: I/O error, ignored by all rules)",
    );
}

#[test]
fn what_is_damaged_stays_as_long_as_it_would_if_it_were_sound() {
    check(
        "keep-last=1,keep-daily=2",
        "100 2026-01-01 00:00 damaged → remove (damaged)
         100 2026-01-02 00:00 → keep (daily 2026-01-02)
         100 2026-01-03 00:00 → keep (daily 2026-01-03)
         100 2026-01-04 00:00 damaged → keep (damaged, in nobody's place: daily 2026-01-04)
         100 2026-01-05 00:00 → keep (last)",
    );
}

#[test]
fn without_a_sound_one_nothing_that_is_damaged_goes() {
    check(
        "keep-last=1",
        "100 2026-01-01 00:00 damaged → keep (damaged, but nothing newer is sound)
         100 2026-01-02 00:00 empty → keep (empty, but nothing newer is sound)
         101 2026-01-01 00:00 damaged → remove (damaged)
         101 2026-01-02 00:00 protected → keep (protected)
         101 2026-01-01 12:00 → keep (last)",
    );
}

#[test]
fn a_backup_of_the_future_takes_nobodys_place() {
    check(
        "keep-last=1,keep-yearly=1",
        "100 2026-01-01 00:00 → keep (yearly 2026)
         100 2027-01-31 23:00 → remove
         100 2027-02-02 01:59 → keep (last)
         100 2027-02-02 02:01 → keep (dated in the future, ignored by all rules)
         100 2038-01-19 00:00 empty → keep (dated in the future, ignored by all rules)",
    );
}

#[test]
fn rules_are_read_and_written_in_proxmox_form() {
    let rules: KeepRules = "keep-last=3,keep-weekly=2".parse().unwrap();
    assert_eq!(
        rules,
        KeepRules {
            last: 3,
            weekly: 2,
            ..KeepRules::default()
        }
    );
    assert_eq!(rules.to_string(), "keep-last=3,keep-weekly=2");
    assert_eq!(KeepRules::default().to_string(), "keep-all=1");
    for wrong in [
        "keep-last",
        "keep-last=x",
        "keep-last=-1",
        "keep-last=1,keep-last=2",
        "keep-minutely=1",
        "keep-all=1,keep-last=1",
    ] {
        assert!(wrong.parse::<KeepRules>().is_err(), "{wrong}");
    }
}

fn some_backups() -> impl Strategy<Value = Vec<Backup>> {
    some_backups_that(Just(""))
}

fn some_backups_that(
    are: impl Strategy<Value = &'static str>,
) -> impl Strategy<Value = Vec<Backup>> {
    let time = (0..3i16, 1..=12i8, 1..=28i8, 0..24i8, 0..60i8);
    prop::collection::vec(
        (
            prop::sample::select(vec!["100", "1", "web", "web-1"]),
            time,
            are,
        ),
        0..40,
    )
    .prop_map(|backups| {
        let named = backups
            .into_iter()
            .map(|(guest, (year, month, day, hour, minute), is)| {
                let time = date(2024 + year, month, day).at(hour, minute, 0, 0);
                backup(&format!("{guest} {} {is}", time.strftime("%F %H:%M")))
            });
        named.collect()
    })
}

fn some_rules() -> impl Strategy<Value = KeepRules> {
    (0..4u32, 0..4u32, 0..4u32, 0..4u32, 0..4u32, 0..4u32).prop_map(
        |(last, hourly, daily, weekly, monthly, yearly)| KeepRules {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
        },
    )
}

proptest! {
    #[test]
    fn the_newest_stays_and_no_rule_keeps_more_than_it_may(
        backups in some_backups(),
        rules in some_rules(),
    ) {
        prop_assume!(!rules.keeps_all());
        let verdicts = plan(&backups, &rules, NOW);
        for guest in ["100", "1", "web", "web-1"] {
            let guest: GuestId = guest.parse().unwrap();
            let of_guest = || backups.iter().zip(&verdicts).filter(|(b, _)| b.guest() == Some(&guest));
            let newest = of_guest().map(|(b, _)| b.name.as_ref().unwrap().time()).max();
            let kept: Vec<_> = of_guest().filter(|(_, v)| !matches!(v, Verdict::Remove(_))).collect();
            prop_assert_eq!(newest, kept.iter().map(|(b, _)| b.name.as_ref().unwrap().time()).max());
            for rule in rules.rules() {
                let by_rule = kept.iter().filter(
                    |(_, v)| matches!(v, Verdict::Keep(Reason::Rule(name, _)) if *name == rule.name),
                );
                prop_assert!(by_rule.count() <= rule.count as usize);
            }
        }
    }

    #[test]
    fn what_is_kept_once_is_kept_again(backups in some_backups(), rules in some_rules()) {
        let keep = |backups: &[Backup]| -> Vec<Backup> {
            let verdicts = plan(backups, &rules, NOW);
            let kept = backups.iter().zip(verdicts).filter(|(_, v)| !matches!(v, Verdict::Remove(_)));
            kept.map(|(backup, _)| backup.clone()).collect()
        };
        let once = keep(&backups);
        prop_assert_eq!(keep(&once), once);
    }

    #[test]
    fn faulty_ones_change_nothing_for_the_others(
        backups in some_backups_that(prop::sample::select(
            &["", "", "protected", "damaged", "empty", "junk", "unreadable"][..],
        )),
        rules in some_rules(),
    ) {
        prop_assume!(!rules.keeps_all());
        let verdicts = plan(&backups, &rules, NOW);
        let (sound, expected): (Vec<Backup>, Vec<Verdict>) = backups
            .iter()
            .zip(&verdicts)
            .filter(|(backup, _)| backup.fault.is_none())
            .map(|(backup, verdict)| (backup.clone(), verdict.clone()))
            .unzip();
        prop_assert_eq!(plan(&sound, &rules, NOW), expected);
        for (n, (backup, verdict)) in backups.iter().zip(&verdicts).enumerate() {
            let newer = |other: &Backup| {
                other.guest() == backup.guest()
                    && other.fault.is_none()
                    && other.standard_name().unwrap().time() >= backup.standard_name().unwrap().time()
            };
            let mut others = backups.iter().enumerate().filter(|(m, _)| *m != n);
            let superseded = others.any(|(_, other)| newer(other));
            prop_assert!(superseded || matches!(verdict, Verdict::Keep(_)), "{:?}", backup);
        }
    }
}
