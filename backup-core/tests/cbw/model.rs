//! Random operations against a trivial model: a copied array.

use std::sync::Arc;

use fleece_backup_core::cbw::{ClusterSize, ErrorKind, Filter, Options, Policy, Snapshot};
use fleece_storage::block::{Discard, MemoryDevice, ReadAt, Status, WriteAt, is_zero};
use proptest::prelude::*;

use super::faulty::Faulty;

#[derive(Clone, Debug)]
enum Step {
    Write {
        disk: usize,
        at: Share,
        len: Share,
        byte: u8,
    },
    Zero {
        disk: usize,
        at: Share,
        len: Share,
    },
    Discard {
        disk: usize,
        at: Share,
        len: Share,
    },
    Attach,
    Detach,
    Read {
        disk: usize,
        at: Share,
        len: Share,
    },
    Status {
        disk: usize,
        at: Share,
        len: Share,
    },
    Release {
        disk: usize,
        at: Share,
        len: Share,
    },
    Fill {
        disk: usize,
    },
    Heal {
        disk: usize,
    },
}

/// A part of what there is, in 65536ths, so that every value makes sense for every size.
type Share = u16;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let part = || (0..3_usize, any::<Share>(), any::<Share>());
    let step = prop_oneof![
        8 => (part(), any::<u8>())
            .prop_map(|((disk, at, len), byte)| Step::Write { disk, at, len, byte }),
        1 => part().prop_map(|(disk, at, len)| Step::Zero { disk, at, len }),
        1 => part().prop_map(|(disk, at, len)| Step::Discard { disk, at, len }),
        2 => Just(Step::Attach),
        1 => Just(Step::Detach),
        5 => part().prop_map(|(disk, at, len)| Step::Read { disk, at, len }),
        3 => part().prop_map(|(disk, at, len)| Step::Status { disk, at, len }),
        3 => part().prop_map(|(disk, at, len)| Step::Release { disk, at, len }),
        1 => (0..3_usize).prop_map(|disk| Step::Fill { disk }),
        1 => (0..3_usize).prop_map(|disk| Step::Heal { disk }),
    ];
    prop::collection::vec(step, 1..60)
}

fn setups() -> impl Strategy<Value = (Vec<usize>, ClusterSize, Policy)> {
    let size = prop_oneof![
        Just(0),
        1..5000_usize,
        4096..150_000_usize,
        Just(65536),
        Just(131_072)
    ];
    let policy = prop_oneof![Just(Policy::BreakSnapshot), Just(Policy::BreakGuestWrite)];
    let cluster_size = (12..=17_u32).prop_map(|shift| ClusterSize::new(1 << shift).unwrap());
    (prop::collection::vec(size, 1..=3), cluster_size, policy)
}

/// What should be: the guest's array, and the arrays of the instant.
struct Model {
    guest: Vec<u8>,
    instant: Vec<u8>,
    clusters: Vec<Cluster>,
    full: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Cluster {
    Needed,
    Saved,
    Released,
}

struct Bench {
    options: Options,
    filters: Vec<Arc<Filter>>,
    targets: Vec<Arc<Faulty>>,
    models: Vec<Model>,
    snapshot: Option<Snapshot>,
    broken: bool,
}

impl Bench {
    fn new(sizes: &[usize], cluster_size: ClusterSize, policy: Policy) -> Self {
        let mut options = Options::default();
        options.cluster_size = cluster_size;
        options.policy = policy;
        let content = |size: usize| (0..size).map(|n| (n / 1000 + 1) as u8).collect::<Vec<u8>>();
        Self {
            options,
            filters: sizes
                .iter()
                .map(|size| super::disk(&content(*size)))
                .collect(),
            targets: sizes.iter().map(|size| Faulty::new(*size as u64)).collect(),
            models: sizes
                .iter()
                .map(|size| Model {
                    guest: content(*size),
                    instant: Vec::new(),
                    clusters: Vec::new(),
                    full: false,
                })
                .collect(),
            snapshot: None,
            broken: false,
        }
    }

    fn range(&self, disk: usize, at: Share, len: Share) -> (usize, usize, usize) {
        let disk = disk % self.models.len();
        let size = self.models[disk].guest.len();
        let start = size * usize::from(at) / 65535;
        // Small ones more often than large ones.
        let len = (size - start) * usize::from(len) / 65535 * usize::from(len) / 65535;
        (disk, start, len)
    }

    fn touched(&self, start: usize, len: usize) -> std::ops::Range<usize> {
        let size = self.options.cluster_size.bytes() as usize;
        if len == 0 {
            0..0
        } else {
            start / size..(start + len).div_ceil(size)
        }
    }

