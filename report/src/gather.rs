//! From a directory to figures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fleece_backup_core::dump::{
    Backup, Boots, DumpDirectory, Earlier, Fault, KeepRules, Outlook, Run, RunResult, Stats,
    Verdict, Verified, frees, outlook, plan,
};
use fleece_backup_core::{Error, GuestId, clock};
use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};

use crate::figures::{Entry, Guest, Night, Report, State, Totals};
use crate::nights;
use crate::words;

/// How far ahead of our clock the time in a name may be, in hours: two zones' distance.
const AHEAD_HOURS: i64 = 26;

/// What to look at, and when.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// What prune keeps, if that is known.
    pub rules: Option<KeepRules>,
    /// Only this guest.
    pub guest: Option<GuestId>,
    /// How many nights to show.
    pub nights: u16,
    /// Now, by the clock of the host.
    pub now: DateTime,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rules: None,
            guest: None,
            nights: 31,
            now: clock::now().datetime(),
        }
    }
}

impl Report {
    /// What became of the backups in a directory.
    ///
    /// # Errors
    /// Kind [`Target`](fleece_backup_core::ErrorKind::Target) if it cannot be read.
    pub fn of(directory: &DumpDirectory, options: &Options) -> Result<Self, Error> {
        let (mut backups, mut runs) = (directory.list()?, directory.runs()?);
        let wanted = options.guest.as_ref();
        backups.retain(|backup| wanted.is_none() || backup.guest() == wanted);
        runs.retain(|run| wanted.is_none_or(|wanted| run.guest == *wanted));
        let used = frees(backups.iter().map(|backup| (backup.path(), true)));
        // Each file counts what it shares with others.
        let blocks = backups
            .iter()
            .filter_map(|backup| fs::metadata(backup.path()).ok());
        let alone: u64 = blocks.map(|file| file.blocks().saturating_mul(512)).sum();
        let space = used.map(|used| (used, alone.saturating_sub(used)));
        let place = fs::canonicalize(directory.path());
        let place = place.unwrap_or_else(|_| directory.path().to_owned());
        Ok(compose(&place, &backups, &runs, space, options))
    }
}

fn compose(
    place: &Path,
    backups: &[Backup],
    runs: &[Run],
    space: Option<(u64, u64)>,
    options: &Options,
) -> Report {
    let latest = options
        .now
        .saturating_add(SignedDuration::from_hours(AHEAD_HOURS));
    let mut guests: BTreeMap<&GuestId, Of<'_>> = BTreeMap::new();
    for backup in backups {
        // A name of its own belongs to nobody.
        if let Some(guest) = backup.guest() {
            guests.entry(guest).or_default().backups.push(backup);
        }
    }
    for run in runs {
        let guest = guests.entry(&run.guest).or_default();
        guest.runs.insert(run.time, &run.stats);
    }
    let times = guests.values().flat_map(Of::times);
    let newest = times.filter(|time| *time <= latest).max();
    let last = nights::last(options.now, newest);
    let nights = nights::up_to(last, options.nights);
    let guests = guests.into_iter();
    let guests: Vec<Guest> = guests
        .map(|(guest, of)| of.guest(guest, &nights, latest, options))
        .collect();
    let size = backups.iter().map(Backup::size).sum();
    let totals = Totals {
        guests: guests.len(),
        attention: guests
            .iter()
            .filter(|guest| guest.state.needs_attention())
            .count(),
        backups: backups.len(),
        size,
        used: space.map(|(used, _)| used),
        saved: space.map(|(_, saved)| saved),
    };
    Report {
        place: place.display().to_string(),
        made: options.now.round(jiff::Unit::Second).unwrap_or(options.now),
        nights,
        guests,
        totals,
    }
}

/// What there is of one guest.
#[derive(Default)]
struct Of<'a> {
    backups: Vec<&'a Backup>,
    runs: BTreeMap<DateTime, &'a Stats>,
}

