//! Many threads with a known history: every snapshot must be one cut through all of it.

use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use fleece_backup_core::RateLimit;
use fleece_backup_core::cbw::{ClusterSize, Filter, Options, Snapshot, SnapshotView, Throttled};
use fleece_storage::block::{
    BlockDevice, Discard, Geometry, MemoryDevice, RawFile, ReadAt, WriteAt,
};

/// Two disks, whose sizes are multiples of nothing.
const SIZES: [u64; 2] = [1_500_001, 777_777];
const GUESTS: usize = 4;
const ROUNDS: usize = 10;

/// Guests own stripes, so that the history of each byte is known, and share clusters.
const STRIPE: u64 = 3001;

/// One write of one guest: a run of its own number, or of zeroes.
#[derive(Clone, Copy, Debug)]
struct Write {
    disk: usize,
    offset: u64,
    len: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Number(u8),
    Zeroes,
    Discard,
}

/// A small generator of pseudo-random numbers (xorshift64), so that runs can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

impl Write {
    /// The `number`th write of a guest, somewhere in its stripes.
    fn random(guest: usize, number: usize, random: &mut Random) -> Self {
        let disk = usize::try_from(random.below(2)).unwrap();
        let stripes = SIZES[disk] / STRIPE / GUESTS as u64;
        let stripe = random.below(stripes) * GUESTS as u64 + guest as u64;
        let start = random.below(STRIPE);
        let kind = match random.below(20) {
            0 => Kind::Zeroes,
            1 => Kind::Discard,
            _ => Kind::Number((number % 255 + 1) as u8),
        };
        let len = 1 + random.below(STRIPE - start);
        Self {
            disk,
            offset: stripe * STRIPE + start,
            len,
            kind,
        }
    }

    fn apply(&self, device: &Filter) {
        match self.kind {
            Kind::Number(number) => {
                device
                    .write_at(&vec![number; self.len as usize], self.offset)
                    .unwrap();
            }
            Kind::Zeroes => device.write_zeroes(self.offset, self.len).unwrap(),
            Kind::Discard => device.discard(self.offset, self.len).unwrap(),
        }
    }

    fn bytes(&self) -> Range<usize> {
        let start = usize::try_from(self.offset).unwrap();
        start..start + usize::try_from(self.len).unwrap()
    }

    fn byte(&self) -> u8 {
        if let Kind::Number(number) = self.kind {
            number
        } else {
            0
        }
    }
}

/// What a guest did, in order, and how far it got.
#[derive(Default)]
struct History {
    writes: Mutex<Vec<Write>>,
    done: AtomicUsize,
}

impl History {
    fn run(&self, guest: usize, disks: &[Arc<Filter>], stop: &AtomicBool) {
        let first = self.writes.lock().unwrap().len();
        let mut random = Random(0x9e37_79b9_7f4a_7c15 + (first * GUESTS + guest) as u64);
        for number in first.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let write = Write::random(guest, number, &mut random);
            self.writes.lock().unwrap().push(write);
            write.apply(&disks[write.disk]);
            self.done.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The disks as one guest alone would have left them, write by write.
struct Replay {
    guest: usize,
    disks: [Vec<u8>; 2],
    writes: usize,
}

impl Replay {
    fn new(guest: usize) -> Self {
        Self {
            guest,
            disks: SIZES.map(|size| vec![0; size as usize]),
            writes: 0,
        }
    }

    fn step(&mut self, history: &[Write]) {
        let write = history[self.writes];
        self.disks[write.disk][write.bytes()].fill(write.byte());
        self.writes += 1;
    }

    fn advance(&mut self, history: &[Write], writes: usize) {
        while self.writes < writes {
            self.step(history);
        }
    }

    /// Whether `found` holds what the guest had written at one moment from `before` to `after`
    /// writes: all that came until then, and nothing of what came later, on both disks.
    fn has_cut(
        &mut self,
        history: &[Write],
        before: usize,
        after: usize,
        found: &[Vec<u8>],
    ) -> bool {
        self.advance(history, before);
        let stripes = |disk: &[u8]| {
            let stripes = disk
                .chunks(STRIPE as usize)
                .skip(self.guest)
                .step_by(GUESTS);
            stripes.flatten().copied().collect::<Vec<_>>()
        };
        let mut wrong: usize = (0..2)
            .map(|disk| differing(&stripes(&self.disks[disk]), &stripes(&found[disk])))
            .sum();
        while wrong > 0 && self.writes < after {
            let write = history[self.writes];
            let found = &found[write.disk][write.bytes()];
            wrong -= differing(&self.disks[write.disk][write.bytes()], found);
            self.step(history);
            wrong += differing(&self.disks[write.disk][write.bytes()], found);
        }
        wrong == 0
    }
}

fn differing(one: &[u8], other: &[u8]) -> usize {
    one.iter()
        .zip(other)
        .filter(|(one, other)| one != other)
        .count()
}

/// Reads a view with several threads, piece by piece, releasing what was read.
fn read_all(view: &SnapshotView) -> Vec<u8> {
    const PIECE: usize = 96 * 1024;
    let mut content = vec![0; usize::try_from(view.size()).unwrap()];
    let pieces = Mutex::new(content.chunks_mut(PIECE).enumerate());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((index, piece)) = pieces.lock().unwrap().next() else {
                        break;
                    };
                    let offset = (index * PIECE) as u64;
                    let mut done = 0;
                    while done < piece.len() {
                        let (at, rest) = (offset + done as u64, (piece.len() - done) as u64);
                        let extent = view.block_status(at, rest).unwrap();
                        let len = extent.len as usize;
                        if extent.status == fleece_storage::block::Status::Data {
                            view.read_at(&mut piece[done..done + len], at).unwrap();
                        }
                        done += len;
                    }
                    // Whole clusters of these pieces are whole only at every other border.
                    view.release(offset, piece.len() as u64).unwrap();
                }
            });
        }
    });
    content
}

