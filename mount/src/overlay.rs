//! What is written to a disk that cannot be changed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use crate::disk::{Disk, Run};

/// What is written is kept in clusters of this many bytes, as archives have them.
const CLUSTER: u64 = 64 * 1024;

/// Where overlays keep what is written.
#[derive(Debug)]
pub struct Store(Kind);

#[derive(Debug)]
enum Kind {
    Memory,
    File(Arc<SpillFile>),
}

/// A file for the clusters of several overlays.
#[derive(Debug)]
struct SpillFile {
    file: File,
    /// How many clusters are in it.
    used: RwLock<u64>,
}

impl Store {
    /// Memory, of which it takes as much as is written.
    #[must_use]
    pub const fn memory() -> Self {
        Self(Kind::Memory)
    }

    /// A new sparse file at `path`, for its owner only, whose name is taken away at once: it is gone with the last who has it
    /// open, and when the process is killed.
    ///
    /// # Errors
    /// Whatever the system says, such as that there is one.
    pub fn file(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(path)?;
        fs::remove_file(path)?;
        Ok(Self(Kind::File(Arc::new(SpillFile {
            file,
            used: RwLock::new(0),
        }))))
    }

    /// The same store for another overlay.
    #[must_use]
    pub fn share(&self) -> Self {
        Self(match &self.0 {
            Kind::Memory => Kind::Memory,
            Kind::File(file) => Kind::File(Arc::clone(file)),
        })
    }
}

/// A cluster that was written to.
#[derive(Debug)]
enum Slot {
    Memory(Box<[u8]>),
    /// Where it is in the file.
    File(u64),
}

/// A disk in front of another, which takes what is written.
pub struct Overlay<D> {
    below: D,
    store: Store,
    written: RwLock<BTreeMap<u64, Slot>>,
}

impl<D> fmt::Debug for Overlay<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut overlay = f.debug_struct("Overlay");
        overlay.field("store", &self.store).finish_non_exhaustive()
    }
}

impl<D: Disk> Overlay<D> {
    /// Nothing is written yet.
    pub const fn new(below: D, store: Store) -> Self {
        Self {
            below,
            store,
            written: RwLock::new(BTreeMap::new()),
        }
    }

    /// Keeps a cluster that has not been written to before.
    fn keep(&self, data: Box<[u8]>) -> io::Result<Slot> {
        let Kind::File(spill) = &self.store.0 else {
            return Ok(Slot::Memory(data));
        };
        let place = {
            let mut used = spill.used.write().unwrap_or_else(PoisonError::into_inner);
            let place = *used;
            *used = used.saturating_add(1);
            place.saturating_mul(CLUSTER)
        };
        spill.file.write_all_at(&data, place)?;
        Ok(Slot::File(place))
    }

