//! Runs on record: a log and `.stats.json` of each, beside its archive or, if it failed, alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use fleece_guest_config::GuestId;
use fleece_staged_file::sync_directory;
use fleece_storage::Storages;
use jiff::Span;
use jiff::civil::DateTime;

use super::recorder::Recorder;
use super::stats::{Earlier, MAX_EARLIER, MAX_SIZE, RunError, RunResult, Stats};
use super::{BackupName, DumpDirectory, side_files};
use crate::clock;
use crate::job::Outcome;
use crate::job::cancel::CancelToken;
use crate::report::error::{Error, ErrorKind};
use crate::target::deadline::at_target;

/// How many records are looked at for one that can be read.
const TRIES: usize = 5;

/// One run, as its file tells.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// The guest, by the name of the file.
    pub guest: GuestId,
    /// When it began, likewise: local time.
    pub time: DateTime,
    /// What it was like.
    pub stats: Stats,
}

/// A run that came to no archive.
#[derive(Clone)]
pub(super) struct Failure {
    began: DateTime,
    log: String,
    stats: Stats,
}

impl DumpDirectory {
    /// Puts a run on record beside the archive at this path, which need not be there: what was said, and what it
    /// was like. An archive with a name of its own has no record: what is beside it may be anybody's.
    ///
    /// A directory that does not answer is given up after `timeout`. What it does not take is kept in `state_dir`.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn record(
        archive: &Path,
        state_dir: &Path,
        guest_name: Option<&str>,
        recorder: &Recorder,
        result: Result<&Outcome, &Error>,
        timeout: Duration,
    ) -> Result<(), Error> {
        let file_name = archive.file_name().and_then(|name| name.to_str());
        let name: Option<BackupName> = file_name.and_then(|name| name.parse().ok());
        let (Some(name), Some(directory)) = (name, archive.parent()) else {
            return Ok(());
        };
        let directory = match directory.as_os_str().is_empty() {
            true => Self::new("."),
            false => Self::new(directory),
        }
        .with_unwritten(state_dir);
        let (guest, archive) = (name.guest().to_string(), name.to_string());
        let stats = recorder.stats((&guest, guest_name, &archive), result);
        let log = recorder.log().to_owned();
        let there = (directory.clone(), name.clone(), log.clone(), stats.clone());
        let write = move || {
            let (directory, name, log, stats) = there;
            directory.catch_up();
            directory.write_record(&name, &log, stats)
        };
        at_target("its log", timeout, &CancelToken::new(), write).inspect_err(|_| {
            // Where nothing is kept either, the error of the target is told.
            let _ = directory.keep_record(&name, &log, stats);
        })
    }

    /// Puts on record in `place`, a directory or a storage, that a run of `guest` failed before its archive had a name:
    /// what was said, and why. Where the guest has a record or an archive of the run's time or later, that tells what became
    /// of it, and nothing is done. A place that does not answer is given up after `timeout`; without one it is not asked. What it
    /// does not take is kept in `state_dir`.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`], and those of [`DumpDirectory::open`].
    pub fn record_failure(
        (place, storages): (&Path, &Storages),
        state_dir: &Path,
        (guest, name): (&GuestId, Option<&str>),
        (recorder, why): (&Recorder, RunError),
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        let failure = Failure {
            began: recorder.began().datetime(),
            log: recorder.log().to_owned(),
            stats: recorder.failure((&guest.to_string(), name), why),
        };
        let written = timeout.map(|timeout| {
            let (there, storages, state) =
                (place.to_owned(), storages.clone(), state_dir.to_owned());
            let (guest, failure) = (guest.clone(), failure.clone());
            let write = move || {
                let directory = Self::open(&there, &storages)?.with_unwritten(&state);
                directory.catch_up();
                directory.write_failure(&guest, failure)
            };
            at_target("its log", timeout, &CancelToken::new(), write)
        });
        if let Some(Ok(())) = written {
            return Ok(());
        }
        if let Some(directory) = Self::unseen(place, storages) {
            directory
                .with_unwritten(state_dir)
                .keep_failure(guest, failure)?;
        }
        written.unwrap_or(Ok(()))
    }

    /// Writes the record of a run that came to no archive, unless there is one.
    pub(super) fn write_failure(&self, guest: &GuestId, failure: Failure) -> Result<(), Error> {
        let Failure { began, log, stats } = failure;
        // Names tell no more than the second.
        let from = began.with().subsec_nanosecond(0).build().unwrap_or(began);
        let (records, archives) = self.stems()?;
        let is_told = |(whose, time): &Key| whose == guest && *time >= from;
        if records.iter().chain(&archives).any(is_told) {
            return Ok(());
        }
        let name = self.free_name(guest, began, None)?;
        let archive = name.to_string();
        self.write_record(&name, &log, Stats { archive, ..stats })
    }

    /// Writes the files, the log first: what has a log without a record is nothing of ours.
    pub(super) fn write_record(
        &self,
        name: &BackupName,
        log: &str,
        mut stats: Stats,
    ) -> Result<(), Error> {
        let path = self.path().join(name.to_string());
        stats.earlier = self.earlier(name)?;
        let files = [("log", log), ("stats.json", &stats.to_text())];
        for (kind, text) in files {
            match side_files::write(&side_files::path(&path, kind), Some(text)) {
                // What a power failure takes away is missed by nobody.
                Err(error) if error.kind() == ErrorKind::Unsynced => {}
                written => written?,
            }
        }
        Ok(())
    }

    /// All runs on record, by guest and from the oldest to the newest. What cannot be read is left out.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`] if the directory cannot be read.
    pub fn runs(&self) -> Result<Vec<Run>, Error> {
        let mut runs = self.own_runs()?;
        runs.extend(self.kept_runs());
        runs.sort_by(|a, b| (&a.guest, a.time).cmp(&(&b.guest, b.time)));
        // What was written since it was kept is there twice.
        runs.dedup_by(|a, b| (&a.guest, a.time) == (&b.guest, b.time));
        Ok(runs)
    }

    pub(super) fn own_runs(&self) -> Result<Vec<Run>, Error> {
        let (records, _) = self.stems()?;
        let runs = records.into_iter().filter_map(|(guest, time)| {
            let stats = self.stats(&guest, time)?;
            Some(Run { guest, time, stats })
        });
        Ok(runs.collect())
    }

    /// Removes the records of runs without an archive, of one guest or of all, that are older than its oldest
    /// archive; of a guest without any, those older than two months.
    pub(super) fn sweep_runs(&self, guest: Option<&GuestId>) -> Result<(), Error> {
        let (records, archives) = self.stems()?;
        let day = i64::try_from(MAX_EARLIER).unwrap_or(i64::MAX);
        let long_ago = clock::now()
            .datetime()
            .saturating_sub(Span::new().days(day));
        let mut removed = false;
        for (whose, time) in records.difference(&archives) {
            let oldest = archives.range((whose.clone(), DateTime::MIN)..).next();
            let oldest = oldest.filter(|(guest, _)| guest == whose);
            let limit = oldest.map_or(long_ago, |(_, time)| *time);
            if guest.is_some_and(|guest| guest != whose) || *time >= limit {
                continue;
            }
            let name = BackupName::new(whose, *time, None)?;
            // The record last: as long as it is there, the rest is known to be ours.
            for kind in ["log", "stats.json"] {
                let path = side_files::path(&self.path().join(name.to_string()), kind);
                removed |= side_files::remove_one(&path);
            }
        }
        if removed {
            // What comes back goes the next time.
            let _ = sync_directory(self.path());
        }
        Ok(())
    }

    /// Whose runs of when are on record, and of which there are archives.
    fn stems(&self) -> Result<(BTreeSet<Key>, BTreeSet<Key>), Error> {
        let (mut records, mut archives) = (BTreeSet::new(), BTreeSet::new());
        for name in self.names()? {
            let Some(name) = name.to_str() else {
                continue;
            };
            let (stem, keys) = match name.strip_suffix(".stats.json") {
                Some(stem) => (format!("{stem}.vma"), &mut records),
                None => (name.to_owned(), &mut archives),
            };
            if let Ok(name) = stem.parse::<BackupName>() {
                keys.insert((name.guest().clone(), name.time()));
            }
        }
        Ok((records, archives))
    }

    fn stats(&self, guest: &GuestId, time: DateTime) -> Option<Stats> {
        let name = BackupName::new(guest, time, None).ok()?;
        let path = side_files::path(&self.path().join(name.to_string()), "stats.json");
        let bytes = side_files::read(&path, MAX_SIZE.saturating_add(1))?;
        Stats::parse(&bytes)
    }

    /// The guest's runs before this one, the newest first: those that the newest record tells of, and archives.
    fn earlier(&self, name: &BackupName) -> Result<Vec<Earlier>, Error> {
        let (records, archives) = self.stems()?;
        let before = |keys: BTreeSet<Key>| {
            let its = keys.into_iter();
            its.filter(|(guest, time)| guest == name.guest() && *time < name.time())
                .map(|(_, time)| time)
        };
        let mut runs: BTreeMap<DateTime, Option<RunResult>> =
            before(archives).map(|time| (time, None)).collect();
        let newest = before(records).rev().take(TRIES);
        let mut newest = newest.filter_map(|time| Some((time, self.stats(name.guest(), time)?)));
        if let Some((time, stats)) = newest.next() {
            for earlier in stats.earlier {
                // What is not before it is not true.
                if earlier.began < time {
                    let known = runs.entry(earlier.began).or_default();
                    *known = known.or(earlier.result);
                }
            }
            runs.insert(time, Some(stats.result));
        }
        let runs = runs.into_iter().rev();
        let earlier = runs.map(|(began, result)| Earlier { began, result });
        Ok(earlier.take(MAX_EARLIER).collect())
    }
}

