//! What the last drill of an archive found.

use jiff::Timestamp;

use super::verified::{State, read_stamped, stamped};

/// What is known about the guest of an archive booting from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Boots {
    /// Nobody tried, or the archive has changed since.
    Unknown,
    /// It booted at that time.
    Yes(Timestamp),
    /// It did not boot at that time, or a file system of it was damaged.
    No(Timestamp),
}

impl Boots {
    /// `unknown`, `boots` or `fails`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Yes(_) => "boots",
            Self::No(_) => "fails",
        }
    }

    /// When it was tried.
    #[must_use]
    pub const fn at(self) -> Option<Timestamp> {
        match self {
            Self::Unknown => None,
            Self::Yes(time) | Self::No(time) => Some(time),
        }
    }

    /// One line, in the form of the line of a verification.
    pub(super) fn to_line(self, archive: &dyn State) -> Option<String> {
        Some(stamped(self.word(), self.at()?, archive))
    }

    /// Reads a line; what it says about another state of the archive says nothing.
    pub(super) fn from_line(line: &str, archive: &dyn State) -> Self {
        match read_stamped(line, archive) {
            Some(("boots", time)) => Self::Yes(time),
            Some(("fails", time)) => Self::No(time),
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_about_the_archive_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "x").unwrap();
        let archive = std::fs::metadata(&path).unwrap();
        let time = "2026-02-03T04:05:06Z".parse().unwrap();
        for boots in [Boots::Yes(time), Boots::No(time)] {
            let line = boots.to_line(&archive).unwrap();
            assert_eq!(Boots::from_line(&line, &archive), boots);
        }
        assert_eq!(Boots::Unknown.to_line(&archive), None);
        let line = Boots::Yes(time).to_line(&archive).unwrap();
        std::fs::write(&path, "xy").unwrap();
        let archive = std::fs::metadata(&path).unwrap();
        assert_eq!(Boots::from_line(&line, &archive), Boots::Unknown);
        assert_eq!(Boots::from_line("sound", &archive), Boots::Unknown);
    }
}
