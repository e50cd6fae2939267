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

    /// One line: `sound|damaged TIME` and the archive's [`State`].
    pub(super) fn to_line(self, archive: &dyn State) -> Option<String> {
        let (word, time) = match self {
            Self::Unknown => return None,
            Self::Sound(time) => ("sound", time),
            Self::Damaged(time) => ("damaged", time),
        };
        Some(stamped(word, time, archive))
    }

    /// Reads a line; what it says about another state of the archive says nothing.
    pub(super) fn from_line(line: &str, archive: &dyn State) -> Self {
        match read_stamped(line, archive) {
            Some(("sound", time)) => Self::Sound(time),
            Some(("damaged", time)) => Self::Damaged(time),
            _ => Self::Unknown,
        }
    }
}

/// What changes with an archive.
pub(super) trait State {
    /// It, in words, of which the first two say nearly all.
    fn words(&self) -> Vec<String>;
}

/// `SIZE MTIME INODE NANOSECONDS`; the last belongs to its MTIME.
impl State for Metadata {
    fn words(&self) -> Vec<String> {
        vec![
            self.size().to_string(),
            self.mtime().to_string(),
            self.ino().to_string(),
            self.mtime_nsec().to_string(),
        ]
    }
}

/// A line about an archive as it is now: a word and a time, then its state.
pub(super) fn stamped(word: &str, time: Timestamp, archive: &dyn State) -> String {
    format!("{word} {time:.0} {}\n", archive.words().join(" "))
}

/// The word and the time of such a line, if it is about the archive as it is now.
pub(super) fn read_stamped<'a>(line: &'a str, archive: &dyn State) -> Option<(&'a str, Timestamp)> {
    let mut words = line.split_whitespace();
    let (word, time) = (words.next()?, words.next()?);
    let was: Vec<&str> = words.collect();
    let is = archive.words();
    // Lines once had two words of it.
    let same = was.len() >= 2 && was.iter().zip(&is).all(|(was, is)| was == is);
    Some((word, time.parse().ok().filter(|_| same)?))
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
