//! A disk after a power failure: what was synced is there, and any part of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::trace::{Calls, unescape};

/// Files and folders: names lead to numbers, numbers to contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Disk {
    names: BTreeMap<PathBuf, usize>,
    /// `None`: a folder.
    contents: BTreeMap<usize, Option<Vec<u8>>>,
}

/// What changes a disk, with the number of the file that it is about.
#[derive(Clone, Debug)]
enum Change {
    /// Something gets a name.
    Name(PathBuf, usize),
    /// Something gets another name.
    Rename(PathBuf, PathBuf, usize),
    /// A name goes.
    Unname(PathBuf),
    /// Bytes at an offset.
    Write(usize, usize, Vec<u8>),
    Resize(usize, usize),
}

impl Change {
    /// Whether a sync of this file, or folder, makes it last.
    fn is_settled_by(&self, path: &Path, number: usize) -> bool {
        let within = |name: &Path| name.parent() == Some(path);
        match self {
            Self::Name(name, _) | Self::Unname(name) => within(name),
            Self::Rename(from, to, _) => within(from) && within(to),
            Self::Write(file, ..) | Self::Resize(file, _) => *file == number,
        }
    }
}

impl Disk {
    pub(crate) fn of(place: &Path) -> Self {
        let mut disk = Self::default();
        disk.add(place);
        disk
    }

    fn add(&mut self, path: &Path) {
        let number = self.names.len();
        self.names.insert(path.to_owned(), number);
        if path.is_dir() {
            self.contents.insert(number, None);
            for entry in fs::read_dir(path).unwrap() {
                self.add(&entry.unwrap().path());
            }
        } else {
            self.contents.insert(number, Some(fs::read(path).unwrap()));
        }
    }

    /// Makes it real.
    pub(crate) fn write(&self, place: &Path) {
        fs::create_dir(place).unwrap();
        for (path, number) in &self.names {
            // What is in a folder that is lost is lost.
            if path == place || !path.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match &self.contents[number] {
                None => fs::create_dir(path).unwrap(),
                Some(data) => fs::write(path, data).unwrap(),
            }
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Name(path, number) => {
                self.names.insert(path.clone(), *number);
            }
            Change::Rename(from, to, number) => {
                self.names.remove(from);
                self.names.insert(to.clone(), *number);
            }
            Change::Unname(path) => {
                self.names.remove(path);
            }
            Change::Write(number, offset, data) => {
                if let Some(Some(contents)) = self.contents.get_mut(number) {
                    let end = offset + data.len();
                    contents.resize(contents.len().max(end), 0);
                    contents[*offset..end].copy_from_slice(data);
                }
            }
            Change::Resize(number, size) => {
                if let Some(Some(contents)) = self.contents.get_mut(number) {
                    contents.resize(*size, 0);
                }
            }
        }
    }
}

/// What a power failure may leave at each moment of a command; of each moment at most `most`.
pub(crate) fn states(before: &Disk, calls: &Calls, place: &Path, most: u64) -> Vec<(String, Disk)> {
    // What is on the disk, what programs see, and what lies between.
    let (mut durable, mut seen) = (before.clone(), before.clone());
    let mut pending: Vec<Change> = Vec::new();
    let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
    let mut known = BTreeSet::new();
    let mut states = Vec::new();
    for line in &calls.lines {
        let Some(call) = Call::parse(line) else {
            continue;
        };
        let news = call.changes(&seen, &mut ends, place);
        for change in news {
            if let Change::Name(_, number) = &change {
                let fresh = match call.name {
                    "mkdir" => None,
                    _ => Some(Vec::new()),
                };
                for disk in [&mut seen, &mut durable] {
                    disk.contents
                        .entry(*number)
                        .or_insert_with(|| fresh.clone());
                }
            }
            seen.apply(&change);
            pending.push(change);
        }
        if matches!(call.name, "fsync" | "fdatasync")
            && let Some(path) = call.descriptor(place)
            && let Some(&number) = seen.names.get(&path)
        {
            let (settled, rest) = pending
                .into_iter()
                .partition::<Vec<_>, _>(|change| change.is_settled_by(&path, number));
            settled.iter().for_each(|change| durable.apply(change));
            pending = rest;
        }
        for subset in subsets(pending.len(), most) {
            let mut disk = durable.clone();
            let kept = pending.iter().zip(subset).filter(|(_, kept)| *kept);
            kept.for_each(|(change, _)| disk.apply(change));
            // What has no name is not there.
            let named: BTreeSet<usize> = disk.names.values().copied().collect();
            disk.contents.retain(|number, _| named.contains(number));
            if known.insert(disk.clone()) {
                states.push((call.to_string(), disk));
            }
        }
    }
    states
}

