//! Locks against removal.

use jiff::Timestamp;

use crate::error::{Error, ErrorKind};

/// Who may end a lock before its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "S3 has two")]
pub enum LockMode {
    /// Nobody.
    #[default]
    Compliance,
    /// Whoever has a permission of its own for that.
    Governance,
}

impl LockMode {
    /// As S3 spells it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Compliance => "COMPLIANCE",
            Self::Governance => "GOVERNANCE",
        }
    }
}

/// Until when an object can neither be removed nor replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a lock has a mode and an end")]
pub struct Lock {
    /// Its kind.
    pub mode: LockMode,
    /// Its end.
    pub until: Timestamp,
}

impl Lock {
    /// The end as S3 takes it.
    pub(crate) fn end(&self) -> String {
        self.until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Whether it keeps what the other would, for as long: to the second, which is all that stores know.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        let strict = self.mode == LockMode::Compliance || other.mode == LockMode::Governance;
        strict && self.until.as_second() >= other.until.as_second()
    }

    /// The lock in what a store says of an object; `None` if it has none.
    pub(crate) fn of(mode: &str, until: &str) -> Result<Option<Self>, Error> {
        let mode = match mode {
            "" => return Ok(None),
            "GOVERNANCE" => LockMode::Governance,
            // What is not known is taken for the stricter.
            _ => LockMode::Compliance,
        };
        let until = until.parse().map_err(|_| {
            Error::new(
                ErrorKind::Refused,
                "the store tells of a lock without a time",
            )
        })?;
        Ok(Some(Self { mode, until }))
    }
}
