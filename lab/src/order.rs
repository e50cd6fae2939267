//! Proof that images of several disks show one instant.
//!
//! The guest's `writer seq` writes block `n` to the first disk, then to the second, and so on, each
//! after the former is durable. So the states of disks that existed at one instant satisfy:
//!
//! 1. each block is whole, and is the one that belongs at its place;
//! 2. on each disk a thread's blocks have no gap: the ring holds the newest and all before it;
//! 3. for disks `i < j`, the newest number of a thread on `i` is that on `j`, or one higher.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};

use fleece_lab_guest::aligned::Block;
use fleece_lab_guest::block::{Found, Stamp, recognise};

/// What is found in a set of disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The newest number of each thread, per disk; 0 where nothing was written.
    pub newest: Vec<Vec<u64>>,
    /// Blocks that one write cannot have left.
    pub torn: Vec<Place>,
    /// What contradicts one instant.
    pub violations: Vec<Violation>,
}

/// A block's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The disk, from 0.
    pub disk: usize,
    /// The byte on the disk.
    pub offset: u64,
}

/// A contradiction to the order of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A whole block that is not where it was written to.
    Misplaced(Place),
    /// A block that must be there, since a later one is, and is not.
    Missing {
        /// Where it should be.
        place: Place,
        /// Which thread wrote it.
        thread: u32,
        /// Its number.
        number: u64,
    },
    /// Two disks that are not of one instant.
    Order {
        /// The thread that shows it.
        thread: u32,
        /// The disk written first and the newest number on it.
        earlier: (usize, u64),
        /// The disk written after it and the newest number on it.
        later: (usize, u64),
    },
}

impl Report {
    /// Whether all disks show one instant, in which every thread has written something.
    pub fn is_one_instant(&self) -> bool {
        let written = |newest: &Vec<u64>| newest.first().is_some_and(|number| *number > 0);
        self.torn.is_empty()
            && self.violations.is_empty()
            && !self.newest.is_empty()
            && self.newest.iter().all(written)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "newest number per thread and disk: {:?}", self.newest)?;
        for place in &self.torn {
            writeln!(f, "torn: disk {} at {}", place.disk, place.offset)?;
        }
        for violation in &self.violations {
            writeln!(f, "violation: {violation:?}")?;
        }
        Ok(())
    }
}

/// Reads the disks in the order in which `writer seq` was given them, with its numbers of threads and
/// slots, and checks them.
///
/// # Errors
///
/// A disk cannot be read, or is shorter than the rings.
pub fn check<R: Read>(disks: &mut [R], threads: u32, slots: u64) -> io::Result<Report> {
    let mut report = Report::default();
    let mut newest = vec![Vec::new(); usize::try_from(threads).unwrap_or(usize::MAX)];
    for (disk, number) in disks.iter_mut().zip(0..) {
        for (thread, newest) in (0..threads).zip(&mut newest) {
            let ring = Ring {
                disk: number,
                thread,
                slots,
            };
            newest.push(ring.check(disk, &mut report)?);
        }
    }
    for (thread, newest) in (0..threads).zip(&newest) {
        compare(thread, newest, &mut report);
    }
    report.newest = newest;
    Ok(report)
}

/// The blocks of one thread on one disk.
#[derive(Clone, Copy)]
struct Ring {
    disk: u32,
    thread: u32,
    slots: u64,
}

impl Ring {
    /// Reads the ring; gives the newest number in it, 0 for an empty one.
    fn check(self, disk: &mut impl Read, report: &mut Report) -> io::Result<u64> {
        let mut numbers = BTreeSet::new();
        let mut block = Block::zeroed();
        for slot in 0..self.slots {
            disk.read_exact(&mut block.0)?;
            // The slot of a number is its remainder, so a slot is the place of its own index.
            let place = self.place(slot);
            match recognise(&block.0) {
                Found::Empty => {}
                Found::Torn => report.torn.push(place),
                Found::Whole(stamp)
                    if stamp == self.stamp(stamp.number) && self.place(stamp.number) == place =>
                {
                    numbers.insert(stamp.number);
                }
                Found::Whole(_) => report.violations.push(Violation::Misplaced(place)),
            }
        }
        // The newest, and as many before it as the ring has room for, must all be there.
        let newest = numbers.last().copied().unwrap_or(0);
        let oldest = newest.saturating_sub(self.slots).saturating_add(1);
        for number in (oldest..=newest).filter(|number| !numbers.contains(number)) {
            report.violations.push(Violation::Missing {
                place: self.place(number),
                thread: self.thread,
                number,
            });
        }
        Ok(newest)
    }

    fn stamp(self, number: u64) -> Stamp {
        Stamp {
            thread: self.thread,
            disk: self.disk,
            number,
        }
    }

    fn place(self, number: u64) -> Place {
        Place {
            disk: usize::try_from(self.disk).unwrap_or(usize::MAX),
            offset: self.stamp(number).offset(self.slots).unwrap_or(u64::MAX),
        }
    }
}

/// Compares each disk with all that are written after it.
fn compare(thread: u32, newest: &[u64], report: &mut Report) {
    let disks = || newest.iter().copied().enumerate();
    for earlier in disks() {
        for later in disks().filter(|later| later.0 > earlier.0) {
            if !matches!(earlier.1.checked_sub(later.1), Some(0 | 1)) {
                report.violations.push(Violation::Order {
                    thread,
                    earlier,
                    later,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