impl Of<'_> {
    fn times(&self) -> impl Iterator<Item = DateTime> {
        let archives = self.backups.iter().map(|backup| backup.local_time());
        archives.chain(self.runs.keys().copied())
    }

    fn guest(
        &self,
        guest: &GuestId,
        nights: &[Date],
        latest: DateTime,
        options: &Options,
    ) -> Guest {
        let runs = self.all_runs(latest);
        let ran: BTreeSet<Date> = runs.keys().map(|time| nights::night(*time)).collect();
        let newest_run = runs.keys().next_back().copied();
        let last = nights.last().copied().unwrap_or(Date::MIN);
        let missed = nights::missed(&ran, newest_run, last, options.now);
        let every = nights::rhythm(&ran);
        let backups = self.entries(every.unwrap_or(1), options);
        let sound = |entry: &&Entry| {
            entry.size.is_some() && entry.state != State::Failed && entry.began <= latest
        };
        let newest = backups.iter().find(sound).map(|entry| entry.began);
        let verified = backups
            .iter()
            .filter(sound)
            .find(|entry| entry.verified_at.is_some());
        let (state, why) = standing(&backups, &missed, newest_run);
        let of_night = |night: &Date| {
            let its = runs
                .iter()
                .filter(|(time, _)| nights::night(**time) == *night);
            let its: Vec<(DateTime, State)> = its.map(|(time, state)| (*time, *state)).collect();
            let state = match night_state(&its) {
                Some(state) => state,
                None if missed.contains(night) => State::Missing,
                None => return None,
            };
            let runs = its.into_iter().map(|(time, _)| time).collect();
            Some(Night { state, runs })
        };
        let names = self.runs.values().rev();
        Guest {
            guest: guest.to_string(),
            name: names.filter_map(|stats| stats.name.clone()).next(),
            state,
            why,
            newest,
            newest_age: newest.map(|newest| options.now.duration_since(newest).as_secs().max(0)),
            newest_verified: verified.map(|entry| entry.began),
            every_nights: every,
            nights: nights.iter().map(of_night).collect(),
            size: self.backups.iter().map(|backup| backup.size()).sum(),
            growth_percent: growth(&backups, nights),
            backups,
        }
    }

    /// The state of all runs that are known of, by when they began.
    fn all_runs(&self, latest: DateTime) -> BTreeMap<DateTime, State> {
        let mut runs = BTreeMap::new();
        if let Some((newest, stats)) = self.runs.last_key_value() {
            let earlier = stats
                .earlier
                .iter()
                .filter(|earlier| earlier.began < *newest);
            runs.extend(earlier.map(|Earlier { began, result, .. }| (*began, past(*result))));
        }
        let on_record = self.runs.iter();
        runs.extend(on_record.map(|(time, stats)| (*time, past(Some(stats.result)))));
        let archives = self.backups.iter();
        runs.extend(archives.map(|backup| {
            let time = backup.local_time();
            let stats = self.runs.get(&time).copied();
            (time, judge(backup, stats).0)
        }));
        runs.retain(|time, _| *time <= latest);
        runs
    }

    /// Archives and failed runs, the newest first.
    fn entries(&self, every: u16, options: &Options) -> Vec<Entry> {
        let owned: Vec<Backup> = self
            .backups
            .iter()
            .map(|backup| (*backup).clone())
            .collect();
        let rules = options.rules.as_ref();
        let verdicts = rules.map(|rules| plan(&owned, rules, options.now));
        let outlooks = rules.map(|rules| outlook(&owned, rules, options.now, every));
        let archives = owned.iter().enumerate().map(|(n, backup)| {
            let verdict = verdicts.as_ref().and_then(|verdicts| verdicts.get(n));
            let until = outlooks.as_ref().and_then(|outlooks| outlooks.get(n));
            entry(
                backup,
                self.runs.get(&backup.local_time()).copied(),
                verdict,
                until.copied(),
            )
        });
        let mut entries: Vec<Entry> = archives.collect();
        let there: BTreeSet<DateTime> = entries.iter().map(|entry| entry.began).collect();
        let failed = self.runs.iter();
        let failed = failed
            .filter(|(time, stats)| stats.result == RunResult::Failed && !there.contains(*time));
        entries.extend(failed.map(|(time, stats)| failed_run(*time, stats)));
        entries.sort_by(|a, b| b.began.cmp(&a.began).then_with(|| b.file.cmp(&a.file)));
        entries
    }
}

