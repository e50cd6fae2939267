//! A disk that holds something already, of which only what differs is written.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fleece_storage::block::{BlockDevice, Geometry, Result, Status, WriteAt};
use fleece_vma_format::{BLOCK_SIZE, is_zero};

/// How much of a disk is compared at a time, in bytes.
const COMPARED: u64 = 1 << 20;

/// Reads what is there before it writes, and writes the blocks of 4 KiB that are not so already.
#[derive(Debug)]
pub(super) struct Compared {
    disk: Arc<dyn BlockDevice>,
    written: Arc<AtomicU64>,
}

impl Compared {
    /// Counts in `written` how many bytes differed.
    pub(super) fn new(disk: Arc<dyn BlockDevice>, written: Arc<AtomicU64>) -> Self {
        Self { disk, written }
    }

    /// What has been put there is not counted before it is there.
    fn count(&self, run: &Range<usize>) {
        let bytes = run.end.saturating_sub(run.start) as u64;
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Geometry for Compared {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn alignment(&self) -> u64 {
        self.disk.alignment()
    }
}

impl WriteAt for Compared {
    fn write_at(&self, new: &[u8], offset: u64) -> Result<()> {
        let mut old = vec![0; new.len()];
        self.disk.read_at(&mut old, offset)?;
        let blocks = old.chunks(BLOCK_SIZE).zip(new.chunks(BLOCK_SIZE));
        // Zeroes are written as such, so that they take no space.
        let kinds = blocks.map(|(old, new)| (old != new).then(|| is_zero(new)));
        for (zero, run) in runs(kinds, new.len()) {
            let at = offset.saturating_add(run.start as u64);
            let data = new.get(run.clone()).unwrap_or_default();
            match zero {
                true => self.disk.write_zeroes(at, data.len() as u64)?,
                false => self.disk.write_at(data, at)?,
            }
            self.count(&run);
        }
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset.saturating_add(len);
        let mut at = offset;
        let mut old = Vec::new();
        while at < end {
            let found = self.disk.block_status(at, end.saturating_sub(at))?;
            if found.status == Status::Zero {
                at = at.saturating_add(found.len);
                continue;
            }
            let length = found.len.min(COMPARED);
            old.resize(usize::try_from(length).unwrap_or(0), 0);
            self.disk.read_at(&mut old, at)?;
            let kinds = old
                .chunks(BLOCK_SIZE)
                .map(|block| (!is_zero(block)).then_some(()));
            for ((), run) in runs(kinds, old.len()) {
                let length = run.end.saturating_sub(run.start) as u64;
                let place = at.saturating_add(run.start as u64);
                self.disk.write_zeroes(place, length)?;
                self.count(&run);
            }
            at = at.saturating_add(length);
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.disk.flush()
    }
}

/// Neighbouring blocks of one kind as ranges of `length` bytes; those without a kind are left out.
fn runs<K: Copy + PartialEq>(
    kinds: impl Iterator<Item = Option<K>>,
    length: usize,
) -> Vec<(K, Range<usize>)> {
    let mut runs: Vec<(K, Range<usize>)> = Vec::new();
    for (number, kind) in kinds.enumerate() {
        let Some(kind) = kind else { continue };
        let start = number.saturating_mul(BLOCK_SIZE);
        let end = start.saturating_add(BLOCK_SIZE).min(length);
        match runs.last_mut() {
            Some((last, run)) if *last == kind && run.end == start => run.end = end,
            _ => runs.push((kind, start..end)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use fleece_storage::block::{MemoryDevice, ReadAt as _};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_was_there_the_disk_holds_the_new_and_only_what_differed_is_counted(
            old in prop::collection::vec(0..3_u8, 1..40),
            new in prop::collection::vec(0..3_u8, 1..40),
            cut in 0..4096_usize,
        ) {
            let bytes = |blocks: &[u8], count: usize| -> Vec<u8> {
                let blocks = (0..count).map(|n| blocks.get(n).copied().unwrap_or(0));
                let mut bytes: Vec<u8> = blocks.flat_map(|value| [value; 4096]).collect();
                bytes.truncate(bytes.len() - cut);
                bytes
            };
            let count = old.len().max(new.len());
            let (old, new) = (bytes(&old, count), bytes(&new, count));
            let disk = Arc::new(MemoryDevice::with_content(&old));
            let written = Arc::new(AtomicU64::new(0));
            let compared = Compared::new(Arc::clone(&disk) as _, Arc::clone(&written));
            // As archives are restored: what is stored, and what is not.
            for (number, part) in new.chunks(8 * 4096).enumerate() {
                let at = (number * 8 * 4096) as u64;
                match is_zero(part) {
                    true => compared.write_zeroes(at, part.len() as u64).unwrap(),
                    false => compared.write_at(part, at).unwrap(),
                }
            }
            let mut there = vec![9; new.len()];
            disk.read_at(&mut there, 0).unwrap();
            prop_assert!(there == new);
            let blocks = old.chunks(4096).zip(new.chunks(4096));
            let differs = blocks.filter(|(old, new)| old != new).map(|(old, _)| old.len() as u64);
            prop_assert_eq!(written.load(Ordering::Relaxed), differs.sum::<u64>());
        }
    }
}
