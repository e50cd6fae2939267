//! What the last verification of an archive found.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use jiff::{SignedDuration, Timestamp};

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
    /// When the archive was verified.
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Self::Unknown => None,
            Self::Sound(time) | Self::Damaged(time) => Some(time),
        }
    }

    /// Whether that was less than `age` before `now`.
    pub fn is_newer_than(self, age: SignedDuration, now: Timestamp) -> bool {
        // A time to come is one of a clock that was wrong.
        self.at()
            .is_some_and(|time| time <= now && now.duration_since(time) < age)
    }

    /// One line: `sound|damaged TIME SIZE MTIME INODE NANOSECONDS`, from the third on those of the archive;
    /// the last belongs to its MTIME.
    pub(super) fn to_line(self, archive: &Metadata) -> Option<String> {
        let (word, time) = match self {
            Self::Unknown => return None,
            Self::Sound(time) => ("sound", time),
            Self::Damaged(time) => ("damaged", time),
        };
        Some(format!(
            "{word} {time:.0} {} {} {} {}\n",
            archive.size(),
            archive.mtime(),
            archive.ino(),
            archive.mtime_nsec(),
        ))
    }

    /// The same for an object: `sound|damaged TIME SIZE ETAG`.
    pub(super) fn to_object_line(self, size: u64, etag: &str) -> Option<String> {
        let time = self.at()?;
        Some(format!("{self} {time:.0} {size} {etag}\n"))
    }

    /// Reads a line of an object; what it says about another state says nothing.
    pub(super) fn from_object_line(line: &str, size: u64, etag: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [word, time, was, tag] = words[..] else {
            return Self::Unknown;
        };
        let same = was == size.to_string() && tag == etag;
        match (word, time.parse()) {
            ("sound", Ok(time)) if same => Self::Sound(time),
            ("damaged", Ok(time)) if same => Self::Damaged(time),
            _ => Self::Unknown,
        }
    }

    /// Reads a line; what it says about another state of the archive says nothing.
    pub(super) fn from_line(line: &str, archive: &Metadata) -> Self {
        let mut words = line.split_whitespace();
        let mut next = || words.next().unwrap_or("");
        let (word, time, size, mtime) = (next(), next(), next(), next());
        let is = |word: &str, number: &dyn ToString| word == number.to_string();
        // Lines once ended here.
        let or_none = |word: &str, number: &dyn ToString| word.is_empty() || is(word, number);
        let same = is(size, &archive.size())
            && is(mtime, &archive.mtime())
            && or_none(next(), &archive.ino())
            && or_none(next(), &archive.mtime_nsec());
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
