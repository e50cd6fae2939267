//! How fast clusters become extents: `cargo bench -p fleece-benches --bench encoder`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fleece_vma_format::{CLUSTER_SIZE, DeviceId, Encoder, Header, HeaderBuilder, Result, is_zero};

/// Clusters in one pass: 64 MiB.
const CLUSTERS: u64 = 1024;

fn header() -> Result<(Header, DeviceId)> {
    let mut builder = HeaderBuilder::new([0; 16], 0);
    let disk = builder.add_device("disk", CLUSTERS.saturating_mul(CLUSTER_SIZE as u64))?;
    Ok((builder.build()?, disk))
}

fn encode(header: &Header, disk: DeviceId, cluster: &[u8]) -> Result<u64> {
    let mut encoder = Encoder::new(header);
    for index in 0..CLUSTERS {
        if let Some(extent) = encoder.cluster(disk, index, black_box(cluster))? {
            encoder.recycle(black_box(extent));
        }
    }
    Ok(encoder.finish()?.1.bytes())
}

fn encoder(criterion: &mut Criterion) {
    let Ok((header, disk)) = header() else { return };
    let mut group = criterion.benchmark_group("encoder");
    group.throughput(Throughput::Bytes(
        CLUSTERS.saturating_mul(CLUSTER_SIZE as u64),
    ));
    let mut half = vec![0; CLUSTER_SIZE];
    half.chunks_mut(4096)
        .step_by(2)
        .for_each(|block| block.fill(1));
    let full = vec![1; CLUSTER_SIZE];
    let zero = vec![0; CLUSTER_SIZE];
    for (name, cluster) in [("data", &full), ("half zero", &half), ("zero", &zero)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| encode(&header, disk, cluster).unwrap_or(0));
        });
    }
    group.finish();
}

fn zero_scan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("zero scan");
    group.throughput(Throughput::Bytes(CLUSTER_SIZE as u64));
    let zero = vec![0; CLUSTER_SIZE];
    group.bench_function("64 KiB of zeroes", |bencher| {
        bencher.iter(|| is_zero(black_box(&zero)))
    });
    group.finish();
}

criterion_group!(benches, encoder, zero_scan);
criterion_main!(benches);