    /// A guest changes bytes: whether that must fail, and what it does to the snapshot.
    fn change(&mut self, disk: usize, start: usize, len: usize, byte: u8) -> bool {
        let touched = self.touched(start, len);
        let model = &mut self.models[disk];
        if self.snapshot.is_some() && !self.broken {
            let clusters = &mut model.clusters[touched];
            if clusters.contains(&Cluster::Needed) {
                if model.full && self.options.policy == Policy::BreakGuestWrite {
                    return false;
                }
                self.broken = model.full;
            }
            for cluster in clusters
                .iter_mut()
                .filter(|cluster| **cluster == Cluster::Needed)
            {
                *cluster = Cluster::Saved;
            }
        }
        model.guest[start..start + len].fill(byte);
        true
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Write {
                disk,
                at,
                len,
                byte,
            } => {
                let (disk, start, len) = self.range(disk, at, len);
                let result = self.filters[disk].write_at(&vec![byte; len], start as u64);
                assert_eq!(result.is_ok(), self.change(disk, start, len, byte));
            }
            Step::Zero { disk, at, len } => {
                let (disk, start, len) = self.range(disk, at, len);
                let filter = &self.filters[disk];
                let result = match start % 2 {
                    0 => filter.write_zeroes(start as u64, len as u64),
                    _ => filter.write_zeroes_allocated(start as u64, len as u64),
                };
                assert_eq!(result.is_ok(), self.change(disk, start, len, 0));
            }
            Step::Discard { disk, at, len } => {
                let (disk, start, len) = self.range(disk, at, len);
                let result = self.filters[disk].discard(start as u64, len as u64);
                assert_eq!(result.is_ok(), self.change(disk, start, len, 0));
            }
            Step::Attach => self.attach(),
            Step::Detach => {
                if let Some(snapshot) = self.snapshot.take() {
                    snapshot.detach();
                }
            }
            Step::Read { disk, at, len } => self.read(disk, at, len),
            Step::Status { disk, at, len } => self.status(disk, at, len),
            Step::Release { disk, at, len } => self.release(disk, at, len),
            Step::Fill { disk } => {
                let disk = disk % self.models.len();
                self.targets[disk].fill();
                self.models[disk].full = true;
            }
            Step::Heal { disk } => {
                let disk = disk % self.models.len();
                self.targets[disk].heal();
                self.models[disk].full = false;
            }
        }
    }

    fn attach(&mut self) {
        if self.snapshot.is_some() {
            return;
        }
        let disks = self.filters.iter().cloned();
        let targets = self.targets.iter().map(|target| Arc::clone(target) as _);
        let snapshot = Snapshot::attach(disks.zip(targets).collect(), &self.options).unwrap();
        self.snapshot = Some(snapshot);
        self.broken = false;
        for model in &mut self.models {
            model.instant = model.guest.clone();
            let clusters = model
                .guest
                .len()
                .div_ceil(self.options.cluster_size.bytes() as usize);
            model.clusters = vec![Cluster::Needed; clusters];
        }
    }

    /// What a reader must be told about clusters, or `None` if they can be read.
    fn refusal(&self, disk: usize, start: usize, len: usize) -> Option<ErrorKind> {
        let clusters = &self.models[disk].clusters[self.touched(start, len)];
        if self.broken {
            Some(ErrorKind::TargetFull)
        } else {
            clusters
                .contains(&Cluster::Released)
                .then_some(ErrorKind::Released)
        }
    }

    fn read(&mut self, disk: usize, at: Share, len: Share) {
        let (disk, start, len) = self.range(disk, at, len);
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let mut buf = vec![0xee; len];
        let result = snapshot.views()[disk].read_at(&mut buf, start as u64);
        assert_eq!(
            result.err().map(|error| error.kind()),
            self.refusal(disk, start, len)
        );
        if self.refusal(disk, start, len).is_none() {
            assert!(buf == self.models[disk].instant[start..start + len]);
        }
    }

    fn status(&mut self, disk: usize, at: Share, len: Share) {
        let (disk, start, len) = self.range(disk, at, len);
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let result = snapshot.views()[disk].block_status(start as u64, len as u64);
        match result {
            Err(error) => {
                assert_eq!(Some(error.kind()), self.refusal(disk, start, len.min(1)));
            }
            Ok(extent) => {
                assert_eq!(self.refusal(disk, start, len.min(1)), None);
                let told = usize::try_from(extent.len).unwrap();
                assert!(told <= len && (told > 0 || len == 0));
                if extent.status == Status::Zero {
                    assert!(is_zero(&self.models[disk].instant[start..start + told]));
                }
            }
        }
    }

    fn release(&mut self, disk: usize, at: Share, len: Share) {
        let (disk, start, len) = self.range(disk, at, len);
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let result = snapshot.views()[disk].release(start as u64, len as u64);
        assert_eq!(result.is_err(), self.broken);
        let size = self.options.cluster_size.bytes() as usize;
        let model = &mut self.models[disk];
        for (index, cluster) in model.clusters.iter_mut().enumerate() {
            let end = ((index + 1) * size).min(model.guest.len());
            if !self.broken && start <= index * size && end <= start + len {
                *cluster = Cluster::Released;
            }
        }
    }

    /// At the end, and after everything that happened: guests see what they wrote.
    fn check(&self) {
        for (filter, model) in self.filters.iter().zip(&self.models) {
            let mut guest = vec![0xee; model.guest.len()];
            filter.read_at(&mut guest, 0).unwrap();
            assert!(guest == model.guest);
        }
        let Some(snapshot) = self.snapshot.as_ref().filter(|_| !self.broken) else {
            return;
        };
        let held = self.models.iter().flat_map(|model| &model.clusters);
        let held = held.filter(|cluster| **cluster == Cluster::Saved).count() as u64;
        assert!(snapshot.usage().held <= held * self.options.cluster_size.bytes());
        assert!(snapshot.broken().is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn guests_see_what_they_wrote_and_backups_see_the_instant(
        (sizes, cluster_size, policy) in setups(),
        steps in steps(),
    ) {
        let mut bench = Bench::new(&sizes, cluster_size, policy);
        for step in &steps {
            bench.run(step);
            bench.check();
        }
    }
}

#[test]
fn space_in_the_target_is_what_the_usage_says() {
    let filter = super::disk(&[1; 1 << 20]);
    let target = Arc::new(MemoryDevice::new(1 << 20));
    let snapshot = super::attach(&filter, Arc::clone(&target) as _, &Options::default());
    filter.write_at(&[2; 10], 65530).unwrap();
    assert_eq!(snapshot.usage().held, 2 * 65536);
    assert_eq!(target.allocated(), 2 * 65536);
}
