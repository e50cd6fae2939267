//! What the last verification of an archive found.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use jiff::Timestamp;

/// What is known about an archive being sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verified {
    /// Nobody looked, or the archive has changed since.
    Unknown,
    /// It was sound at that time.
    Sound(Timestamp),
    /// It was damaged at that time.
    Damaged(Timestamp),
}

impl Verified {
    /// One line: `sound|damaged TIME SIZE MTIME`, the last two those of the archive.
    pub(super) fn to_line(self, archive: &Metadata) -> Option<String> {
        let (word, time) = match self {
            Self::Unknown => return None,
            Self::Sound(time) => ("sound", time),
            Self::Damaged(time) => ("damaged", time),
        };
        Some(format!(
            "{word} {time:.0} {} {}\n",
            archive.size(),
            archive.mtime()
        ))
    }

    /// Reads a line; what it says about another state of the archive says nothing.
    pub(super) fn from_line(line: &str, archive: &Metadata) -> Self {
        let mut words = line.split_whitespace();
        let mut next = || words.next().unwrap_or("");
        let (word, time, size, mtime) = (next(), next(), next(), next());
        let same = size == archive.size().to_string() && mtime == archive.mtime().to_string();
        match (word, time.parse()) {
            ("sound", Ok(time)) if same => Self::Sound(time),
            ("damaged", Ok(time)) if same => Self::Damaged(time),
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Sound(_) => f.write_str("sound"),
            Self::Damaged(_) => f.write_str("damaged"),
        }
    }
}
