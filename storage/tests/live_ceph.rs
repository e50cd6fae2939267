//! The conformance suite on a real Ceph cluster.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails says so by panicking"
)]

mod ceph;

use ceph::Cluster;
use fleece_storage::{Storages, testing};

#[test]
fn rbd_conforms() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let storage = Storages::from_config(&cluster.storages())
        .unwrap()
        .open("ceph")
        .unwrap();
    let report = testing::conformance(storage.as_ref(), 999_000);
    println!("{report}");
    assert!(report.passed(), "{report}{}", cluster.logs());
}
