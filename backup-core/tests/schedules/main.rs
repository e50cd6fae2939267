//! The locking of copy-before-write under a scheduler that tries many interleavings.
//!
//! The sources of `fleece_backup_core::cbw` are compiled here once more, with shuttle's locks,
//! atomics and threads in place of the standard library's: wherever one of them is used, the
//! scheduler may switch to another thread. A failing test prints a schedule that
//! `shuttle::replay` repeats.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::field_reassign_with_default,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "whatever goes wrong here fails a test, and not all of the library is used"
)]

#[path = "../../src/cbw/changes.rs"]
mod changes;
#[path = "../../src/cbw/disk.rs"]
mod disk;
#[path = "../../src/cbw/error.rs"]
mod error;
#[path = "../../src/cbw/fate.rs"]
mod fate;
#[path = "../../src/cbw/filter.rs"]
mod filter;
#[path = "../../src/cbw/gate.rs"]
mod gate;
#[path = "../../src/cbw/options.rs"]
mod options;
#[path = "../../src/cbw/snapshot.rs"]
mod snapshot;
#[path = "../../src/cbw/states.rs"]
mod states;
#[path = "../../src/cbw/usage.rs"]
mod usage;
#[path = "../../src/cbw/view.rs"]
mod view;
#[path = "../../src/cbw/workers.rs"]
mod workers;

mod device;
mod sync;

use std::sync::Arc;

use device::{PAGE, Pages};
use error::{Error, ErrorKind, Result};
use filter::Filter;
use fleece_storage::block::{Discard, Status, WriteAt};
use options::{ClusterSize, Options, Policy};
use shuttle::thread;
use snapshot::Snapshot;
use sync::{Waiting, set_waiting};
use view::SnapshotView;

/// Explore schedules in which waiting ends only when it is told to.
fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    explore_with(Waiting::Endless, scenario);
}

fn explore_with(waiting: Waiting, scenario: impl Fn() + Send + Sync + 'static) {
    let scenario = Arc::new(scenario);
    let run = move || {
        let scenario = Arc::clone(&scenario);
        move || {
            set_waiting(waiting);
            scenario();
        }
    };
    shuttle::check_random(run(), 1000);
    shuttle::check_pct(run(), 1000, 3);
}

/// Clusters of two pages.
fn options() -> Options {
    let mut options = Options::default();
    options.cluster_size = ClusterSize::new(2 * PAGE).unwrap();
    options
}

fn attach(disks: &[(&Arc<Filter>, &Arc<Pages>)]) -> Result<Snapshot> {
    let disks = disks
        .iter()
        .map(|(filter, target)| (Arc::clone(filter), Arc::clone(target) as _));
    Snapshot::attach(disks.collect(), &options())
}

fn page(byte: u8) -> Vec<u8> {
    vec![byte; PAGE as usize]
}

fn spawn_write(filter: &Arc<Filter>, index: u64, byte: u8) -> thread::JoinHandle<()> {
    let filter = Arc::clone(filter);
    thread::spawn(move || {
        filter
            .write_at(&page(byte), index * PAGE)
            .expect("guests go on")
    })
}

fn read(view: &SnapshotView) -> Result<Vec<u8>> {
    let mut content = vec![0xee; view.size() as usize];
    view.read_at(&mut content, 0)?;
    Ok(content.into_iter().step_by(PAGE as usize).collect())
}

#[test]
fn a_reader_sees_the_instant_while_guests_write_the_same_clusters() {
    explore(|| {
        let source = Pages::new(&[1, 2, 3, 4, 5]);
        let (filter, target) = (
            Filter::new(Arc::clone(&source) as _),
            Pages::new(&[0xee; 5]),
        );
        let snapshot = attach(&[(&filter, &target)]).unwrap();
        let guests = [
            spawn_write(&filter, 0, 11),
            spawn_write(&filter, 1, 12),
            spawn_write(&filter, 4, 15),
        ];
        assert_eq!(read(&snapshot.views()[0]).unwrap(), [1, 2, 3, 4, 5]);
        for guest in guests {
            guest.join().unwrap();
        }
        assert_eq!(read(&snapshot.views()[0]).unwrap(), [1, 2, 3, 4, 5]);
        assert_eq!(source.content(), [11, 12, 3, 4, 15]);
    });
}

