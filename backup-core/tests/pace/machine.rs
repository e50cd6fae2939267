//! Disks and processors, as queues in front of servers. Times are in seconds.

/// A disk, or the network in front of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storage {
    pub(crate) name: &'static str,
    /// Requests that it works on at once.
    width: usize,
    /// What each takes before bytes flow.
    read: f64,
    write: f64,
    /// More, if it does not begin where the one before has ended.
    seek: f64,
    /// Bytes a second of one request, and of all together.
    each: f64,
    all: f64,
}

pub(crate) const NVME: Storage = Storage {
    name: "NVMe",
    width: 32,
    read: 80e-6,
    write: 20e-6,
    seek: 0.0,
    each: 2e9,
    all: 3e9,
};

pub(crate) const SATA: Storage = Storage {
    name: "SATA",
    width: 8,
    read: 150e-6,
    write: 60e-6,
    seek: 0.0,
    each: 500e6,
    all: 500e6,
};

/// With a cache for writes, which it sorts.
pub(crate) const SPINNING: Storage = Storage {
    name: "spinning",
    width: 1,
    read: 100e-6,
    write: 100e-6,
    seek: 6e-3,
    each: 180e6,
    all: 1e12,
};

pub(crate) const NETWORK: Storage = Storage {
    name: "network",
    width: 64,
    read: 5e-3,
    write: 2e-3,
    seek: 0.0,
    each: 1e12,
    all: 1e9,
};

/// A file in the page cache.
pub(crate) const CACHE: Storage = Storage {
    name: "page cache",
    width: 2,
    read: 15e-6,
    write: 15e-6,
    seek: 0.0,
    each: 3e9,
    all: 4e9,
};

/// A processor, and what the programs on it cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) cores: usize,
    /// QEMU's main loop: a request, and a byte that it copies into a socket.
    pub(crate) request: f64,
    pub(crate) byte: f64,
    /// What the guest computes between two writes.
    pub(crate) think: f64,
    /// Compressing a byte of the archive.
    pub(crate) encode: f64,
}

impl Host {
    /// An emulated guest and its host on two processors, as the benchmarks' are. Fitted to the guest's writes without
    /// a backup, 5500 a second, and to the rate of a backup without a limit, 570 MiB/s.
    pub(crate) fn emulated() -> Self {
        Self {
            request: 30e-6,
            byte: 0.9e-9,
            think: 100e-6,
            encode: 2.2e-9,
            ..Self::cores(2)
        }
    }

    /// With hardware virtualisation.
    pub(crate) fn cores(cores: usize) -> Self {
        Self {
            cores,
            request: 12e-6,
            byte: 0.3e-9,
            think: 40e-6,
            encode: 2e-9,
        }
    }
}

/// Numbers from 0 to 1 that are the same in each run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// With a mean of 1, mostly short, sometimes long.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.next()).ln()
    }
}

/// A storage at work.
#[derive(Debug)]
pub(crate) struct Disk {
    storage: Storage,
    free: Vec<f64>,
    wire: f64,
    head: u64,
    random: Random,
}

impl Disk {
    pub(crate) fn new(storage: Storage) -> Self {
        Self {
            storage,
            free: vec![0.0; storage.width],
            wire: 0.0,
            head: 0,
            random: Random::new(77),
        }
    }

    /// When the bytes of a request flow that comes at `now`.
    pub(crate) fn begin(&mut self, now: f64, is_write: bool, offset: u64, bytes: u64) -> f64 {
        let storage = self.storage;
        let latency = if is_write {
            storage.write
        } else {
            storage.read
        };
        let seek = if offset == self.head {
            0.0
        } else {
            storage.seek
        };
        self.head = offset + bytes;
        // Four fifths always, and a fifth by chance.
        let latency = (latency + seek) * (0.8 + 0.2 * self.random.exponential());
        let first = self.free.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
        *first = now.max(*first) + latency + bytes as f64 / storage.each;
        *first
    }

    /// When they have all arrived.
    pub(crate) fn end(&mut self, now: f64, bytes: u64) -> f64 {
        self.wire = self.wire.max(now) + bytes as f64 / self.storage.all;
        self.wire
    }
}

/// Threads, each of which does one thing after the other.
#[derive(Debug)]
pub(crate) struct Threads {
    free: Vec<f64>,
}

impl Threads {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            free: vec![0.0; count],
        }
    }

    pub(crate) fn busy(&self, now: f64) -> usize {
        self.free.iter().filter(|free| **free > now).count()
    }

    /// When work is done that comes at `now`, with a processor for only a part of the time.
    pub(crate) fn serve(&mut self, now: f64, work: f64, share: f64) -> f64 {
        let first = self.free.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
        *first = now.max(*first) + work / share;
        *first
    }
}
