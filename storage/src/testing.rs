//! The conformance suite: what every plugin must do, run against the real thing.
//!
//! Plugins of this crate run it in its tests, authors of other plugins with the `conformance`
//! example: `cargo run -p fleece-storage --example conformance -- STORAGE_CFG ID VMID [DIRECTORY]`.

mod checks;
mod io;
mod qemu;

use std::fmt;
use std::fmt::Write as _;

use fleece_guest_config::GuestId;

use crate::error::Error;
use crate::name::{VolumeFormat, VolumeName};
use crate::plugin::{AllocationRequest, Capabilities, Plugin};
use crate::volume::VolumeId;

/// What came out of the suite for one storage.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The type of the storage.
    pub kind: String,
    /// Each check with its outcome.
    pub outcomes: Vec<(&'static str, Outcome)>,
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

/// One check: a sentence that must be true of every storage.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    name: &'static str,
    function: fn(&Subject<'_>) -> Checked,
}

impl Check {
    /// The sentence.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the check, as [`conformance`] runs all.
    pub fn run(&self, storage: &dyn Plugin, vmid: u32) -> Outcome {
        match Subject::begin(storage, vmid) {
            Ok(subject) => self.run_on(&subject),
            Err(verdict) => verdict.into(),
        }
    }

    /// Whatever comes of it, the guest has no volumes afterwards.
    fn run_on(&self, subject: &Subject<'_>) -> Outcome {
        let outcome = (self.function)(subject).map_or_else(Outcome::from, |()| Outcome::Passed);
        match (subject.clean(), outcome) {
            (Err(Verdict::Failed(how)), Outcome::Passed | Outcome::NotApplicable(_)) => {
                Outcome::Failed(format!("cleaning up: {how}"))
            }
            (_, outcome) => outcome,
        }
    }
}

/// Why a check ends early.
#[derive(Debug)]
enum Verdict {
    NotApplicable(String),
    Failed(String),
}

type Checked<T = ()> = Result<T, Verdict>;

/// The storage under test.
struct Subject<'a> {
    storage: &'a dyn Plugin,
    vmid: u32,
    guest: GuestId,
    capabilities: Capabilities,
}

impl<'a> Subject<'a> {
    fn begin(storage: &'a dyn Plugin, vmid: u32) -> Checked<Self> {
        storage.activate()?;
        let guest = guest(vmid)?;
        ensure(storage.list(Some(&guest))?.is_empty(), || {
            format!("guest {guest} has volumes already")
        })?;
        Ok(Self {
            storage,
            vmid,
            guest,
            capabilities: storage.capabilities()?,
        })
    }

    fn clean(&self) -> Checked {
        for volume in self.storage.list(Some(&self.guest))? {
            self.storage.free(&volume.id)?;
        }
        Ok(())
    }

    /// The format that the storage prefers.
    fn format(&self) -> Checked<VolumeFormat> {
        let format = self.capabilities.formats.first().copied();
        format.ok_or_else(|| failed("it has no formats"))
    }

    fn name(&self, n: u32) -> Checked<VolumeName> {
        Ok(VolumeName::numbered(&self.guest, "conform", n)?)
    }

    fn request(&self, n: u32, format: VolumeFormat, size: u64) -> Checked<AllocationRequest> {
        Ok(AllocationRequest::new(self.name(n)?, format, size))
    }

    fn allocate(&self, n: u32, size: u64) -> Checked<VolumeId> {
        Ok(self
            .storage
            .allocate(&self.request(n, self.format()?, size)?)?)
    }

    /// A size as the storage shows it after rounding.
    fn rounded(&self, size: u64) -> Checked<u64> {
        let rounding = self.capabilities.size_rounding;
        size.checked_next_multiple_of(rounding)
            .ok_or_else(|| failed("it rounds sizes to zero"))
    }
}

fn guest(vmid: u32) -> Checked<GuestId> {
    GuestId::try_from(vmid).map_err(|error| failed(error.to_string()))
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::NotApplicable(why) => Self::NotApplicable(why),
            Verdict::Failed(how) => Self::Failed(how),
        }
    }
}

impl From<Error> for Verdict {
    fn from(error: Error) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        Self::Failed(text)
    }
}

fn failed(message: impl Into<String>) -> Verdict {
    Verdict::Failed(message.into())
}

fn ensure(condition: bool, message: impl FnOnce() -> String) -> Checked {
    if condition {
        Ok(())
    } else {
        Err(Verdict::Failed(message()))
    }
}

fn ensure_eq<T: PartialEq + fmt::Debug>(what: &str, actual: T, expected: T) -> Checked {
    ensure(actual == expected, || {
        format!("{what}: {actual:?} instead of {expected:?}")
    })
}
