//! Copy-before-write: what guests and backups see, whatever happens.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "whatever goes wrong here fails a test, as it should"
)]

mod edges;
mod faults;
mod faulty;
mod model;
mod stress;

use std::sync::Arc;

use fleece_backup_core::cbw::{Filter, Options, Snapshot};
use fleece_storage::block::{BlockDevice, MemoryDevice};

/// A filter in front of a disk in memory that holds `content`.
fn disk(content: &[u8]) -> Arc<Filter> {
    Filter::new(Arc::new(MemoryDevice::with_content(content)))
}

/// A snapshot of one disk.
fn attach(filter: &Arc<Filter>, target: Arc<dyn BlockDevice>, options: &Options) -> Snapshot {
    Snapshot::attach(vec![(Arc::clone(filter), target)], options).expect("nothing is in the way")
}

/// All bytes of a snapshot's first disk.
fn content(snapshot: &Snapshot) -> Vec<u8> {
    let view = &snapshot.views()[0];
    let mut content = vec![0xee; usize::try_from(view.size()).expect("small")];
    view.read_at(&mut content, 0).expect("the snapshot holds");
    content
}