#[test]
fn a_status_is_never_that_of_later_bytes() {
    explore(|| {
        let source = Pages::new(&[0, 0, 7, 7]);
        let (filter, target) = (Filter::new(source), Pages::new(&[0xee; 4]));
        let snapshot = attach(&[(&filter, &target)]).unwrap();
        let guest = {
            let filter = Arc::clone(&filter);
            thread::spawn(move || {
                filter.write_at(&page(9), 0).unwrap();
                filter.write_zeroes(2 * PAGE, 2 * PAGE).unwrap();
            })
        };
        let view = &snapshot.views()[0];
        for page in [2, 3] {
            let extent = view.block_status(page * PAGE, PAGE).unwrap();
            assert_eq!(extent.status, Status::Data);
        }
        guest.join().unwrap();
    });
}

#[test]
fn released_clusters_are_never_read_as_something_else() {
    explore(|| {
        let (filter, target) = (
            Filter::new(Pages::new(&[1, 2, 3, 4])),
            Pages::new(&[0xee; 4]),
        );
        let snapshot = attach(&[(&filter, &target)]).unwrap();
        let guest = spawn_write(&filter, 1, 12);
        let reader = {
            let view = snapshot.views()[0].clone();
            thread::spawn(move || match read(&view) {
                Ok(content) => assert_eq!(content, [1, 2, 3, 4]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Released),
            })
        };
        snapshot.views()[0].release(0, 2 * PAGE).unwrap();
        guest.join().unwrap();
        reader.join().unwrap();
        // Whoever came first, nothing is held any more.
        assert_eq!(snapshot.usage().held, 0);
    });
}

#[test]
fn an_instant_is_one_instant_on_all_disks() {
    explore(|| {
        let sources = [Pages::new(&[0]), Pages::new(&[0])];
        let filters = sources.map(|source| Filter::new(source));
        let guest = {
            let filters = filters.clone();
            thread::spawn(move || {
                for round in 1..=2 {
                    filters[0].write_at(&page(round), 0).unwrap();
                    filters[1].write_at(&page(round), 0).unwrap();
                }
            })
        };
        let targets = [Pages::new(&[0xee]), Pages::new(&[0xee])];
        // In the other order, since that is where an instant would be torn.
        let disks = [(&filters[1], &targets[1]), (&filters[0], &targets[0])];
        let snapshot = attach(&disks).unwrap();
        let later = read(&snapshot.views()[0]).unwrap()[0];
        let earlier = read(&snapshot.views()[1]).unwrap()[0];
        assert!(
            later == earlier || later + 1 == earlier,
            "{earlier} then {later}"
        );
        guest.join().unwrap();
    });
}

#[test]
fn a_broken_snapshot_is_never_read_as_if_it_held() {
    explore(|| {
        let (filter, target) = (
            Filter::new(Pages::new(&[1, 2, 3, 4])),
            Pages::new(&[0xee; 4]),
        );
        let snapshot = attach(&[(&filter, &target)]).unwrap();
        target.fail();
        let guests = [spawn_write(&filter, 0, 11), spawn_write(&filter, 3, 14)];
        match read(&snapshot.views()[0]) {
            Ok(content) => assert_eq!(content, [1, 2, 3, 4]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::TargetFailed),
        }
        for guest in guests {
            guest.join().unwrap();
        }
        assert_eq!(snapshot.broken().unwrap().kind(), ErrorKind::TargetFailed);
    });
}

#[test]
fn under_the_other_policy_only_the_guest_fails() {
    explore(|| {
        let source = Pages::new(&[1, 2, 3, 4]);
        let (filter, target) = (
            Filter::new(Arc::clone(&source) as _),
            Pages::new(&[0xee; 4]),
        );
        let mut options = options();
        options.policy = Policy::BreakGuestWrite;
        let disks = vec![(Arc::clone(&filter), Arc::clone(&target) as _)];
        let snapshot = Snapshot::attach(disks, &options).unwrap();
        target.fail();
        let guests = [0, 1].map(|index| {
            let filter = Arc::clone(&filter);
            thread::spawn(move || filter.write_at(&page(9), index * PAGE).unwrap_err())
        });
        assert_eq!(read(&snapshot.views()[0]).unwrap(), [1, 2, 3, 4]);
        for guest in guests {
            guest.join().unwrap();
        }
        assert_eq!(source.content(), [1, 2, 3, 4]);
    });
}

