//! Which backups to keep: Proxmox's rules, as a function that touches nothing.
//!
//! The backups of one guest are looked at from the newest to the oldest, once for each rule, in the
//! order last, hourly, daily, weekly, monthly, yearly. A rule keeps the newest backup of each of
//! its latest *n* periods, where periods in which an earlier rule has kept a backup count as served
//! and are passed over; other backups of a period that it serves are removed. What no rule has
//! marked in the end is removed (`prune-backups` in `vzdump(1)` and
//! `PVE::Storage::Plugin::prune_mark_backup_group`).
//!
//! Rules are for backups that can be restored. One that has a [`Fault`] takes nobody's place: it stays
//! while nothing newer is sound, or as long as it would have stayed if it were sound, since much of it
//! may still be got out of it. One of the future, from a clock that was wrong, takes no place either:
//! it would have every backup to come removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use fleece_guest_config::GuestId;
use jiff::civil::DateTime;
use jiff::{Span, Timestamp};

use super::{Backup, Fault};
use crate::report::error::{Error, ErrorKind};

/// How many backups to keep of each kind of period; the default keeps all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "Proxmox's six rules")]
pub struct KeepRules {
    /// The newest.
    pub last: u32,
    /// The newest of each hour, for so many hours that have one; and so on.
    pub hourly: u32,
    /// Days.
    pub daily: u32,
    /// Weeks, which begin on Monday (ISO 8601).
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
    /// Years.
    pub yearly: u32,
}

/// What is to become of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It stays, and why.
    Keep(Reason),
    /// It goes, and what is wrong with it, if anything is.
    Remove(Option<Fault>),
}

/// Why a backup stays.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No rule is given.
    KeepAll,
    /// It is the newest of a period that a rule serves: the rule's name and the period.
    Rule(&'static str, String),
    /// It is protected. Protected backups take no part: they serve no period.
    Protected,
    /// Its store keeps it until then, whatever anybody wants.
    Locked(Timestamp),
    /// Its name is not the standard one: somebody wanted it out of the way.
    Renamed,
    /// By its name it is of the future, so its age is not known. It serves no period.
    Future,
    /// Something is wrong with it, so it serves no period, but no newer backup is sound.
    NothingNewer(Fault),
    /// Something is wrong with it, so it serves no period; if it were sound, this rule and period would
    /// keep it.
    IfSound(Fault, &'static str, String),
    /// Whether it is sound is not known, since it cannot be read just now. It serves no period.
    Unreadable(Fault),
}

/// A rule: the newest backup stays of each of `count` periods, which `form` names (`strftime(3)`).
struct Rule {
    name: &'static str,
    count: u32,
    form: &'static str,
}

impl Rule {
    /// The period in which a backup was made.
    fn period(&self, time: DateTime) -> String {
        time.strftime(self.form).to_string()
    }
}

impl KeepRules {
    /// Whether nothing would ever be removed.
    pub fn keeps_all(&self) -> bool {
        self.rules().iter().all(|rule| rule.count == 0)
    }

    fn rules(&self) -> [Rule; 6] {
        [
            ("last", self.last, "%F %T"),
            ("hourly", self.hourly, "%F %H:00"),
            ("daily", self.daily, "%F"),
            ("weekly", self.weekly, "%G-W%V"),
            ("monthly", self.monthly, "%Y-%m"),
            ("yearly", self.yearly, "%Y"),
        ]
        .map(|(name, count, form)| Rule { name, count, form })
    }

    fn count_mut(&mut self, name: &str) -> Option<&mut u32> {
        Some(match name {
            "last" => &mut self.last,
            "hourly" => &mut self.hourly,
            "daily" => &mut self.daily,
            "weekly" => &mut self.weekly,
            "monthly" => &mut self.monthly,
            "yearly" => &mut self.yearly,
            _ => return None,
        })
    }
}

/// How far ahead of our clock the time in a name may be: names have the local time of the host that
/// made them, and zones lie up to 26 hours apart.
const AHEAD_HOURS: i64 = 26;

/// The verdict on each of `backups`, in their order, at the local time `now`. Each guest's are judged by
/// themselves.
pub fn plan(backups: &[Backup], rules: &KeepRules, now: DateTime) -> Vec<Verdict> {
    let latest = now.saturating_add(Span::new().hours(AHEAD_HOURS));
    let mut verdicts: Vec<Option<Verdict>> = Vec::new();
    let mut guests: BTreeMap<&GuestId, Guest<'_>> = BTreeMap::new();
    for (n, backup) in backups.iter().enumerate() {
        let name = backup.standard_name();
        let guest = name.map(|name| guests.entry(name.guest()).or_default());
        let known = name.filter(|name| name.time() <= latest);
        if let (Some(guest), Some(name), None) = (guest, known, &backup.fault) {
            guest.sound = guest.sound.max(Some(name.time()));
        }
        verdicts.push(match name {
            _ if backup.is_protected() => Some(Verdict::Keep(Reason::Protected)),
            None => Some(Verdict::Keep(Reason::Renamed)),
            Some(_) if rules.keeps_all() => Some(Verdict::Keep(Reason::KeepAll)),
            Some(name) if name.time() > latest => Some(Verdict::Keep(Reason::Future)),
            Some(name) => {
                let guest = guests.entry(name.guest()).or_default();
                guest.backups.push((name.time(), n, backup.fault.as_ref()));
                None
            }
        });
    }
    for guest in guests.values() {
        for (n, verdict) in guest.judge(rules) {
            if let Some(place) = verdicts.get_mut(n) {
                *place = Some(verdict);
            }
        }
    }
    verdicts
        .into_iter()
        .map(|verdict| verdict.unwrap_or(Verdict::Remove(None)))
        .collect()
}

/// One guest's backups that rules apply to.
#[derive(Default)]
struct Guest<'a> {
    /// Their times, their places in the list, and what is wrong with them.
    backups: Vec<(DateTime, usize, Option<&'a Fault>)>,
    /// The time of the newest sound one, protected or not.
    sound: Option<DateTime>,
}

impl Guest<'_> {
    fn judge(&self, rules: &KeepRules) -> Vec<(usize, Verdict)> {
        let times = |faulty: bool| {
            let among = self.backups.iter();
            let among = among.filter(move |(.., fault)| faulty || fault.is_none());
            among.map(|(time, n, _)| (*time, *n)).collect()
        };
        let sound = mark(times(false), rules);
        let all = mark(times(true), rules);
        let judged = self.backups.iter().map(|(time, n, fault)| {
            let verdict = match (fault, all.get(n)) {
                (None, _) => match sound.get(n) {
                    Some(Mark::Keep(rule, period)) => {
                        Verdict::Keep(Reason::Rule(rule, period.clone()))
                    }
                    _ => Verdict::Remove(None),
                },
                (Some(fault @ Fault::Unreadable(_)), _) => {
                    Verdict::Keep(Reason::Unreadable((*fault).clone()))
                }
                (Some(fault), _) if self.sound.is_none_or(|sound| sound < *time) => {
                    Verdict::Keep(Reason::NothingNewer((*fault).clone()))
                }
                (Some(fault), Some(Mark::Keep(rule, period))) => {
                    Verdict::Keep(Reason::IfSound((*fault).clone(), rule, period.clone()))
                }
                (Some(fault), _) => Verdict::Remove(Some((*fault).clone())),
            };
            (*n, verdict)
        });
        judged.collect()
    }
}

