//! Targets that fill up, fail and hang: the guest goes on, the backup is told the cause.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fleece_backup_core::cbw::Policy::{BreakGuestWrite, BreakSnapshot};
use fleece_backup_core::cbw::{ErrorKind, Filter, Options, Policy, Snapshot};
use fleece_storage::block::{self, ReadAt, WriteAt};

use super::faulty::Faulty;
use super::{attach, content, disk};

const SIZE: u64 = 1 << 20;
static ONES: [u8; SIZE as usize] = [1; SIZE as usize];

/// No timeout plays a part in the test.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(50);

/// Disks full of ones, a target that can go wrong for each, and their snapshot.
fn snapshot_of_ones<const N: usize>(
    policy: Policy,
    timeout: Duration,
) -> ([Arc<Filter>; N], [Arc<Faulty>; N], Snapshot) {
    let filters = std::array::from_fn(|_| disk(&ONES));
    let targets = std::array::from_fn(|_| Faulty::new(SIZE));
    let mut options = Options::default();
    options.policy = policy;
    options.timeout = timeout;
    let disks = std::iter::zip(&filters, &targets)
        .map(|(filter, target)| (Arc::clone(filter), Arc::clone(target) as _));
    let snapshot = Snapshot::attach(disks.collect(), &options).expect("nothing is in the way");
    (filters, targets, snapshot)
}

#[test]
fn a_full_target_breaks_the_snapshot_and_not_the_guest() {
    let ([filter], [target], snapshot) = snapshot_of_ones(BreakSnapshot, LONG);
    target.fill();
    filter.write_at(&[2; 100], 65536).unwrap();

    let cause = snapshot.broken().expect("it broke");
    assert_eq!(
        (cause.kind(), cause.offset()),
        (ErrorKind::TargetFull, Some(65536))
    );
    // Also where nothing was overwritten: no one instant can be read any more.
    let told = snapshot.views()[0].read_at(&mut [0; 10], 0).unwrap_err();
    assert_eq!(told.to_string(), cause.to_string());
    let mut guest = [0; 100];
    filter.read_at(&mut guest, 65536).unwrap();
    assert_eq!(guest, [2; 100]);
}

#[test]
fn the_first_cause_is_the_one_that_is_told() {
    let ([filter], [target], snapshot) = snapshot_of_ones(BreakSnapshot, LONG);
    target.fill();
    filter.write_at(&[2], 0).unwrap();
    target.fail();
    filter.write_at(&[2], 500_000).unwrap();
    let view = snapshot.views()[0].clone();
    assert_eq!(
        view.read_at(&mut [0], 0).unwrap_err().kind(),
        ErrorKind::TargetFull
    );
    snapshot.detach();
    assert_eq!(
        view.release(0, SIZE).unwrap_err().kind(),
        ErrorKind::TargetFull
    );
}

#[test]
fn all_disks_of_a_snapshot_break_together() {
    let ([one, two], [bad, good], snapshot) = snapshot_of_ones(BreakSnapshot, LONG);
    bad.fail();
    one.write_at(&[3], 0).unwrap();
    assert_eq!(
        snapshot.views()[1].read_at(&mut [0], 0).unwrap_err().kind(),
        ErrorKind::TargetFailed
    );
    two.write_at(&[3], 0).unwrap();
    assert_eq!(good.allocated(), 0, "nothing is saved any more for anyone");
}

#[test]
fn under_the_other_policy_the_guest_write_fails_and_the_snapshot_stays_whole() {
    let ([filter], [target], snapshot) = snapshot_of_ones(BreakGuestWrite, LONG);
    target.fill();
    let error = filter.write_at(&[2; 100], 65536).unwrap_err();
    assert_eq!(error.kind(), block::ErrorKind::NoSpace);
    assert!(content(&snapshot) == ONES);

    target.heal();
    filter.write_at(&[2; 100], 65536).unwrap();
    assert!(content(&snapshot) == ONES);
}

#[test]
fn a_target_that_hangs_for_ever_holds_a_guest_back_no_longer_than_the_timeout() {
    let ([filter], [target], snapshot) = snapshot_of_ones(BreakSnapshot, SHORT);
    target.hang();
    let start = Instant::now();
    filter.write_at(&[2], 0).unwrap();
    assert!(start.elapsed() >= SHORT);
    assert!(start.elapsed() < LONG);
    let cause = snapshot.views()[0].read_at(&mut [0], 0).unwrap_err();
    assert_eq!(cause.kind(), ErrorKind::TargetTimedOut);

    // From then on nobody waits, and the hung target can be let go.
    filter.write_at(&[2; 500_000], 500_000).unwrap();
    snapshot.detach();
    attach(&filter, Faulty::new(SIZE), &Options::default());
    target.heal();
}

