//! The conformance suite: what every plugin must do, run against the real thing.
//!
//! Plugins of this crate run it in its tests, authors of other plugins with the `conformance`
//! example: `cargo run -p fleece-storage --example conformance -- STORAGE_CFG ID VMID [DIRECTORY]`.

mod check;
mod checks;
mod io;
mod qemu;
mod subject;

use std::fmt;

pub use self::check::{Check, Outcome};

use self::subject::Subject;
use crate::plugin::Plugin;

/// What came out of the suite for one storage.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The type of the storage.
    pub kind: String,
    /// Each check with its outcome.
    pub outcomes: Vec<(&'static str, Outcome)>,
}

impl Report {
    /// Whether nothing failed.
    pub fn passed(&self) -> bool {
        !self
            .outcomes
            .iter()
            .any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (check, outcome) in &self.outcomes {
            let result = match outcome {
                Outcome::Passed => "ok".to_owned(),
                Outcome::NotApplicable(why) => format!("-- {why}"),
                Outcome::Failed(how) => format!("FAILED {how}"),
            };
            writeln!(f, "{:8} {check:62} {result}", self.kind)?;
        }
        Ok(())
    }
}

/// Runs all checks with volumes of guest `vmid`, which must have none on the storage before and
/// has none afterwards, and one with those of a guest called `conform-<vmid>`, of which the same is true.
pub fn conformance(storage: &dyn Plugin, vmid: u32) -> Report {
    // One subject for all: on some storages each question takes a command that looks at every disk.
    let outcomes = match Subject::begin(storage, vmid) {
        Ok(subject) => checks::ALL
            .iter()
            .map(|check| (check.name, check.run_on(&subject)))
            .collect(),
        Err(verdict) => vec![("the storage can be used", verdict.into())],
    };
    Report {
        kind: storage.kind().to_owned(),
        outcomes,
    }
}

/// All checks, to be run one by one.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    checks::ALL.iter()
}