/// What a rule says of a backup.
enum Mark {
    Keep(&'static str, String),
    Remove,
}

/// What the rules say of one guest's backups: what is not among them is removed.
fn mark(mut backups: Vec<(DateTime, usize)>, rules: &KeepRules) -> BTreeMap<usize, Mark> {
    backups.sort_by(|a, b| b.cmp(a));
    let mut marks: BTreeMap<usize, Mark> = BTreeMap::new();
    for rule in rules.rules() {
        let kept = backups
            .iter()
            .filter(|(_, n)| matches!(marks.get(n), Some(Mark::Keep(..))));
        let served: BTreeSet<String> = kept.map(|(time, _)| rule.period(*time)).collect();
        let mut new: BTreeSet<String> = BTreeSet::new();
        for (time, n) in &backups {
            let period = rule.period(*time);
            if marks.contains_key(n) || served.contains(&period) {
                continue;
            }
            if new.contains(&period) {
                marks.insert(*n, Mark::Remove);
                continue;
            }
            if u32::try_from(new.len()).is_ok_and(|taken| taken >= rule.count) {
                break;
            }
            marks.insert(*n, Mark::Keep(rule.name, period.clone()));
            new.insert(period);
        }
    }
    marks
}

impl FromStr for KeepRules {
    type Err = Error;

    /// Reads Proxmox's form: `keep-last=3,keep-daily=7`, or `keep-all=1`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |message: String| Error::new(ErrorKind::Request, message);
        let mut rules = Self::default();
        let mut seen = BTreeSet::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| wrong(format!("{part:?} has not the form keep-RULE=NUMBER")))?;
            let name = key.strip_prefix("keep-").unwrap_or(key);
            if !seen.insert(name) {
                return Err(wrong(format!("'{key}' is given twice")));
            }
            let number: u32 = value
                .parse()
                .map_err(|_| wrong(format!("'{key}' needs a number, not {value:?}")))?;
            if name == "all" {
                if number == 0 {
                    seen.remove("all");
                }
                continue;
            }
            let count = rules.count_mut(name).ok_or_else(|| {
                let known = "keep-all, -last, -hourly, -daily, -weekly, -monthly and -yearly";
                wrong(format!("there is no rule '{key}', only {known}"))
            })?;
            *count = number;
        }
        if seen.contains("all") && !rules.keeps_all() {
            return Err(wrong(
                "keep-all cannot be combined with other rules".to_owned(),
            ));
        }
        Ok(rules)
    }
}

impl fmt::Display for KeepRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.keeps_all() {
            return f.write_str("keep-all=1");
        }
        let mut comma = "";
        for rule in self.rules().iter().filter(|rule| rule.count > 0) {
            write!(f, "{comma}keep-{}={}", rule.name, rule.count)?;
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(reason) => write!(f, "keep ({reason})"),
            Self::Remove(None) => f.write_str("remove"),
            Self::Remove(Some(fault)) => write!(f, "remove ({fault})"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepAll => f.write_str("no rule is given"),
            Self::Rule(rule, period) => f.write_str(&by_rule(rule, period)),
            Self::Protected => f.write_str("protected"),
            Self::Locked(until) => write!(f, "locked until {until:.0}"),
            Self::Renamed => f.write_str("not a standard name"),
            Self::Future => f.write_str("dated in the future, ignored by all rules"),
            Self::NothingNewer(fault) => write!(f, "{fault}, but nothing newer is sound"),
            Self::IfSound(fault, rule, period) => {
                write!(f, "{fault}, in nobody's place: {}", by_rule(rule, period))
            }
            Self::Unreadable(fault) => write!(f, "{fault}, ignored by all rules"),
        }
    }
}

fn by_rule(rule: &str, period: &str) -> String {
    match rule {
        "last" => rule.to_owned(),
        _ => format!("{rule} {period}"),
    }
}

#[cfg(test)]
mod tests;
