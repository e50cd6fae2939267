//! What all file systems have in common: one trait, behind which each of them is.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// The files of a volume, as they are: read-only, and usable from many threads at once.
///
/// Everything in it is the work of whoever had the disk, and may be hostile. Each call ends, and takes bounded memory;
/// what a walk over all of it takes is for [`Walk`](crate::Walk) to bound. Names have no `/` and no NUL, and are not `.` or
/// `..`; they may be any other bytes.
pub trait FileTree: Send + Sync + Debug {
    /// The topmost directory.
    fn root(&self) -> NodeId;

    /// What is worth knowing about what this shows, each in a sentence without a full stop: that a journal was replayed in
    /// memory, or could not be.
    fn notes(&self) -> Vec<String>;

    /// What a node is.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    fn stat(&self, node: NodeId) -> Result<Stat>;

    /// Gives each entry of a directory but `.` and `..` to `each`, until that has enough.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`] if it is no directory; if it cannot be read, or is damaged.
    fn list(&self, directory: NodeId, each: &mut dyn FnMut(Entry) -> ControlFlow<()>)
    -> Result<()>;

    /// The node that has this name in a directory, `None` if none has. Names of file systems that do not distinguish
    /// between capital and small letters are not distinguished.
    ///
    /// # Errors
    /// As [`Self::list`].
    fn find(&self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        let (mut exact, mut alike) = (None, None);
        self.list(directory, &mut |entry| {
            if entry.name == name {
                exact = Some(entry.node);
                return ControlFlow::Break(());
            }
            if self.ignores_case() && alike.is_none() && is_alike(&entry.name, name) {
                alike = Some(entry.node);
            }
            ControlFlow::Continue(())
        })?;
        Ok(exact.or(alike))
    }

    /// Whether names that differ in capital and small letters only are one.
    fn ignores_case(&self) -> bool {
        false
    }

    /// Reads of a file from `offset` on. Fewer bytes than there is room for are at the end of the file only. What is not
    /// stored is zeroes.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`] if it is no file; if it cannot be read, or is damaged.
    fn read_at(&self, node: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Where stored bytes are in a file, at or behind `offset`: `None` if only a hole is left. In between there are zeroes.
    ///
    /// # Errors
    /// As [`Self::read_at`].
    fn data_at(&self, node: NodeId, offset: u64) -> Result<Option<Range<u64>>>;

    /// What a symbolic link says, which is anything, and at most 64 KiB.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`] if it is no symbolic link; if it cannot be read, or is damaged.
    fn link(&self, node: NodeId) -> Result<Vec<u8>>;

    /// The extended attributes of a node, where they are read.
    ///
    /// # Errors
    /// If they cannot be read, or are damaged.
    fn attributes(&self, _node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        Ok(Vec::new())
    }

    /// The names and sizes of further contents of a file: NTFS's alternate data streams.
    ///
    /// # Errors
    /// If they cannot be read, or are damaged.
    fn streams(&self, _node: NodeId) -> Result<Vec<(Vec<u8>, u64)>> {
        Ok(Vec::new())
    }
}

fn is_alike(a: &[u8], b: &[u8]) -> bool {
    let lower = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
    a.eq_ignore_ascii_case(b) || lower(a) == lower(b)
}

/// Which file or directory, within one [`FileTree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "two numbers, whatever they say")]
pub struct NodeId {
    /// The subvolume, where there are any.
    pub tree: u64,
    /// The number of the inode, or what stands for one.
    pub number: u64,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "that is what an entry is")]
pub struct Entry {
    /// Its name, which is not empty.
    pub name: Vec<u8>,
    /// What it names.
    pub node: NodeId,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "POSIX has no others")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    Character,
    /// A block device.
    Block,
}

impl Kind {
    /// The kind in the upper four of 16 bits of a mode.
    pub(crate) fn of_mode(mode: u32) -> Result<Self> {
        Ok(match mode & 0xf000 {
            0x1000 => Self::Fifo,
            0x2000 => Self::Character,
            0x4000 => Self::Directory,
            0x6000 => Self::Block,
            0x8000 => Self::File,
            0xa000 => Self::Link,
            0xc000 => Self::Socket,
            _ => return Err(Error::damaged(format!("an inode has mode {mode:o}"))),
        })
    }

    /// The same as a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Link => "link",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Character => "character device",
            Self::Block => "block device",
        }
    }
}