/// What is to be thought of an archive, and why.
fn judge(backup: &Backup, stats: Option<&Stats>) -> (State, String) {
    if let Some(fault) = backup.fault() {
        let why = match fault {
            Fault::Damaged => "the last verification found it damaged".to_owned(),
            fault => fault.to_string(),
        };
        return (State::Failed, why);
    }
    match (stats, backup.verified()) {
        (Some(stats), _) if stats.result == RunResult::Failed => (State::Warning, complaint(stats)),
        (Some(stats), _) if stats.result == RunResult::Warnings => {
            (State::Warning, complaint(stats))
        }
        _ if let Boots::No(at) = backup.boots() => (
            State::Warning,
            format!(
                "its guest did not boot from it in the drill of {}",
                words::day(at)
            ),
        ),
        (_, Verified::Sound(at)) => {
            let booted = match backup.boots() {
                Boots::Yes(at) => format!(", booted {}", words::day(at)),
                _ => String::new(),
            };
            (State::Sound, format!("verified {}{booted}", words::day(at)))
        }
        _ => (
            State::Unverified,
            "not verified since it was made".to_owned(),
        ),
    }
}

/// What a run has to complain of.
fn complaint(stats: &Stats) -> String {
    let error = stats.error.as_ref().map(|error| &error.message);
    let text = error.or_else(|| stats.warning_texts.first());
    text.cloned()
        .unwrap_or_else(|| format!("{} warnings", stats.warnings))
}

/// The state of a run of which no archive is there any more.
fn past(result: Option<RunResult>) -> State {
    match result {
        Some(RunResult::Failed) => State::Failed,
        _ => State::Removed,
    }
}

/// That of its last run; one that had to be repeated is not passed over in silence.
fn night_state(runs: &[(DateTime, State)]) -> Option<State> {
    let (_, last) = runs.last()?;
    let failed = runs.iter().any(|(_, state)| *state == State::Failed);
    Some(match *last {
        State::Failed => State::Failed,
        _ if failed => State::Warning,
        last => last,
    })
}

/// How a guest stands: by its newest run, or by what came after it and was missed.
fn standing(
    entries: &[Entry],
    missed: &BTreeSet<Date>,
    newest_run: Option<DateTime>,
) -> (State, String) {
    let last = newest_run.map(nights::night);
    let since = missed
        .iter()
        .filter(|night| last.is_none_or(|last| **night > last))
        .count();
    let Some(newest) = entries.first() else {
        return (State::Missing, "there is no backup any more".to_owned());
    };
    if since > 0 {
        let nights = words::nights(since);
        return (State::Missing, format!("no backup for {nights}"));
    }
    (newest.state, newest.why.clone())
}

fn growth(entries: &[Entry], nights: &[Date]) -> Option<i64> {
    let first = nights.first()?;
    let mut sizes = entries
        .iter()
        .filter(|entry| nights::night(entry.began) >= *first);
    let newest = sizes.find_map(|entry| entry.size)?;
    let oldest = sizes
        .filter_map(|entry| entry.size)
        .next_back()
        .filter(|size| *size > 0)?;
    let (newest, oldest) = (i128::from(newest), i128::from(oldest));
    let change = newest
        .checked_sub(oldest)?
        .checked_mul(100)?
        .checked_div(oldest)?;
    i64::try_from(change).ok()
}

fn entry(
    backup: &Backup,
    stats: Option<&Stats>,
    verdict: Option<&Verdict>,
    until: Option<Outlook>,
) -> Entry {
    let (state, why) = judge(backup, stats);
    let verified_at = match backup.verified() {
        Verified::Sound(at) => Some(at),
        _ => None,
    };
    Entry {
        began: backup.local_time(),
        file: Some(backup.file_name().to_owned()),
        state,
        why,
        size: Some(backup.size()),
        own: backup.own(),
        notes: backup
            .notes()
            .map(str::to_owned)
            .filter(|notes| !notes.is_empty()),
        protected: backup.is_protected(),
        verified_at,
        verdict: verdict.map(Verdict::to_string),
        until: until.map(|until| match until {
            Outlook::Goes => "next prune".to_owned(),
            Outlook::Until(day) => day.to_string(),
            Outlook::Beyond => "later".to_owned(),
            Outlook::Stays => "stays".to_owned(),
        }),
        slowest_us: slowest(stats),
        stats: stats.cloned(),
    }
}

fn failed_run(time: DateTime, stats: &Stats) -> Entry {
    Entry {
        began: time,
        file: None,
        state: State::Failed,
        why: complaint(stats),
        size: None,
        own: None,
        notes: None,
        protected: false,
        verified_at: None,
        verdict: None,
        until: None,
        slowest_us: slowest(Some(stats)),
        stats: Some(stats.clone()),
    }
}

fn slowest(stats: Option<&Stats>) -> Option<u64> {
    let points = stats?.series.points().iter();
    points.filter_map(|point| point.p99_us).max()
}