type Key = (GuestId, DateTime);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::dump::KeepRules;
    use crate::dump::stats::tests::stats;
    use fleece_vma_format::HeaderBuilder;
    use jiff::Zoned;
    use jiff::civil::date;
    use std::path::PathBuf;

    /// An archive of nothing but one config.
    fn archive() -> Vec<u8> {
        let mut header = HeaderBuilder::new([0; 16], 0);
        header.add_config("qemu-server.conf", "cores: 1\n").unwrap();
        header.build().unwrap().as_bytes().to_vec()
    }

    fn name(day: i8) -> BackupName {
        let time = date(2026, 11, day).at(2, 0, 0, 0);
        BackupName::new(&"100".parse().unwrap(), time, None).unwrap()
    }

    struct Dumps(tempfile::TempDir, DumpDirectory);

    impl Dumps {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let dumps = DumpDirectory::new(dir.path());
            Self(dir, dumps)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn run(&self, day: i8, result: RunResult) {
            let name = name(day);
            if result != RunResult::Failed {
                fs::write(self.path(&name.to_string()), archive()).unwrap();
            }
            let stats = Stats { result, ..stats() };
            self.1.write_record(&name, "INFO: x\n", stats).unwrap();
        }

        fn names(&self) -> Vec<String> {
            let names = fs::read_dir(self.0.path()).unwrap();
            let mut names: Vec<String> = names
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn runs_are_read_in_order_and_carry_those_before_them_along() {
        let dumps = Dumps::new();
        dumps.run(1, RunResult::Ok);
        dumps.run(2, RunResult::Failed);
        dumps.run(3, RunResult::Warnings);
        fs::remove_file(dumps.path(&name(1).to_string())).unwrap();
        fs::remove_file(dumps.path(&format!("{}.stats.json", name(1).stem()))).unwrap();
        dumps.run(4, RunResult::Ok);
        let runs = dumps.1.runs().unwrap();
        let days: Vec<_> = runs.iter().map(|run| run.time.day()).collect();
        assert_eq!(days, [2, 3, 4]);
        let earlier = &runs[2].stats.earlier;
        let earlier: Vec<_> = earlier
            .iter()
            .map(|one| (one.began.day(), one.result))
            .collect();
        assert_eq!(
            earlier,
            [
                (3, Some(RunResult::Warnings)),
                (2, Some(RunResult::Failed)),
                (1, Some(RunResult::Ok))
            ]
        );
    }

    #[test]
    fn archives_of_others_count_as_runs_and_lies_do_not() {
        let dumps = Dumps::new();
        fs::write(dumps.path(&name(1).to_string()), archive()).unwrap();
        let mut lie = stats();
        lie.earlier.push(Earlier {
            began: date(2099, 1, 1).at(0, 0, 0, 0),
            result: None,
        });
        let of = |day| dumps.path(&format!("{}.stats.json", name(day).stem()));
        fs::write(of(2), lie.to_text()).unwrap();
        fs::write(of(3), "no record").unwrap();
        dumps.run(4, RunResult::Ok);
        let runs = dumps.1.runs().unwrap();
        let days: Vec<_> = runs[1]
            .stats
            .earlier
            .iter()
            .map(|one| one.began.day())
            .collect();
        assert_eq!((runs.len(), days), (2, vec![2, 1]));
    }

    #[test]
    fn a_record_goes_with_its_archive_and_a_failed_runs_when_nothing_older_stays() {
        let dumps = Dumps::new();
        for (day, result) in [
            (1, RunResult::Failed),
            (2, RunResult::Ok),
            (3, RunResult::Failed),
            (4, RunResult::Ok),
            (5, RunResult::Failed),
        ] {
            dumps.run(day, result);
        }
        // Proxmox's, of a run that failed: it has no record.
        let others = dumps.path("vzdump-qemu-100-2026_10_01-00_00_00.log");
        fs::write(&others, "x").unwrap();
        let rules = KeepRules {
            last: 1,
            ..KeepRules::default()
        };
        dumps.1.prune(&rules, None).unwrap();
        let stem = |day| name(day).stem();
        let mut expected = vec![
            "vzdump-qemu-100-2026_10_01-00_00_00.log".to_owned(),
            format!("{}.log", stem(4)),
            format!("{}.stats.json", stem(4)),
            format!("{}.vma", stem(4)),
            format!("{}.log", stem(5)),
            format!("{}.stats.json", stem(5)),
        ];
        expected.sort();
        assert_eq!(dumps.names(), expected);
    }

    #[test]
    fn a_guest_without_a_backup_keeps_its_records_for_two_months() {
        let dumps = Dumps::new();
        let now = Zoned::now().datetime();
        let guest: GuestId = "web".parse().unwrap();
        for days in [10, 70] {
            let time = now.saturating_sub(Span::new().days(days));
            let name = BackupName::new(&guest, time, None).unwrap();
            dumps.1.write_record(&name, "", stats()).unwrap();
        }
        dumps.1.sweep_runs(Some(&"other".parse().unwrap())).unwrap();
        assert_eq!(dumps.names().len(), 4);
        dumps.1.sweep_runs(None).unwrap();
        assert_eq!(dumps.names().len(), 2);
        assert_eq!(dumps.1.runs().unwrap().len(), 1);
    }

    #[test]
    fn a_run_that_came_to_no_archive_is_on_record_once() {
        let (dumps, state) = (Dumps::new(), tempfile::tempdir().unwrap());
        let began: Zoned = "2026-11-03T02:00:00.7+01:00[Europe/Berlin]"
            .parse()
            .unwrap();
        let fail = |why: &str| {
            let (mut recorder, guest) = (Recorder::new(began.clone()), "100".parse().unwrap());
            recorder.line("ERROR", why);
            DumpDirectory::record_failure(
                (dumps.0.path(), &Storages::none()),
                state.path(),
                (&guest, Some("web")),
                (&recorder, RunError::new("guest", why)),
                Some(Duration::from_secs(60)),
            )
            .unwrap();
        };
        dumps.run(2, RunResult::Ok);
        fail("its monitor does not answer");
        fail("another attempt");
        let runs = dumps.1.runs().unwrap();
        let [_, run] = &runs[..] else {
            panic!("{runs:?}")
        };
        assert_eq!((run.time.day(), run.stats.result), (3, RunResult::Failed));
        assert_eq!(run.stats.error.as_ref().unwrap().kind, "guest");
        assert_eq!(run.stats.archive, name(3).to_string());
        assert_eq!(run.stats.earlier.len(), 1);
        let log = fs::read_to_string(dumps.path(&format!("{}.log", name(3).stem()))).unwrap();
        assert!(log.contains("does not answer") && !log.contains("another"));
    }

    #[test]
    fn an_archive_with_a_name_of_its_own_has_no_record() {
        let dumps = Dumps::new();
        let recorder = Recorder::new(Zoned::now());
        let error = Error::new(ErrorKind::Guest, "no");
        let state = tempfile::tempdir().unwrap();
        let record = |file: &str| {
            DumpDirectory::record(
                &dumps.path(file),
                state.path(),
                None,
                &recorder,
                Err(&error),
                Duration::from_secs(60),
            )
        };
        record("mine.vma").unwrap();
        assert!(dumps.names().is_empty());
        record(&name(1).to_string()).unwrap();
        assert_eq!(dumps.names().len(), 2);
        assert!(!state.path().join("unwritten").exists());
    }

    #[test]
    fn what_the_directory_does_not_take_is_kept_until_it_does() {
        let (place, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let place = place.path().join("backups");
        // A file has no room for others.
        fs::write(&place, "").unwrap();
        let error = Error::new(ErrorKind::Target, "the backup target is full");
        let began: Zoned = "2026-11-03T02:00:00.7+01:00[Europe/Berlin]"
            .parse()
            .unwrap();
        let minute = Duration::from_secs(60);
        let recorder = Recorder::new(began);
        let archive = |day| place.join(name(day).to_string());
        let record = |day| {
            DumpDirectory::record(
                &archive(day),
                state.path(),
                None,
                &recorder,
                Err(&error),
                minute,
            )
        };
        let fail = |guest: &str, timeout| {
            DumpDirectory::record_failure(
                (&place, &Storages::none()),
                state.path(),
                (&guest.parse().unwrap(), None),
                (&recorder, RunError::new("target", "it is full")),
                timeout,
            )
        };
        record(3).unwrap_err();
        // It is told already.
        fail("100", Some(minute)).unwrap_err();
        // Nobody asks a second time.
        fail("web", None).unwrap();
        fs::remove_file(&place).unwrap();
        fs::create_dir(&place).unwrap();
        let dumps = DumpDirectory::new(&place);
        assert_eq!(dumps.runs().unwrap(), []);
        let dumps = dumps.with_unwritten(state.path());
        let guests = |runs: Vec<Run>| -> Vec<(String, i8)> {
            let runs = runs.into_iter();
            runs.map(|run| (run.guest.to_string(), run.time.day()))
                .collect()
        };
        let kept = guests(dumps.runs().unwrap());
        assert_eq!(kept, [("100".into(), 3), ("web".into(), 3)]);
        assert_eq!(dumps.own_runs().unwrap(), []);
        // The next record takes them along, and knows of them.
        record(4).unwrap();
        let runs = dumps.own_runs().unwrap();
        assert_eq!(runs[1].stats.earlier.len(), 1);
        assert_eq!(runs[1].stats.earlier[0].result, Some(RunResult::Failed));
        let written = [("100".into(), 3), ("100".into(), 4), ("web".into(), 3)];
        assert_eq!(guests(runs), written);
        assert_eq!(dumps.kept_runs(), []);
        assert!(!state.path().join("unwritten").exists());
        assert_eq!(fs::read_dir(&place).unwrap().count(), 6);
    }
}
