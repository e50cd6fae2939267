//! What was read of a disk a moment ago, and how much is read of it in all.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::bytes::size;
use crate::source::{Shared, Source};

/// What is read at once: a cluster of an archive.
const CLUSTER: u64 = 64 << 10;

/// A disk of which the clusters of 64 KiB that were read last are kept, and of which no more is read than its readers
/// are allowed: structures that refer to each other in a circle would be read for ever.
pub struct Cached {
    source: Shared,
    size: u64,
    clusters: Mutex<Clusters>,
    /// How many bytes may still be given.
    left: Option<AtomicU64>,
}

struct Clusters {
    kept: HashMap<u64, (u64, Arc<Vec<u8>>)>,
    most: usize,
    clock: u64,
}

impl Cached {
    /// Keeps so many bytes of `source` in memory, at least 1 MiB.
    #[must_use]
    pub fn new(source: Shared, memory: u64) -> Self {
        let most = size(memory / CLUSTER).max(16);
        let clusters = Clusters {
            kept: HashMap::new(),
            most,
            clock: 0,
        };
        Self {
            size: source.size(),
            source,
            clusters: Mutex::new(clusters),
            left: None,
        }
    }

    /// Gives no more than this many bytes in all, and fails afterwards.
    #[must_use]
    pub fn with_budget(self, bytes: u64) -> Self {
        Self {
            left: Some(AtomicU64::new(bytes)),
            ..self
        }
    }

    fn spend(&self, bytes: u64) -> io::Result<()> {
        let Some(left) = &self.left else {
            return Ok(());
        };
        let spent = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(bytes)
        });
        match spent {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other(
                "more was read of this disk than its size explains: its structures go round in circles",
            )),
        }
    }

    fn cluster(&self, number: u64) -> io::Result<Arc<Vec<u8>>> {
        {
            let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
            clusters.clock = clusters.clock.saturating_add(1);
            let clock = clusters.clock;
            if let Some((used, cluster)) = clusters.kept.get_mut(&number) {
                *used = clock;
                return Ok(Arc::clone(cluster));
            }
        }
        let start = number.saturating_mul(CLUSTER);
        let len = self.size.saturating_sub(start).min(CLUSTER);
        let mut cluster = vec![0; size(len)];
        self.source.read_at(start, &mut cluster)?;
        let cluster = Arc::new(cluster);
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.make_room();
        let clock = clusters.clock;
        clusters.kept.insert(number, (clock, Arc::clone(&cluster)));
        Ok(cluster)
    }
}

impl Clusters {
    /// Forgets the older half at once, so that the oldest need not be looked for each time.
    fn make_room(&mut self) {
        if self.kept.len() < self.most {
            return;
        }
        let mut used: Vec<u64> = self.kept.values().map(|(used, _)| *used).collect();
        let middle = used.len() / 2;
        let (_, median, _) = used.select_nth_unstable(middle);
        let median = *median;
        self.kept.retain(|_, (used, _)| *used > median);
    }
}

impl Source for Cached {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A read of a byte costs something, too.
        self.spend((buffer.len() as u64).max(64))?;
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let within = size(at % CLUSTER);
            let whole = size((rest.len() as u64 / CLUSTER).saturating_mul(CLUSTER));
            if within == 0 && whole > 0 {
                // What comes in whole clusters is content, and not read again soon.
                let (now, later) = rest.split_at_mut(whole);
                self.source.read_at(at, now)?;
                at = at.saturating_add(whole as u64);
                rest = later;
                continue;
            }
            let cluster = self.cluster(at / CLUSTER)?;
            let there = cluster.get(within..).unwrap_or_default();
            let len = there.len().min(rest.len());
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(there.get(..len).unwrap_or_default());
            at = at.saturating_add(len as u64);
            rest = later;
        }
        Ok(())
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]
mod tests {
    use super::*;

    struct Counted(Vec<u8>, AtomicU64);

    impl Source for Counted {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.read_at(offset, buffer)
        }
    }

    fn disk(len: usize) -> Arc<Counted> {
        let bytes = (0..len).map(|at| (at / 7) as u8).collect();
        Arc::new(Counted(bytes, AtomicU64::new(0)))
    }

    #[test]
    fn what_was_read_is_not_read_again_and_the_same() {
        let disk = disk(5 * 65536 + 100);
        let cached = Cached::new(Arc::<Counted>::clone(&disk), 0);
        for (at, len) in [(0, 10), (65530, 20), (327_679, 101), (1, 200_000), (5, 5)] {
            let mut bytes = vec![0; len];
            cached.read_at(at as u64, &mut bytes).unwrap();
            assert!(bytes == disk.0[at..at + len]);
        }
        // Four clusters, and two that came as one in the middle of the large read.
        assert_eq!(disk.1.load(Ordering::Relaxed), 6);
        assert!(cached.read_at(327_770, &mut [0; 11]).is_err());
    }

    #[test]
    fn no_more_than_the_most_is_kept() {
        let disk = disk(100 * 65536);
        let cached = Cached::new(disk, 0);
        for cluster in 0..100 {
            cached.read_at(cluster * 65536 + 5, &mut [0; 3]).unwrap();
        }
        let kept = cached.clusters.lock().unwrap().kept.len();
        assert!((8..=16).contains(&kept), "{kept}");
    }

    #[test]
    fn a_budget_ends() {
        let cached = Cached::new(disk(70_000), 0).with_budget(200);
        for _ in 0..3 {
            cached.read_at(0, &mut [0; 1]).unwrap();
        }
        assert!(cached.read_at(0, &mut [0; 1]).is_err());
    }
}