#[test]
fn whenever_a_timeout_strikes_the_guest_goes_on_and_readers_are_told() {
    explore_with(Waiting::Random, || {
        let source = Pages::new(&[1, 2, 3, 4]);
        let (filter, target) = (
            Filter::new(Arc::clone(&source) as _),
            Pages::new(&[0xee; 4]),
        );
        let snapshot = loop {
            match attach(&[(&filter, &target)]) {
                Ok(snapshot) => break snapshot,
                Err(error) => assert_eq!(error.kind(), ErrorKind::SwitchTimedOut),
            }
        };
        let guests = [spawn_write(&filter, 0, 11), spawn_write(&filter, 1, 12)];
        match read(&snapshot.views()[0]) {
            Ok(content) => assert_eq!(content, [1, 2, 3, 4]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::TargetTimedOut),
        }
        for guest in guests {
            guest.join().unwrap();
        }
        assert_eq!(source.content(), [11, 12, 3, 4]);
    });
}

#[test]
fn detaching_never_leaves_a_guest_waiting() {
    explore(|| {
        let source = Pages::new(&[1, 2, 3, 4]);
        let (filter, target) = (
            Filter::new(Arc::clone(&source) as _),
            Pages::new(&[0xee; 4]),
        );
        let snapshot = attach(&[(&filter, &target)]).unwrap();
        let view = snapshot.views()[0].clone();
        let guests = [spawn_write(&filter, 0, 11), spawn_write(&filter, 1, 12)];
        let reader = thread::spawn(move || match read(&view) {
            Ok(content) => assert_eq!(content, [1, 2, 3, 4]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Detached),
        });
        snapshot.detach();
        reader.join().unwrap();
        for guest in guests {
            guest.join().unwrap();
        }
        assert_eq!(source.content(), [11, 12, 3, 4]);
        attach(&[(&filter, &target)]).unwrap();
    });
}

#[test]
fn of_two_that_attach_the_same_disks_at_once_one_succeeds() {
    explore(|| {
        let filters = [(); 2].map(|()| Filter::new(Pages::new(&[1, 2])));
        let guest = spawn_write(&filters[0], 0, 3);
        let other = {
            let filters = filters.clone();
            thread::spawn(move || {
                let target = Pages::new(&[0, 0]);
                attach(&[(&filters[1], &target), (&filters[0], &target)])
            })
        };
        let target = Pages::new(&[0, 0]);
        let mine = attach(&[(&filters[0], &target), (&filters[1], &target)]);
        let other = other.join().unwrap();
        let failed = match (&mine, &other) {
            (Ok(_), Err(error)) | (Err(error), Ok(_)) => error.kind(),
            both => panic!("{both:?}"),
        };
        assert_eq!(failed, ErrorKind::Busy);
        guest.join().unwrap();
    });
}

#[test]
fn snapshots_one_after_the_other_see_their_own_instants() {
    explore(|| {
        let (filter, target) = (Filter::new(Pages::new(&[0, 0])), Pages::new(&[0xee; 2]));
        let guest = {
            let filter = Arc::clone(&filter);
            thread::spawn(move || {
                for round in 1..=2 {
                    filter.write_at(&page(round), 0).unwrap();
                    filter.discard(PAGE, PAGE).unwrap();
                }
            })
        };
        let mut last = 0;
        for _ in 0..2 {
            let snapshot = attach(&[(&filter, &target)]).unwrap();
            let first = read(&snapshot.views()[0]).unwrap();
            assert!(first[0] >= last);
            last = first[0];
            assert_eq!(read(&snapshot.views()[0]).unwrap(), first);
        }
        guest.join().unwrap();
    });
}