fn stress(sources: [Arc<dyn BlockDevice>; 2], target: impl Fn(u64) -> Arc<dyn BlockDevice>) {
    let disks = sources.map(Filter::new);
    let histories: [History; GUESTS] = Default::default();
    let mut replays: [Replay; GUESTS] = std::array::from_fn(Replay::new);
    for round in 0..ROUNDS {
        let mut options = Options::default();
        options.cluster_size = ClusterSize::new(4096 << (round % 5)).unwrap();
        let done = || {
            histories
                .each_ref()
                .map(|history| history.done.load(Ordering::SeqCst))
        };
        let stop = AtomicBool::new(false);
        let (before, after, found) = thread::scope(|scope| {
            for (guest, history) in histories.iter().enumerate() {
                let (disks, stop) = (&disks, &stop);
                scope.spawn(move || history.run(guest, disks, stop));
            }
            // Also when a check fails, or the guests would never end.
            let _stop = StopOnDrop(&stop);
            let before = done();
            let members = disks
                .iter()
                .map(|disk| (Arc::clone(disk), target(disk.size())));
            let snapshot = Snapshot::attach(members.collect(), &options).unwrap();
            let after = done().map(|done| done + 1);
            let found: Vec<Vec<u8>> = snapshot.views().iter().map(read_all).collect();
            assert!(snapshot.broken().is_none());
            (before, after, found)
        });
        for (guest, (replay, history)) in replays.iter_mut().zip(&histories).enumerate() {
            let history = history.writes.lock().unwrap();
            let after = after[guest].min(history.len());
            let is_cut = replay.has_cut(&history, before[guest], after, &found);
            assert!(
                is_cut,
                "round {round}: no cut of the history of guest {guest}"
            );
            replay.advance(&history, history.len());
        }
    }
    check_guests_view(&disks, &replays);
}

/// The disks hold what all guests wrote, each in its stripes.
fn check_guests_view(disks: &[Arc<Filter>], replays: &[Replay]) {
    for (index, disk) in disks.iter().enumerate() {
        let mut found = vec![0; usize::try_from(disk.size()).unwrap()];
        disk.read_at(&mut found, 0).unwrap();
        let at = |guest: usize| replays[guest].disks[index].chunks(STRIPE as usize);
        for (stripe, found) in found.chunks(STRIPE as usize).enumerate() {
            let expected = at(stripe % GUESTS).nth(stripe).unwrap();
            assert!(
                found == expected,
                "disk {index}, stripe {stripe}: not what the guest wrote"
            );
        }
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn every_snapshot_is_one_cut_through_all_histories_in_memory() {
    stress(
        SIZES.map(|size| Arc::new(MemoryDevice::new(size)) as _),
        |size| Arc::new(MemoryDevice::new(size)),
    );
}

#[test]
fn every_snapshot_is_one_cut_through_all_histories_on_files() {
    let dir = tempfile::TempDir::new().unwrap();
    let number = AtomicUsize::new(0);
    let create = |size| {
        let path = dir
            .path()
            .join(number.fetch_add(1, Ordering::SeqCst).to_string());
        let file = RawFile::create(&path, size).unwrap();
        fs::remove_file(&path).unwrap();
        Arc::new(file) as Arc<dyn BlockDevice>
    };
    stress(SIZES.map(create), create);
}

#[test]
fn every_snapshot_is_one_cut_through_all_histories_with_a_slow_target() {
    let limit = Arc::new(RateLimit::new(20 << 20));
    stress(
        SIZES.map(|size| Arc::new(MemoryDevice::new(size)) as _),
        |size| Arc::new(Throttled::new(MemoryDevice::new(size), Arc::clone(&limit))),
    );
}