#[test]
fn under_the_other_policy_a_hung_target_fails_the_guest_write_in_time() {
    let ([filter], [target], snapshot) = snapshot_of_ones(BreakGuestWrite, SHORT);
    target.hang();
    for offset in [0, 1, 300_000] {
        let error = filter.write_at(&[2], offset).unwrap_err();
        assert_eq!(error.kind(), block::ErrorKind::TimedOut);
    }
    target.heal();
    assert!(content(&snapshot) == ONES);
}

#[test]
fn while_a_copy_hangs_only_writes_to_its_cluster_wait() {
    let ([filter], [target], snapshot) = snapshot_of_ones(BreakSnapshot, LONG);
    filter.write_at(&[2], 200_000).unwrap();
    target.hang();
    thread::scope(|scope| {
        let waiting = [0, 30_000].map(|offset| {
            let filter = &filter;
            scope.spawn(move || filter.write_at(&[2], offset).unwrap())
        });
        target.wait_for_hanging(1);
        // Saved before, so it goes on; the test would hang here otherwise.
        filter.write_at(&[3], 200_001).unwrap();
        assert!(waiting.iter().any(|thread| !thread.is_finished()));
        target.heal();
    });
    assert!(content(&snapshot) == ONES);
    assert_eq!(
        snapshot.usage().saved,
        2 * 65536,
        "the two writers shared one copy"
    );
}

#[test]
fn detaching_lets_go_of_guests_that_wait() {
    let ([filter], [target], snapshot) = snapshot_of_ones(BreakSnapshot, LONG);
    target.hang();
    thread::scope(|scope| {
        let writer = scope.spawn(|| filter.write_at(&[2], 0).unwrap());
        target.wait_for_hanging(1);
        snapshot.detach();
        writer.join().unwrap();
    });
    target.heal();
}

#[test]
fn a_reader_of_a_hung_target_ends_with_the_cause() {
    let ([filter], [target], snapshot) = snapshot_of_ones(BreakSnapshot, SHORT);
    filter.write_at(&[2], 0).unwrap();
    target.hang();
    let view = &snapshot.views()[0];
    assert_eq!(
        view.read_at(&mut [0], 0).unwrap_err().kind(),
        ErrorKind::TargetTimedOut
    );
    assert_eq!(
        view.release(0, SIZE).unwrap_err().kind(),
        ErrorKind::TargetTimedOut
    );
    filter.write_at(&[2], 500_000).unwrap();
    target.heal();
}

#[test]
fn a_break_wakes_those_who_wait_for_other_disks() {
    let ([one, two], [hung, bad], snapshot) = snapshot_of_ones(BreakSnapshot, LONG);
    hung.hang();
    bad.fail();
    thread::scope(|scope| {
        let writer = scope.spawn(|| one.write_at(&[3], 0).unwrap());
        hung.wait_for_hanging(1);
        two.write_at(&[3], 0).unwrap();
        writer.join().unwrap();
    });
    assert_eq!(snapshot.broken().unwrap().kind(), ErrorKind::TargetFailed);
    hung.heal();
}

#[test]
fn guest_writes_that_do_not_end_only_fail_the_attaching() {
    let stuck = Faulty::new(SIZE);
    let filter = Filter::new(Arc::clone(&stuck) as _);
    let other = disk(&ONES);
    stuck.hang();
    thread::scope(|scope| {
        let writer = scope.spawn(|| filter.write_at(&[2], 0).unwrap());
        stuck.wait_for_hanging(1);
        let mut options = Options::default();
        options.switch_timeout = SHORT;
        let target = || Faulty::new(SIZE) as _;
        let disks = vec![
            (Arc::clone(&other), target()),
            (Arc::clone(&filter), target()),
        ];
        let error = Snapshot::attach(disks, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SwitchTimedOut);
        other.write_at(&[3], 0).unwrap();
        stuck.heal();
        writer.join().unwrap();
    });
    attach(&filter, Faulty::new(SIZE), &Options::default());
    assert_eq!(stuck.allocated(), 4096);
}
