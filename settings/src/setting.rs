//! One setting, and where it comes from.

use std::fmt;
use std::path::PathBuf;

use crate::pattern;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// The number of the line, from 1 on.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// What a setting holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Section {
    /// Every command.
    All,
    /// The command of this name.
    Command(String),
    /// Guests whose number or name this pattern matches.
    Guest(String),
    /// The job of this name.
    Job(String),
    /// The store of this name, which is no command's setting.
    Store(String),
}

/// What settings are asked for besides a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "as many as there are sections with names of their own"
)]
pub enum For<'a> {
    /// A command alone.
    Command,
    /// A guest, by its number or name.
    Guest(&'a str),
    /// A job, by its name.
    Job(&'a str),
}

impl<'a> From<Option<&'a str>> for For<'a> {
    /// A guest, or none.
    fn from(guest: Option<&'a str>) -> Self {
        guest.map_or(Self::Command, Self::Guest)
    }
}

impl Section {
    /// How much it counts for a command and what it is for; `None` if it does not hold for them.
    pub(crate) fn weight(&self, command: &str, what: For<'_>) -> Option<u8> {
        match (self, what) {
            (Self::All, _) => Some(0),
            (Self::Command(name), _) => (name == command).then_some(1),
            (Self::Guest(wanted), For::Guest(guest)) => {
                pattern::matches(wanted, guest).then_some(2)
            }
            (Self::Job(name), For::Job(job)) => (name == job).then_some(2),
            _ => None,
        }
    }
}

/// A key and what it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub(crate) section: Section,
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
    pub(crate) origin: Origin,
}

impl Setting {
    /// What it holds for.
    #[must_use]
    pub const fn section(&self) -> &Section {
        &self.section
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value as a text, such as `true` or `5`; of a list, all in it.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Where it comes from.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }
}
