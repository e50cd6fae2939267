//! What the copy-before-write filter costs a guest's writes.
//!
//! `bare` is the file itself, `idle` the filter without a snapshot (to be at most 2 % slower),
//! `saved` the filter during a backup where every cluster is saved already (at most twice as slow), `first` the first write to each cluster, with a 64 KiB copy to a
//! target on the same file system. The files are in memory, so that a write costs a system call and
//! a copy, and no disk hides the filter's part.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a benchmark stops at the first fault"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fleece_backup_core::cbw::{Filter, Options, Snapshot};
use fleece_storage::block::{BlockDevice, RawFile, WriteAt};
use tempfile::TempDir;

const DISK: u64 = 64 << 20;
const CLUSTER: u64 = 64 << 10;

fn file(dir: &Path, name: &str) -> Arc<dyn BlockDevice> {
    let file = RawFile::create(&dir.join(name), DISK).unwrap();
    for offset in (0..DISK).step_by(1 << 20) {
        file.write_at(&[1; 1 << 20], offset).unwrap();
    }
    Arc::new(file)
}

fn attach(filter: &Arc<Filter>, dir: &Path) -> Snapshot {
    let target = dir.join("target");
    let _ = std::fs::remove_file(&target);
    let target = Arc::new(RawFile::create(&target, DISK).unwrap());
    Snapshot::attach(vec![(Arc::clone(filter), target)], &Options::default()).unwrap()
}

/// Scattered offsets, every one a multiple of `len`.
fn offsets(len: u64) -> impl Iterator<Item = u64> {
    (0_u64..).map(move |n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (DISK / len) * len)
}

fn writes(c: &mut Criterion) {
    let dir = TempDir::new_in("/dev/shm").unwrap();
    let source = file(dir.path(), "disk");
    let filter = Filter::new(Arc::clone(&source));
    for len in [4 << 10, 64 << 10] {
        let mut group = c.benchmark_group("cbw-write");
        group.throughput(Throughput::Bytes(len));
        let data = vec![2; usize::try_from(len).unwrap()];
        let mut measure = |name, device: &dyn WriteAt| {
            let mut offsets = offsets(len);
            group.bench_function(BenchmarkId::new(name, len), |b| {
                b.iter(|| {
                    device
                        .write_at(black_box(&data), offsets.next().unwrap())
                        .unwrap()
                });
            });
        };
        measure("bare", &*source);
        measure("idle", &*filter);
        let snapshot = attach(&filter, dir.path());
        for offset in (0..DISK).step_by(1 << 20) {
            filter.write_at(&[3; 1 << 20], offset).unwrap();
        }
        measure("saved", &*filter);
        snapshot.detach();
        group.finish();
    }
}

fn first_writes(c: &mut Criterion) {
    let dir = TempDir::new_in("/dev/shm").unwrap();
    let filter = Filter::new(file(dir.path(), "disk"));
    let mut group = c.benchmark_group("cbw-write");
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("first", 4096), |b| {
        b.iter_custom(|iterations| {
            let mut taken = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let snapshot = attach(&filter, dir.path());
                let round = left.min(DISK / CLUSTER);
                let start = Instant::now();
                for cluster in 0..round {
                    filter
                        .write_at(black_box(&[4; 4096]), cluster * CLUSTER)
                        .unwrap();
                }
                taken += start.elapsed();
                snapshot.detach();
                left -= round;
            }
            taken
        });
    });
    group.finish();
}

criterion_group!(benches, writes, first_writes);
criterion_main!(benches);