    /// Fills `part` with what a slot has from `within` on.
    fn read_slot(&self, slot: &Slot, within: usize, part: &mut [u8]) -> io::Result<()> {
        match (slot, &self.store.0) {
            (Slot::Memory(data), _) => {
                let end = within.saturating_add(part.len());
                let there = data.get(within..end).ok_or(io::ErrorKind::InvalidData)?;
                part.copy_from_slice(there);
                Ok(())
            }
            (Slot::File(place), Kind::File(spill)) => spill
                .file
                .read_exact_at(part, place.saturating_add(within as u64)),
            (Slot::File(_), Kind::Memory) => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The parts of a range that are in one cluster each: its number, where in it, and how long.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let end = offset.saturating_add(length as u64);
    std::iter::from_fn(move || {
        (at < end).then(|| {
            let (cluster, within) = (at / CLUSTER, at % CLUSTER);
            let count = CLUSTER.saturating_sub(within).min(end.saturating_sub(at));
            at = at.saturating_add(count);
            let small = |number| usize::try_from(number).unwrap_or(usize::MAX);
            (cluster, small(within), small(count))
        })
    })
}

impl<D: Disk> Disk for Overlay<D> {
    fn size(&self) -> u64 {
        self.below.size()
    }

    fn stored(&self) -> u64 {
        let written = self.written.read().unwrap_or_else(PoisonError::into_inner);
        let more = (written.len() as u64).saturating_mul(CLUSTER);
        self.below.stored().saturating_add(more).min(self.size())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let written = self.written.read().unwrap_or_else(PoisonError::into_inner);
        if written.is_empty() {
            drop(written);
            return self.below.read_at(offset, buffer);
        }
        let mut rest = buffer;
        let mut at = offset;
        for (cluster, within, count) in parts(offset, rest.len()) {
            let (part, behind) = rest.split_at_mut_checked(count).unwrap_or_default();
            match written.get(&cluster) {
                Some(slot) => self.read_slot(slot, within, part)?,
                None => self.below.read_at(at, part)?,
            }
            at = at.saturating_add(count as u64);
            rest = behind;
        }
        Ok(())
    }

    fn run_at(&self, offset: u64, length: u64) -> io::Result<Run> {
        let written = self.written.read().unwrap_or_else(PoisonError::into_inner);
        let cluster = offset / CLUSTER;
        let (next, length) = match written.range(cluster..).next() {
            Some((number, _)) if *number == cluster => {
                let left = CLUSTER.saturating_sub(offset % CLUSTER).min(length);
                return Ok(Run {
                    data: true,
                    length: left,
                });
            }
            Some((number, _)) => (number.saturating_mul(CLUSTER), length),
            None => (u64::MAX, length),
        };
        self.below
            .run_at(offset, length.min(next.saturating_sub(offset)))
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.write().unwrap_or_else(PoisonError::into_inner);
        let mut rest = data;
        for (cluster, within, count) in parts(offset, data.len()) {
            let (part, behind) = rest.split_at_checked(count).unwrap_or_default();
            match (written.get_mut(&cluster), &self.store.0) {
                (Some(Slot::Memory(there)), _) => {
                    let end = within.saturating_add(count);
                    let there = there.get_mut(within..end);
                    there
                        .ok_or(io::ErrorKind::InvalidInput)?
                        .copy_from_slice(part);
                }
                (Some(Slot::File(place)), Kind::File(spill)) => spill
                    .file
                    .write_all_at(part, place.saturating_add(within as u64))?,
                (Some(Slot::File(_)), Kind::Memory) => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                (None, _) => {
                    let start = cluster.saturating_mul(CLUSTER);
                    let there = CLUSTER.min(self.size().saturating_sub(start));
                    let length = usize::try_from(there).unwrap_or_default();
                    let mut whole = vec![0; length].into_boxed_slice();
                    if count < length {
                        self.below.read_at(start, &mut whole)?;
                    }
                    let end = within.saturating_add(count);
                    let place = whole.get_mut(within..end);
                    place
                        .ok_or(io::ErrorKind::InvalidInput)?
                        .copy_from_slice(part);
                    written.insert(cluster, self.keep(whole)?);
                }
            }
            rest = behind;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Holes where it is zero, by 4 KiB.
    struct Below(Vec<u8>);

    impl Disk for Below {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn stored(&self) -> u64 {
            0
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let at = usize::try_from(offset).unwrap();
            buffer.copy_from_slice(self.0.get(at..at + buffer.len()).unwrap());
            Ok(())
        }

        fn run_at(&self, offset: u64, length: u64) -> io::Result<Run> {
            let at = usize::try_from(offset).unwrap();
            let block = self.0.get(at..).unwrap().chunks(4096).next().unwrap();
            let length = length.min(4096 - offset % 4096);
            Ok(Run {
                data: block.iter().any(|byte| *byte != 0),
                length,
            })
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn it_reads_as_if_all_had_been_written_to_the_disk_itself(
            size in 1..300_000_usize,
            writes in prop::collection::vec((0..300_000_usize, 1..90_000_usize, 1..255_u8), 0..6),
            in_file in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let store = match in_file {
                true => Store::file(&folder.path().join("overlay")).unwrap(),
                false => Store::memory(),
            };
            prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
            let mut truth: Vec<u8> = (0..size).map(|at| if at / 70_000 % 2 == 0 { 0 } else { 7 }).collect();
            let overlay = Overlay::new(Below(truth.clone()), store);
            for (at, length, byte) in writes {
                let at = at % size;
                let length = length.min(size - at);
                overlay.write_at(at as u64, &vec![byte; length]).unwrap();
                truth[at..at + length].fill(byte);
            }
            let mut all = vec![9; size];
            overlay.read_at(0, &mut all).unwrap();
            prop_assert!(all == truth);
            let mut middle = vec![9; size - size / 3];
            overlay.read_at((size / 3) as u64, &mut middle).unwrap();
            prop_assert!(middle == truth[size / 3..]);
            // What is said to be a hole is zero.
            let mut at = 0_u64;
            while at < size as u64 {
                let run = overlay.run_at(at, size as u64 - at).unwrap();
                prop_assert!(run.length > 0);
                let (from, to) = (at as usize, (at + run.length) as usize);
                prop_assert!(run.data || truth[from..to].iter().all(|byte| *byte == 0));
                at += run.length;
            }
            prop_assert_eq!(at, size as u64);
        }
    }
}