/// All subsets, or a fixed choice of them with the whole and the empty one.
fn subsets(length: usize, most: u64) -> impl Iterator<Item = Vec<bool>> {
    let all = 1_u64
        .checked_shl(length.try_into().unwrap())
        .unwrap_or(u64::MAX);
    let count = all.min(most);
    (0..count).map(move |n| {
        let pattern = match count == all {
            true => n,
            false if n == 0 => u64::MAX,
            // Multiples of an odd number go far and wide.
            false => (n - 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        (0..length)
            .map(|bit| pattern >> (bit % 64) & 1 == 1)
            .collect()
    })
}

/// One line of `strace`.
struct Call<'a> {
    name: &'a str,
    arguments: &'a str,
    result: &'a str,
}

impl std::fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths: Vec<_> = self.paths();
        write!(f, "{} {paths:?}", self.name)
    }
}

impl<'a> Call<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (_, rest) = line.split_once(' ')?;
        let (name, rest) = rest.trim_start().split_once('(')?;
        let (arguments, result) = rest.rsplit_once(" = ")?;
        let ok = !result.starts_with('-');
        ok.then_some(Self {
            name,
            arguments,
            result,
        })
    }

    /// The quoted arguments as paths.
    fn paths(&self) -> Vec<PathBuf> {
        let quoted = self.arguments.split('"').skip(1).step_by(2);
        let texts = quoted.filter(|text| text.len() < 2000);
        let paths = texts.map(|text| String::from_utf8_lossy(&unescape(text)).into_owned());
        paths.map(PathBuf::from).collect()
    }

    /// The file behind the first argument, a descriptor.
    fn descriptor(&self, place: &Path) -> Option<PathBuf> {
        described(self.arguments).filter(|path| path.starts_with(place))
    }

    fn number(&self, from_the_end: usize) -> usize {
        let number = self
            .arguments
            .trim_end_matches(')')
            .rsplit(", ")
            .nth(from_the_end);
        number
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    }

    fn changes(&self, seen: &Disk, ends: &mut BTreeMap<usize, usize>, place: &Path) -> Vec<Change> {
        let paths = self.paths();
        let path = paths.first().filter(|path| path.starts_with(place));
        let file = || seen.names.get(&self.descriptor(place)?).copied();
        let fresh = seen.contents.keys().max().map_or(0, |last| last + 1);
        match (self.name, path) {
            ("openat", Some(path)) if self.arguments.contains("O_CREAT") => {
                match seen.names.contains_key(path) {
                    true => Vec::new(),
                    false => vec![Change::Name(path.clone(), fresh)],
                }
            }
            ("mkdir", Some(path)) => vec![Change::Name(path.clone(), fresh)],
            ("unlink" | "unlinkat" | "rmdir", Some(path)) => vec![Change::Unname(path.clone())],
            ("rename" | "renameat" | "renameat2", Some(path)) => {
                let number = seen.names[path];
                vec![Change::Rename(path.clone(), paths[1].clone(), number)]
            }
            ("link" | "linkat", Some(path)) => {
                vec![Change::Name(paths[1].clone(), seen.names[path])]
            }
            ("write" | "pwrite64", _) => file().map_or_else(Vec::new, |number| {
                let quoted = self.arguments.split('"').nth(1).unwrap_or_default();
                let mut data = unescape(quoted);
                data.truncate(self.result.trim().parse().unwrap());
                let end = ends.entry(number).or_insert(0);
                let at = if self.name == "write" {
                    *end
                } else {
                    self.number(0)
                };
                *end = at + data.len();
                vec![Change::Write(number, at, data)]
            }),
            ("ftruncate", _) => {
                let change = file().map(|number| Change::Resize(number, self.number(0)));
                change.into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The path of a descriptor, as `strace -y` writes it after its number.
fn described(text: &str) -> Option<PathBuf> {
    let path = text.split_once('<')?.1.split('>').next()?;
    let path = match path.contains("\\x") {
        true => String::from_utf8_lossy(&unescape(path)).into_owned(),
        false => path.to_owned(),
    };
    Some(path.into())
}