/// What there is to know about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// The twelve bits of its permissions; where a file system has none, 755 for directories and 644 for files.
    pub permissions: u32,
    /// Whose it is; 0 where the file system does not say.
    pub uid: u32,
    /// Of which group; 0 where the file system does not say.
    pub gid: u32,
    /// In bytes; for a link, of what it says.
    pub size: u64,
    /// How many names it has; at least 1.
    pub links: u32,
    /// When its content was changed.
    pub modified: Time,
    /// When it was read, as far as the file system notes that.
    pub accessed: Time,
    /// When anything of it was changed.
    pub changed: Time,
    /// When it was made, if that is known.
    pub created: Option<Time>,
    /// The major and minor number of a device.
    pub device: (u32, u32),
}

impl Stat {
    /// A node without owners, of a file system without permissions.
    pub(crate) const fn plain(kind: Kind, size: u64, modified: Time) -> Self {
        Self {
            kind,
            permissions: match kind {
                Kind::Directory => 0o755,
                Kind::Link => 0o777,
                _ => 0o644,
            },
            uid: 0,
            gid: 0,
            size,
            links: 1,
            modified,
            accessed: modified,
            changed: modified,
            created: None,
            device: (0, 0),
        }
    }
}

/// A time, in seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "as everywhere")]
pub struct Time {
    /// Seconds since 1970 in UTC.
    pub seconds: i64,
    /// Below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Time {
    pub(crate) const fn new(seconds: i64, nanoseconds: u32) -> Self {
        // More would be refused by whoever sets it.
        let nanoseconds = if nanoseconds < 1_000_000_000 {
            nanoseconds
        } else {
            0
        };
        Self {
            seconds,
            nanoseconds,
        }
    }

    /// A date and a time of day in UTC.
    pub(crate) fn civil(date: (i64, u8, u8), time: (u8, u8, u8)) -> Self {
        let (year, month, day) = (
            date.0,
            i64::from(date.1.clamp(1, 12)),
            i64::from(date.2.clamp(1, 31)),
        );
        // Days since 1970 in the Gregorian calendar, with years that begin in March.
        let year = if month <= 2 {
            year.saturating_sub(1)
        } else {
            year
        };
        let month = if month <= 2 {
            month.saturating_add(9)
        } else {
            month.saturating_sub(3)
        };
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = month.saturating_mul(153).saturating_add(2) / 5;
        let days = era
            .saturating_mul(146_097)
            .saturating_add(of_era.saturating_mul(365))
            .saturating_add(of_era / 4)
            .saturating_sub(of_era / 100)
            .saturating_add(of_year)
            .saturating_add(day)
            .saturating_sub(719_469);
        let (hours, minutes, seconds) = (i64::from(time.0), i64::from(time.1), i64::from(time.2));
        let seconds = days
            .saturating_mul(86_400)
            .saturating_add(hours.saturating_mul(3600))
            .saturating_add(minutes.saturating_mul(60))
            .saturating_add(seconds);
        Self::new(seconds, 0)
    }
}

/// The name of an entry, if it can be one: `None` for `.` and `..`, and damage for what would be a path.
pub(crate) fn entry_name(name: &[u8]) -> Option<Vec<u8>> {
    match name {
        b"" | b"." | b".." => None,
        // No system could have made it: what is shown instead is no other place.
        name if name.contains(&0) || name.contains(&b'/') => {
            let fine = |byte: &u8| {
                if matches!(byte, 0 | b'/') {
                    b'?'
                } else {
                    *byte
                }
            };
            Some(name.iter().map(fine).collect())
        }
        name => Some(name.to_vec()),
    }
}

/// That a node is not what it would have to be.
pub(crate) fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::WrongKind, what)
}

/// What was parsed last, so that a file that is read piece by piece is not looked up for each.
pub(crate) struct Recent<K, V>(Mutex<HashMap<K, Arc<V>>>);

impl<K: Hash + Eq, V> Recent<K, V> {
    /// How many are kept.
    const MOST: usize = 64;

    pub(crate) fn get(&self, key: K, make: impl FnOnce() -> Result<V>) -> Result<Arc<V>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = lock().get(&key) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(make()?);
        let mut kept = lock();
        if kept.len() >= Self::MOST {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&made));
        Ok(made)
    }
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K, V> Debug for Recent<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |date, time| Time::civil(date, time).seconds;
        assert_eq!(at((1970, 1, 1), (0, 0, 0)), 0);
        assert_eq!(at((2000, 2, 29), (12, 0, 1)), 951_825_601);
        assert_eq!(at((1969, 12, 31), (23, 59, 59)), -1);
        assert_eq!(at((2026, 12, 1), (1, 2, 3)), 1_796_086_923);
    }

    #[test]
    fn no_name_is_a_path() {
        for gone in [&b""[..], b".", b".."] {
            assert_eq!(entry_name(gone), None);
        }
        assert_eq!(entry_name(b"../etc\0x").unwrap(), b"..?etc?x");
        assert_eq!(entry_name(b"a\xff\x1b").unwrap(), b"a\xff\x1b");
    }
}
