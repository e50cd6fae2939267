use std::io::Cursor;

use super::*;

const THREADS: u32 = 2;
const SLOTS: u64 = 8;
const RING: usize = 8 * 4096;
const DISK: usize = 2 * RING;

/// Disks as `writer seq` leaves them when each thread has made the given writes on each disk.
fn disks(written: [[u64; THREADS as usize]; 2]) -> Vec<Vec<u8>> {
    let disk = |(disk, newest): (u32, [u64; THREADS as usize])| {
        let mut bytes = vec![0; DISK];
        for (thread, newest) in (0..).zip(newest) {
            for number in 1..=newest {
                put(
                    &mut bytes,
                    Stamp {
                        thread,
                        disk,
                        number,
                    },
                );
            }
        }
        bytes
    };
    (0..).zip(written).map(disk).collect()
}

fn put(bytes: &mut [u8], stamp: Stamp) {
    let mut block = Block::zeroed();
    stamp.fill(&mut block);
    let at = usize::try_from(stamp.offset(SLOTS).unwrap()).unwrap();
    bytes[at..][..4096].copy_from_slice(&block.0);
}

fn checked(disks: Vec<Vec<u8>>) -> Report {
    let mut disks: Vec<_> = disks.into_iter().map(Cursor::new).collect();
    check(&mut disks, THREADS, SLOTS).unwrap()
}

#[test]
fn disks_between_two_writes_are_of_one_instant() {
    let report = checked(disks([[20, 5], [20, 4]]));
    assert!(report.is_one_instant(), "{report}");
    assert_eq!(report.newest, [[20, 20], [5, 4]]);
}

#[test]
fn disks_that_nobody_wrote_to_prove_nothing() {
    let report = checked(disks([[0, 0], [0, 0]]));
    assert!(report.violations.is_empty());
    assert!(!report.is_one_instant());
}

#[test]
fn a_later_disk_ahead_of_an_earlier_one_is_a_violation() {
    let report = checked(disks([[20, 5], [21, 5]]));
    let expected = Violation::Order {
        thread: 0,
        earlier: (0, 20),
        later: (1, 21),
    };
    assert_eq!(report.violations, [expected]);
    assert!(!report.is_one_instant());
}

#[test]
fn an_earlier_disk_two_steps_ahead_is_a_violation() {
    let report = checked(disks([[20, 7], [20, 5]]));
    assert!(matches!(
        report.violations[..],
        [Violation::Order { thread: 1, .. }]
    ));
}

#[test]
fn steps_that_add_up_over_several_disks_are_a_violation() {
    let mut report = Report::default();
    compare(0, &[5, 4, 3], &mut report);
    assert!(matches!(
        report.violations[..],
        [Violation::Order {
            earlier: (0, 5),
            later: (2, 3),
            ..
        }]
    ));
}

#[test]
fn a_mixture_of_two_writes_is_torn() {
    let mut disks = disks([[20, 5], [20, 5]]);
    let old = disks[1][4096..8192].to_vec();
    put(
        &mut disks[1],
        Stamp {
            thread: 0,
            disk: 1,
            number: 25,
        },
    );
    disks[1][4096 + 512..8192].copy_from_slice(&old[512..]);
    let report = checked(disks);
    let expected = Place {
        disk: 1,
        offset: 4096,
    };
    assert_eq!(report.torn, [expected]);
    assert!(!report.is_one_instant());
}

#[test]
fn a_lost_write_is_missing_though_a_later_one_is_there() {
    let mut disks = disks([[20, 5], [20, 5]]);
    // What was there before number 18 came to the same slot.
    put(
        &mut disks[0],
        Stamp {
            thread: 0,
            disk: 0,
            number: 10,
        },
    );
    let report = checked(disks);
    assert!(matches!(
        report.violations[..],
        [Violation::Missing { number: 18, .. }]
    ));
}

#[test]
fn a_block_of_another_disk_is_misplaced() {
    let mut disks = disks([[20, 5], [20, 5]]);
    disks.swap(0, 1);
    let report = checked(disks);
    assert!(
        report
            .violations
            .iter()
            .any(|violation| matches!(violation, Violation::Misplaced(_)))
    );
}

#[test]
fn a_disk_that_is_too_short_is_an_error() {
    let mut short = vec![Cursor::new(vec![0; RING])];
    assert!(check(&mut short, THREADS, SLOTS).is_err());
}
