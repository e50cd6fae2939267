//! What is known about each cluster of a disk: two bits.

use std::fmt;
use std::ops::Range;

use super::sync::{AtomicU64, Ordering};

/// The life of a cluster during a snapshot.
///
/// ```text
///             a guest wants to write        copied
///   Needed ───────────────────────► Copying ──────► Saved
///     │  ◄────────────────────────────┘               │
///     │               the copy failed                 │
///     └─────────────────► NotNeeded ◄─────────────────┘
///          released                     released
/// ```
///
/// A guest may write to clusters that are `Saved` or `NotNeeded`, and they never become anything
/// else that a guest would have to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The snapshot needs it, and its bytes are only in the source.
    Needed = 0,
    /// It is being copied into the target.
    Copying = 1,
    /// The target holds its bytes.
    Saved = 2,
    /// Nobody will read it any more.
    NotNeeded = 3,
}

/// The states of all clusters of a disk.
pub(super) struct StateMap {
    words: Box<[AtomicU64]>,
    clusters: u64,
}

/// States per word.
const PER_WORD: u64 = 32;

impl StateMap {
    /// All of `clusters` needed.
    pub(super) fn new(clusters: u64) -> Self {
        let words = (0..clusters.div_ceil(PER_WORD))
            .map(|_| AtomicU64::new(0))
            .collect();
        Self { words, clusters }
    }

    /// The state of a cluster; nobody needs those beyond the end.
    pub(super) fn get(&self, cluster: u64) -> State {
        match self.word(cluster) {
            Some((word, shift)) => decode(word.load(Ordering::Acquire) >> shift),
            None => State::NotNeeded,
        }
    }

    /// Make a cluster that is `from` be `to`; false, and no change, if it is anything else.
    pub(super) fn change(&self, cluster: u64, from: State, to: State) -> bool {
        let Some((word, shift)) = self.word(cluster) else {
            return false;
        };
        let turn = ((from as u64) ^ (to as u64)) << shift;
        let turned = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |states| {
            (decode(states >> shift) == from).then_some(states ^ turn)
        });
        turned.is_ok()
    }

    /// The clusters at the beginning of `range` for which `holds` does.
    pub(super) fn run(&self, range: Range<u64>, holds: impl Fn(State) -> bool) -> Range<u64> {
        let start = range.start;
        let end = range.clone().find(|cluster| !holds(self.get(*cluster)));
        start..end.unwrap_or(range.end)
    }

    fn word(&self, cluster: u64) -> Option<(&AtomicU64, u32)> {
        if cluster >= self.clusters {
            return None;
        }
        let word = self.words.get(usize::try_from(cluster / PER_WORD).ok()?)?;
        Some((
            word,
            u32::try_from(cluster % PER_WORD).ok()?.checked_mul(2)?,
        ))
    }
}

fn decode(bits: u64) -> State {
    match bits & 3 {
        0 => State::Needed,
        1 => State::Copying,
        2 => State::Saved,
        _ => State::NotNeeded,
    }
}

impl fmt::Debug for StateMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateMap")
            .field("clusters", &self.clusters)
            .finish_non_exhaustive()
    }
}
