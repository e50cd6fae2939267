//! Sizes, tails, and who may attach what.

use std::sync::Arc;

use fleece_backup_core::cbw::{ClusterSize, ErrorKind, Filter, Options, Snapshot};
use fleece_storage::block::{
    BlockStatus, Discard, Extent, Geometry, MemoryDevice, ReadAt, Status, WriteAt,
};

use super::{attach, content, disk};

fn options(cluster_size: u64) -> Options {
    let mut options = Options::default();
    options.cluster_size = ClusterSize::new(cluster_size).unwrap();
    options
}

#[test]
fn a_write_after_the_instant_is_not_in_the_snapshot_and_one_before_is() {
    let filter = disk(&[1; 100_000]);
    filter.write_at(&[2; 10], 50).unwrap();
    let snapshot = attach(
        &filter,
        Arc::new(MemoryDevice::new(100_000)),
        &Options::default(),
    );
    filter.write_at(&[3; 10], 55).unwrap();

    let mut expected = vec![1; 100_000];
    expected[50..60].fill(2);
    assert!(content(&snapshot) == expected);
    let mut guest = [0; 20];
    filter.read_at(&mut guest, 50).unwrap();
    assert_eq!(guest[..15], [2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
}

#[test]
fn a_disk_that_ends_inside_a_cluster_is_kept_to_its_last_byte() {
    for size in [1, 511, 4095, 4097, 65535, 65537, 131_073] {
        let filter = disk(&vec![7; size]);
        let target = Arc::new(MemoryDevice::new(size as u64));
        let snapshot = attach(&filter, Arc::clone(&target) as _, &Options::default());
        filter.write_at(&vec![8; size], 0).unwrap();
        assert!(content(&snapshot) == vec![7; size], "{size}");

        snapshot.views()[0].release(0, size as u64).unwrap();
        assert_eq!(target.allocated(), 0, "{size}");
    }
}

#[test]
fn a_disk_of_no_bytes_has_a_snapshot_of_no_bytes() {
    let filter = disk(&[]);
    let snapshot = attach(&filter, Arc::new(MemoryDevice::new(0)), &Options::default());
    filter.write_at(&[], 0).unwrap();
    let view = &snapshot.views()[0];
    assert_eq!(view.size(), 0);
    view.read_at(&mut [], 0).unwrap();
    assert_eq!(view.block_status(0, 0).unwrap().len, 0);
    view.release(0, 0).unwrap();
}

#[test]
fn a_range_outside_the_disk_is_refused_on_both_sides() {
    let filter = disk(&[1; 5000]);
    let snapshot = attach(
        &filter,
        Arc::new(MemoryDevice::new(9000)),
        &Options::default(),
    );
    let view = &snapshot.views()[0];
    for (offset, len) in [(4999, 2), (5001, 0), (u64::MAX, 1)] {
        filter.write_zeroes(offset, len).expect_err("outside");
        let kind = view.release(offset, len).expect_err("outside").kind();
        assert_eq!(kind, ErrorKind::OutOfBounds);
        assert_eq!(
            view.block_status(offset, len).unwrap_err().kind(),
            ErrorKind::OutOfBounds
        );
    }
    assert_eq!(snapshot.usage().saved, 0);
}

#[test]
fn a_target_that_is_too_small_is_refused_before_anything_is_attached() {
    let filter = disk(&[1; 5000]);
    let small = vec![(Arc::clone(&filter), Arc::new(MemoryDevice::new(4999)) as _)];
    let error = Snapshot::attach(small, &Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TargetTooSmall);
    attach(
        &filter,
        Arc::new(MemoryDevice::new(5000)),
        &Options::default(),
    );
}

#[test]
fn a_disk_is_in_one_snapshot_at_a_time() {
    let filter = disk(&[1; 5000]);
    let target = || Arc::new(MemoryDevice::new(5000)) as _;
    let twice = vec![
        (Arc::clone(&filter), target()),
        (Arc::clone(&filter), target()),
    ];
    let busy = |result: Result<Snapshot, fleece_backup_core::cbw::Error>| {
        assert_eq!(result.expect_err("busy").kind(), ErrorKind::Busy);
    };
    busy(Snapshot::attach(twice, &Options::default()));

    let first = attach(&filter, target(), &Options::default());
    busy(Snapshot::attach(
        vec![(Arc::clone(&filter), target())],
        &Options::default(),
    ));
    first.detach();
    attach(&filter, target(), &Options::default());
}

#[test]
fn a_detached_snapshot_is_not_read_and_costs_guests_nothing() {
    let filter = disk(&[1; 5000]);
    let target = Arc::new(MemoryDevice::new(5000));
    let snapshot = attach(&filter, Arc::clone(&target) as _, &Options::default());
    let view = snapshot.views()[0].clone();
    snapshot.detach();
    filter.write_at(&[2; 5000], 0).unwrap();
    assert_eq!(
        view.read_at(&mut [0; 10], 0).unwrap_err().kind(),
        ErrorKind::Detached
    );
    assert_eq!(target.allocated(), 0);
}

#[test]
fn what_was_released_is_neither_copied_nor_readable_and_its_space_is_free() {
    let filter = disk(&[1; 16 * 4096]);
    let target = Arc::new(MemoryDevice::new(16 * 4096));
    let snapshot = attach(&filter, Arc::clone(&target) as _, &options(4096));
    let view = &snapshot.views()[0];
    filter.write_at(&[2; 8 * 4096], 0).unwrap();
    assert_eq!(target.allocated(), 8 * 4096);

    // Half of a cluster is not a cluster.
    view.release(4096 + 1, 11 * 4096).unwrap();
    assert_eq!(target.allocated(), 2 * 4096);
    filter.write_at(&[3; 16 * 4096], 0).unwrap();
    assert_eq!(target.allocated(), 2 * 4096 + 4 * 4096);

    assert_eq!(
        view.read_at(&mut [0], 3 * 4096).unwrap_err().kind(),
        ErrorKind::Released
    );
    assert_eq!(
        view.block_status(3 * 4096, 1).unwrap_err().kind(),
        ErrorKind::Released
    );
    let mut kept = [0; 2 * 4096];
    view.read_at(&mut kept, 0).unwrap();
    assert_eq!(kept, [1; 2 * 4096]);
    view.release(0, 16 * 4096).unwrap();
    assert_eq!((target.allocated(), snapshot.usage().held), (0, 0));
    assert_eq!(snapshot.usage().peak, 8 * 4096);
}

#[test]
fn a_large_write_is_saved_completely() {
    let size = 5 << 20;
    let filter = disk(&vec![4; size]);
    let snapshot = attach(
        &filter,
        Arc::new(MemoryDevice::new(size as u64)),
        &options(4096),
    );
    filter.write_at(&vec![5; size - 2], 1).unwrap();
    assert!(content(&snapshot) == vec![4; size]);
    assert_eq!(snapshot.usage().saved, size as u64);
}

#[test]
fn zeroes_and_discards_of_a_guest_are_writes() {
    let filter = disk(&[6; 1 << 20]);
    let snapshot = attach(
        &filter,
        Arc::new(MemoryDevice::new(1 << 20)),
        &Options::default(),
    );
    filter.write_zeroes(70_000, 10).unwrap();
    filter.discard(500_000, 300_000).unwrap();
    assert!(content(&snapshot) == vec![6; 1 << 20]);
}

#[test]
fn zeroes_that_are_saved_take_no_space() {
    let filter = disk(&[0; 1 << 20]);
    let target = Arc::new(MemoryDevice::new(1 << 20));
    target.write_at(&[9; 1 << 20], 0).unwrap();
    let snapshot = attach(&filter, Arc::clone(&target) as _, &Options::default());
    filter.write_at(&[1; 1 << 20], 0).unwrap();
    assert!(content(&snapshot) == vec![0; 1 << 20]);
    assert_eq!(target.allocated(), 0);
}

#[test]
fn the_status_is_that_of_the_instant() {
    let source = Arc::new(MemoryDevice::new(1 << 20));
    source.write_at(&[1; 4096], 512 << 10).unwrap();
    let filter = Filter::new(source);
    let snapshot = attach(
        &filter,
        Arc::new(MemoryDevice::new(1 << 20)),
        &Options::default(),
    );
    // What was zero gets data, and what was data gets zero.
    filter.write_at(&[2; 4096], 0).unwrap();
    filter.discard(512 << 10, 4096).unwrap();

    let status = |offset| {
        snapshot.views()[0]
            .block_status(offset, (1 << 20) - offset)
            .unwrap()
    };
    assert_eq!(
        status(64 << 10),
        Extent {
            status: Status::Zero,
            len: 448 << 10
        }
    );
    assert_eq!(status(512 << 10).status, Status::Data);
    assert_eq!(status(0).status, Status::Data);
}

#[test]
fn clusters_are_as_large_as_the_target_can_free() {
    #[derive(Debug)]
    struct Coarse(MemoryDevice);
    let filter = disk(&[1; 100]);
    let small = attach(&filter, Arc::new(MemoryDevice::new(100)), &options(4096));
    assert_eq!(small.views()[0].cluster_size(), ClusterSize::MIN);
    small.detach();

    impl Geometry for Coarse {
        fn size(&self) -> u64 {
            self.0.size()
        }
        fn alignment(&self) -> u64 {
            4 << 20
        }
    }
    impl ReadAt for Coarse {
        fn read_at(&self, buf: &mut [u8], offset: u64) -> fleece_storage::block::Result<()> {
            self.0.read_at(buf, offset)
        }
    }
    impl BlockStatus for Coarse {}
    impl WriteAt for Coarse {
        fn write_at(&self, buf: &[u8], offset: u64) -> fleece_storage::block::Result<()> {
            self.0.write_at(buf, offset)
        }
        fn write_zeroes(&self, offset: u64, len: u64) -> fleece_storage::block::Result<()> {
            self.0.write_zeroes(offset, len)
        }
        fn flush(&self) -> fleece_storage::block::Result<()> {
            self.0.flush()
        }
    }
    impl Discard for Coarse {
        fn discard(&self, offset: u64, len: u64) -> fleece_storage::block::Result<()> {
            self.0.discard(offset, len)
        }
    }
    let coarse = attach(
        &filter,
        Arc::new(Coarse(MemoryDevice::new(100))),
        &options(4096),
    );
    assert_eq!(coarse.views()[0].cluster_size().bytes(), 4 << 20);
}

#[test]
fn cluster_sizes_are_powers_of_two_from_4_kib_to_16_mib() {
    for bytes in [0, 1, 2048, 4097, 12288, 32 << 20, u64::MAX] {
        let error = ClusterSize::new(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidClusterSize, "{bytes}");
    }
    for shift in 12..=24 {
        assert_eq!(ClusterSize::new(1 << shift).unwrap().bytes(), 1 << shift);
    }
}
