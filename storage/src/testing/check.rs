//! One check, and what comes of it.

use super::subject::{Checked, Subject, Verdict};
use crate::plugin::Plugin;

/// One check: a sentence that must be true of every storage.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    pub(super) name: &'static str,
    pub(super) function: fn(&Subject<'_>) -> Checked,
}

impl Check {
    /// The sentence.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the check, as [`conformance`](super::conformance) runs all.
    pub fn run(&self, storage: &dyn Plugin, vmid: u32) -> Outcome {
        match Subject::begin(storage, vmid) {
            Ok(subject) => self.run_on(&subject),
            Err(verdict) => verdict.into(),
        }
    }

    /// Whatever comes of it, the guest has no volumes afterwards.
    pub(super) fn run_on(&self, subject: &Subject<'_>) -> Outcome {
        let outcome = (self.function)(subject).map_or_else(Outcome::from, |()| Outcome::Passed);
        match (subject.clean(), outcome) {
            (Err(Verdict::Failed(how)), Outcome::Passed | Outcome::NotApplicable(_)) => {
                Outcome::Failed(format!("cleaning up: {how}"))
            }
            (_, outcome) => outcome,
        }
    }
}

/// What came out of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth way")]
pub enum Outcome {
    /// The storage does it.
    Passed,
    /// The check says nothing about this storage, and why.
    NotApplicable(String),
    /// The storage does it wrong, and how.
    Failed(String),
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::NotApplicable(why) => Self::NotApplicable(why),
            Verdict::Failed(how) => Self::Failed(how),
        }
    }
}
