//! What guests do.

use std::ops::RangeInclusive;

use crate::machine::Random;
use crate::model::CLUSTER;

/// One request of the guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// Gives space back instead of writing. QEMU does not count that among the writes.
    pub(crate) is_discard: bool,
}

impl Request {
    pub(crate) fn clusters(self) -> RangeInclusive<usize> {
        let last = self.offset + self.bytes - 1;
        (self.offset / CLUSTER) as usize..=(last / CLUSTER) as usize
    }
}

/// What one of the guest's threads does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    kind: Kind,
    bytes: u64,
    /// The part of the disk where it writes, and where that begins.
    span: f64,
    from: f64,
    /// Requests a second at most; 0: one as soon as the last is done.
    rate: f64,
    /// From when to when, in seconds since the backup began.
    time: (f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Random,
    Sequential,
    Discard,
}

/// A guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) threads: &'static [Thread],
}

impl Load {
    /// Whether it writes to all of the disk.
    pub(crate) fn is_everywhere(&self) -> bool {
        self.threads.iter().any(|thread| thread.span >= 1.0)
    }

    /// Whether it writes nothing when the backup begins.
    pub(crate) fn begins_idle(&self) -> bool {
        self.threads.iter().all(|thread| thread.time.0 > 0.0)
    }
}

const ALWAYS: (f64, f64) = (-1e9, 1e9);

const fn random(bytes: u64, span: f64, rate: f64) -> Thread {
    Thread {
        kind: Kind::Random,
        bytes,
        span,
        from: 0.0,
        rate,
        time: ALWAYS,
    }
}

const fn sequential(bytes: u64, rate: f64) -> Thread {
    Thread {
        kind: Kind::Sequential,
        ..random(bytes, 1.0, rate)
    }
}

pub(crate) const LOADS: [Load; 7] = [
    Load {
        name: "4 KiB at random, always",
        threads: &[random(4 << 10, 1.0, 0.0)],
    },
    Load {
        name: "database",
        threads: &[
            random(8 << 10, 0.25, 300.0),
            random(8 << 10, 0.25, 300.0),
            random(8 << 10, 0.25, 300.0),
            random(8 << 10, 0.25, 300.0),
            sequential(16 << 10, 500.0),
        ],
    },
    Load {
        name: "log writer",
        threads: &[sequential(64 << 10, 50.0)],
    },
    Load {
        name: "mail spool",
        threads: &[random(4 << 10, 1.0, 50.0), random(32 << 10, 1.0, 50.0)],
    },
    Load {
        name: "fstrim",
        threads: &[
            Thread {
                kind: Kind::Discard,
                time: (1.0, 6.0),
                ..sequential(1 << 20, 50.0)
            },
            random(4 << 10, 0.1, 20.0),
        ],
    },
    Load {
        name: "burst after idle",
        threads: &[Thread {
            time: (2.0, 12.0),
            ..random(4 << 10, 1.0, 0.0)
        }],
    },
    Load {
        name: "idle",
        threads: &[],
    },
];

/// Guests that write to a part of their disk, which the order of the disk comes to at last.
pub(crate) const HOT: [Load; 3] = [
    Load {
        name: "4 KiB at random in the last tenth, always",
        threads: &[Thread {
            from: 0.9,
            ..random(4 << 10, 0.1, 0.0)
        }],
    },
    Load {
        name: "database in the last quarter",
        threads: &[
            Thread {
                from: 0.75,
                ..random(8 << 10, 0.25, 600.0)
            },
            Thread {
                from: 0.75,
                ..random(8 << 10, 0.25, 600.0)
            },
        ],
    },
    Load {
        name: "4 KiB at random, always",
        threads: &[random(4 << 10, 1.0, 0.0)],
    },
];

/// The benchmarks' guests, which write to a quarter of their disk.
pub(crate) const MEASURED: [Load; 3] = [
    Load {
        name: "4 KiB at random, one at a time",
        threads: &[random(4 << 10, 0.25, 0.0)],
    },
    Load {
        name: "64 KiB in sequence",
        threads: &[sequential(64 << 10, 0.0)],
    },
    Load {
        name: "100 writes a second",
        threads: &[random(4 << 10, 0.25, 100.0)],
    },
];

impl Thread {
    /// The request number `n` on a disk of `size` bytes.
    pub(crate) fn request(&self, n: u64, size: u64, random: &mut Random) -> Request {
        let places = ((size as f64 * self.span) as u64 / self.bytes).max(1);
        let first = (size as f64 * self.from) as u64 / self.bytes;
        let place = match self.kind {
            Kind::Random => (random.next() * places as f64) as u64,
            // From the middle on.
            Kind::Sequential | Kind::Discard => places / 2 + n,
        };
        Request {
            offset: (place % places + first) * self.bytes,
            bytes: self.bytes,
            is_discard: self.kind == Kind::Discard,
        }
    }

    /// When the next request comes, with the last one begun at `begun` and done at `now`.
    pub(crate) fn next(&self, begun: f64, now: f64, random: &mut Random) -> Option<f64> {
        let wait = if self.rate > 0.0 {
            random.exponential() / self.rate
        } else {
            0.0
        };
        let next = now.max(begun + wait).max(self.time.0);
        (next < self.time.1).then_some(next)
    }
}
