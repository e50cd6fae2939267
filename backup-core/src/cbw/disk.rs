//! One disk of a snapshot: which clusters are where, and saving them before guests write.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use fleece_storage::block::{self, BlockDevice, Operation, is_zero};

use super::fate::{Fate, Waited};
use super::states::{State, StateMap};
use super::sync::{Ordering, fence};
use super::usage::Counters;
use super::workers::{Answer, Workers};
use super::{ClusterSize, Error, Options, Policy};

/// What the filter of a guest and the view of a backup share.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) source: Arc<dyn BlockDevice>,
    pub(super) target: Arc<dyn BlockDevice>,
    pub(super) states: StateMap,
    pub(super) size: u64,
    pub(super) cluster_size: ClusterSize,
    pub(super) fate: Arc<Fate>,
    pub(super) counters: Counters,
    pub(super) options: Options,
    /// Threads that save for guests, and nothing else: a slow reader must not be in their way.
    pub(super) savers: Workers,
    /// Threads that read and free the target for the backup.
    pub(super) readers: Workers,
}

/// How much is copied at once, unless a cluster is larger: enough for the target's full speed, and
/// little enough that others waiting for the same clusters are not held back long.
const MAX_COPY: u64 = 1 << 20;

impl Disk {
    /// Make sure that a guest may change a range: return when its clusters are saved or not needed,
    /// or the snapshot is over.
    ///
    /// Takes no lock if that is so already.
    pub(super) fn make_way(
        self: &Arc<Self>,
        operation: Operation,
        offset: u64,
        len: u64,
    ) -> block::Result<()> {
        let clusters = self.touched(offset, len);
        let mut rest = self.skip_settled(clusters);
        if !rest.is_empty() {
            let deadline = deadline(self.options.timeout);
            while !rest.is_empty() && !self.fate.is_over() {
                self.settle_first(&rest, deadline)
                    .or_else(|cause| self.failed(cause))
                    .map_err(|cause| cause.into_guest_error(operation))?;
                rest = self.skip_settled(rest);
            }
        }
        // Pairs with the fence in the view: whoever reads what the guest now writes also sees the
        // states that allowed it.
        fence(Ordering::Release);
        Ok(())
    }

    /// The clusters that a range touches.
    pub(super) fn touched(&self, offset: u64, len: u64) -> Range<u64> {
        let end = offset.saturating_add(len).min(self.size);
        if offset >= end {
            return 0..0;
        }
        self.cluster_size.whole_in(offset)..self.cluster_size.covering(end)
    }

    /// The bytes of some clusters; the last cluster of the disk may be cut short.
    pub(super) fn bytes(&self, clusters: &Range<u64>) -> Range<u64> {
        let at = |cluster: u64| {
            cluster
                .saturating_mul(self.cluster_size.bytes())
                .min(self.size)
        };
        at(clusters.start)..at(clusters.end)
    }

    fn skip_settled(&self, clusters: Range<u64>) -> Range<u64> {
        let end = clusters.end;
        let settled = |state| matches!(state, State::Saved | State::NotNeeded);
        self.states.run(clusters, settled).end..end
    }

    /// Get ahead with the first cluster of `clusters`: copy it, with those behind it, or wait for
    /// whoever does.
    fn settle_first(
        self: &Arc<Self>,
        clusters: &Range<u64>,
        deadline: Instant,
    ) -> super::Result<()> {
        let claimed = self.claim(clusters);
        if claimed.is_empty() {
            let first = clusters.start;
            let waited = self
                .fate
                .wait(deadline, || self.states.get(first) != State::Copying);
            return match waited {
                Waited::TimedOut => Err(Error::timed_out(self.options.timeout)),
                Waited::Done | Waited::Over => Ok(()),
            };
        }
        let disk = Arc::clone(self);
        match self
            .savers
            .call(&self.fate, deadline, move || disk.save(&claimed))
        {
            Answer::Done(result) => result,
            Answer::Over => Ok(()),
            Answer::TimedOut => Err(Error::timed_out(self.options.timeout)),
        }
    }

    /// Claim for copying what is needed at the beginning of `clusters`.
    fn claim(&self, clusters: &Range<u64>) -> Range<u64> {
        let most = self.cluster_size.whole_in(MAX_COPY).max(1);
        let end = clusters.end.min(clusters.start.saturating_add(most));
        let first_other = (clusters.start..end)
            .find(|cluster| !self.states.change(*cluster, State::Needed, State::Copying));
        clusters.start..first_other.unwrap_or(end)
    }

    /// Copy claimed clusters into the target. Runs on a worker, which may take for ever.
    fn save(&self, clusters: &Range<u64>) -> super::Result<()> {
        let result = self.copy(self.bytes(clusters));
        let to = if result.is_ok() {
            State::Saved
        } else {
            State::Needed
        };
        if result.is_ok() {
            let bytes = self.bytes(clusters);
            self.counters.saved(bytes.end.saturating_sub(bytes.start));
        }
        for cluster in clusters.clone() {
            self.states.change(cluster, State::Copying, to);
        }
        result
    }

    fn copy(&self, bytes: Range<u64>) -> super::Result<()> {
        let len = bytes.end.saturating_sub(bytes.start);
        let mut data = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        self.source
            .read_at(&mut data, bytes.start)
            .map_err(|error| Error::of_source(error).at(bytes.start))?;
        let written = if is_zero(&data) {
            self.target.write_zeroes(bytes.start, len)
        } else {
            self.target.write_at(&data, bytes.start)
        };
        written.map_err(|error| Error::of_target(error).at(bytes.start))
    }

    /// Old data could not be saved: let the snapshot or the guest suffer.
    fn failed(&self, cause: Error) -> super::Result<()> {
        match self.options.policy {
            Policy::BreakSnapshot => {
                self.fate.end(cause);
                Ok(())
            }
            Policy::BreakGuestWrite => Err(cause),
        }
    }
}

/// When something that starts now has taken too long.
pub(super) fn deadline(timeout: std::time::Duration) -> Instant {
    let now = Instant::now();
    // A timeout beyond what the clock can tell never comes; a century is as good.
    let century = std::time::Duration::from_secs(100 * 365 * 24 * 3600);
    now.checked_add(timeout.min(century)).unwrap_or(now)
}
