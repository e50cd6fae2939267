//! Taking an instant of several disks, and giving it back.

use std::sync::Arc;
use std::time::Duration;

use fleece_storage::block::{BlockDevice, Geometry};

use super::disk::{Disk, deadline};
use super::fate::Fate;
use super::filter::Filter;
use super::states::StateMap;
use super::usage::{Counters, Usage};
use super::view::SnapshotView;
use super::workers::Workers;
use super::{Error, ErrorKind, Options, Result};

/// Some disks as they were at one instant.
///
/// Dropping it detaches it.
#[derive(Debug)]
pub struct Snapshot {
    fate: Arc<Fate>,
    members: Vec<(Arc<Filter>, Arc<Disk>)>,
    views: Vec<SnapshotView>,
    /// What had been changed of each disk, if that was asked for.
    changes: Vec<Vec<u64>>,
}

/// Threads per disk that save for guests. Two keep a target busy while one of them reads the
/// source; more serve guests with deep queues.
const SAVERS: usize = 4;

/// Threads per disk that read and free the target.
const READERS: usize = 2;

/// How long detaching waits for a copy under way to end, so that usually nobody touches a target
/// any more when it returns.
const GRACE: Duration = Duration::from_secs(1);

impl Snapshot {
    /// Take the instant of some disks: each filter with the device that is to keep the old data.
    /// Any device will do that is as large as the disk and that nobody else uses; what it held is
    /// overwritten.
    ///
    /// Guest writes that are under way are finished first; those that come meanwhile wait, for as
    /// long as the slowest of the others takes. Each write is thus, on all disks, either in the
    /// snapshot or not.
    ///
    /// # Errors
    ///
    /// If a disk is in another snapshot, a target is too small, threads cannot be started, or
    /// writes do not end in [`Options::switch_timeout`]. Nothing is attached then.
    pub fn attach(
        disks: Vec<(Arc<Filter>, Arc<dyn BlockDevice>)>,
        options: &Options,
    ) -> Result<Self> {
        let fate = Arc::new(Fate::new());
        let members = disks
            .into_iter()
            .map(|(filter, target)| {
                let disk = new_disk(&filter, target, &fate, options)?;
                Ok((filter, disk))
            })
            .collect::<Result<Vec<_>>>()?;
        let changes = switch(&members, options)?;
        let views = members
            .iter()
            .map(|(_, disk)| SnapshotView::new(Arc::clone(disk)))
            .collect();
        Ok(Self {
            fate,
            members,
            views,
            changes,
        })
    }

    /// What the filters had marked as changed at the instant, disk by disk, if [it was to be taken](Options::take_changes).
    pub(crate) fn take_changes(&mut self) -> Vec<Vec<u64>> {
        std::mem::take(&mut self.changes)
    }

    /// The disks, in the order in which they were given.
    #[must_use]
    pub fn views(&self) -> &[SnapshotView] {
        &self.views
    }

    /// Why the snapshot can no longer be read; `None` while it can.
    #[must_use]
    pub fn broken(&self) -> Option<Error> {
        self.fate.check().err()
    }

    /// How much of their targets all disks together use. The peak is the sum of the disks' peaks.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.views
            .iter()
            .map(SnapshotView::usage)
            .fold(Usage::default(), |sum, usage| Usage {
                saved: sum.saved.saturating_add(usage.saved),
                held: sum.held.saturating_add(usage.held),
                peak: sum.peak.saturating_add(usage.peak),
            })
    }

    /// Give the instant back: from now on nothing is saved on any of the disks, and no guest waits.
    ///
    /// The targets may be deleted afterwards. A target that hangs is let go of: threads that wait
    /// for it end when it answers.
    pub fn detach(self) {
        drop(self);
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.fate.end(Error::new(ErrorKind::Detached));
        let deadline = deadline(GRACE);
        for (filter, disk) in &self.members {
            filter.detach(disk);
            if !disk.savers.close(deadline) || !disk.readers.close(deadline) {
                tracing::warn!(target = ?disk.target, "let go of a target that does not answer");
            }
        }
    }
}

fn new_disk(
    filter: &Filter,
    target: Arc<dyn BlockDevice>,
    fate: &Arc<Fate>,
    options: &Options,
) -> Result<Arc<Disk>> {
    let size = filter.size();
    if target.size() < size {
        return Err(Error::new(ErrorKind::TargetTooSmall)
            .because(format!("{} bytes instead of {size}", target.size())));
    }
    let cluster_size = options.cluster_size.raised_to(target.alignment());
    let start = |name, threads| {
        Workers::start(name, threads)
            .map_err(|error| Error::new(ErrorKind::NoThreads).caused_by(error))
    };
    Ok(Arc::new(Disk {
        source: Arc::clone(filter.source()),
        target,
        states: StateMap::new(cluster_size.covering(size)),
        size,
        cluster_size,
        fate: Arc::clone(fate),
        counters: Counters::new(),
        options: options.clone(),
        savers: start("cbw-save", SAVERS)?,
        readers: start("cbw-read", READERS)?,
    }))
}

/// The instant itself: close all gates, wait until nobody is inside any, attach, open them again. Returns what was changed
/// before.
fn switch(members: &[(Arc<Filter>, Arc<Disk>)], options: &Options) -> Result<Vec<Vec<u64>>> {
    let deadline = deadline(options.switch_timeout);
    let mut in_order: Vec<_> = members.iter().collect();
    in_order.sort_by_key(|(filter, _)| filter.id());
    if in_order
        .windows(2)
        .any(|pair| matches!(pair, [(a, _), (b, _)] if a.id() == b.id()))
    {
        return Err(Error::new(ErrorKind::Busy).because("it was named twice"));
    }

    let closed = in_order
        .iter()
        .map(|(filter, _)| filter.close(deadline))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| Error::new(ErrorKind::SwitchTimedOut))?;
    if members.iter().any(|(filter, _)| filter.is_busy()) {
        return Err(Error::new(ErrorKind::Busy));
    }
    if !closed.iter().all(|gate| gate.wait_until_empty(deadline)) {
        return Err(Error::new(ErrorKind::SwitchTimedOut));
    }
    for (filter, disk) in members {
        filter.attach(Arc::clone(disk));
    }
    if !options.take_changes {
        return Ok(Vec::new());
    }
    let changes = members.iter().map(|(filter, _)| filter.changes().take());
    Ok(changes.collect())
}
