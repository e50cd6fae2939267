//! Each command, with each of its system calls failing in turn, or killed at each of them: afterwards its exit code
//! is true, and there is what was there before or what was asked for, and nothing else.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by a panic"
)]

#[path = "sweep/case.rs"]
mod case;
#[path = "sweep/crash.rs"]
mod crash;
#[path = "sweep/state.rs"]
mod state;
#[path = "sweep/trace.rs"]
mod trace;

use std::fs;

use case::{Case, Work};
use state::State;
use trace::Fault;

/// Runs a command with every fault; panics with all that went wrong.
fn sweep(case: &Case) {
    if fleece_lab::require("strace").is_none() {
        return;
    }
    let work = Work::new(case);
    let old = State::of(&work.place);
    let (good, calls) = trace::record(&work, &work.command(case));
    let new = State::of(&work.place);
    assert!(
        good.code == Some(0) || good.code == Some(4),
        "it fails without a fault: {}",
        good.said
    );
    let mut violations = Vec::new();
    let faults = calls.faults(long());
    for fault in &faults {
        work.reset();
        let ended = trace::inject(&work.command(case), &calls, fault);
        let judge = Judge {
            case,
            work: &work,
            old: &old,
            new: &new,
            good: good.code,
        };
        if let Err(why) = judge.after(fault, ended.code) {
            violations.push(format!("{fault}: {why}\n{}", ended.said));
        }
    }
    println!(
        "{}: {} faults, {} violations",
        case.name,
        faults.len(),
        violations.len()
    );
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

fn long() -> bool {
    std::env::var("FLEECE_FAULTS").is_ok_and(|form| form == "long")
}

/// What must hold afterwards.
struct Judge<'a> {
    case: &'a Case,
    work: &'a Work,
    old: &'a State,
    new: &'a State,
    good: Option<i32>,
}

impl Judge<'_> {
    fn after(&self, fault: &Fault, code: Option<i32>) -> Result<(), String> {
        let now = State::of(&self.work.place);
        let (rest, left) = now.split(self.old, self.new);
        let killed = fault.kills();
        let is = |state: &State, what: &str| match rest == *state {
            true => Ok(()),
            false => Err(format!(
                "exit code {code:?}, and it is not {what}: {}",
                rest.differences(state)
            )),
        };
        match code {
            _ if killed => {}
            // A backup that cannot be read is not removed for that.
            code if code == self.good && self.case.declines && rest == *self.old => {}
            code if code == self.good => is(self.new, "what was asked for")?,
            Some(3) => {
                for name in self.case.essential {
                    if rest.get(name) != self.new.get(name) {
                        return Err(format!("a warning alone, but {name} is missing"));
                    }
                }
            }
            // 127: the program was not even loaded.
            Some(1 | 4 | 5 | 6 | 127) => is(self.old, "as it was")?,
            code => return Err(format!("it ended with {code:?}")),
        }
        if left.is_empty() && !killed {
            return Ok(());
        }
        self.settled()
    }

    /// After the next run all is as it was, or as asked for.
    fn settled(&self) -> Result<(), String> {
        let said = self.work.next(self.case);
        let now = State::of(&self.work.place);
        let (rest, mut left) = now.split(self.old, self.new);
        // A lock that nobody holds, and that could not be removed, is the next one's who changes the file.
        left.retain(|name| !name.ends_with(".conf.lock"));
        if !left.is_empty() {
            return Err(format!("left after the next run: {left:?}\n{said}"));
        }
        let right = [self.old, self.new].contains(&&rest)
            || self
                .case
                .between
                .is_some_and(|between| between(self.old, self.new, &rest));
        match right {
            true => Ok(()),
            false => Err(format!(
                "after the next run it is neither old ({}) nor new ({})\n{said}",
                rest.differences(self.old),
                rest.differences(self.new)
            )),
        }
    }
}

/// Whatever a power failure takes of what was not synced.
fn crashes(case: &Case) {
    if fleece_lab::require("strace").is_none() {
        return;
    }
    let work = Work::new(case);
    let old = State::of(&work.place);
    let before = crash::Disk::of(&work.place);
    let (good, calls) = trace::record(&work, &work.command(case));
    let new = State::of(&work.place);
    let states = crash::states(&before, &calls, &work.place, if long() { 4096 } else { 64 });
    assert!(states.len() > 1, "nothing was recorded");
    let judge = Judge {
        case,
        work: &work,
        old: &old,
        new: &new,
        good: good.code,
    };
    let mut violations = Vec::new();
    for (after, disk) in &states {
        fs::remove_dir_all(&work.place).unwrap();
        disk.write(&work.place);
        if let Err(why) = judge.settled() {
            violations.push(format!("after {after}: {why}"));
        }
    }
    println!(
        "{}: {} states after a power failure, {} violations",
        case.name,
        states.len(),
        violations.len()
    );
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// A test for each command.
macro_rules! each {
    ($check:ident: $($name:ident $case:ident),* $(,)?) => {
        $(#[test] fn $name() { $check(&case::$case); })*
    };
}

each!(sweep:
    an_archive_is_made_or_not CREATE,
    an_archive_is_extracted_or_not EXTRACT,
    an_archive_is_recovered_or_not RECOVER,
    an_archive_is_indexed_or_not INDEX,
    an_archive_is_reframed_or_not REFRAME,
    an_archive_is_optimized_or_not OPTIMIZE,
    images_are_backed_up_or_not BACKUP,
    a_folder_is_restored_to_or_not FOLDER,
    a_folder_is_replaced_or_as_it_was FOLDER_FORCE,
    a_guest_is_restored_or_not GUEST,
    a_guest_is_replaced_or_as_it_was GUEST_FORCE,
    notes_are_written_or_not NOTE,
    a_backup_is_protected_or_not PROTECT,
    a_backup_is_deleted_or_as_it_was DELETE,
    backups_are_pruned_or_as_they_were PRUNE,
    a_verification_is_recorded_or_not VERIFY,
    a_storage_is_added_or_not STORAGE_ADD,
    a_storage_is_removed_or_not STORAGE_REMOVE,
    a_clean_up_cleans_up_or_can_be_repeated CLEANUP,
);

each!(crashes:
    a_power_failure_leaves_a_whole_archive_or_none CREATE,
    a_power_failure_leaves_an_old_or_a_new_configuration STORAGE_ADD,
    a_power_failure_leaves_old_or_new_notes NOTE,
    a_power_failure_leaves_a_backup_whole_or_removed DELETE,
    a_power_failure_leaves_a_prune_done_or_not PRUNE,
    a_power_failure_leaves_a_backup_or_a_record_of_it BACKUP,
);
