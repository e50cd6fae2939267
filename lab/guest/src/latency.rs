//! How long a write takes, as the guest feels it.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use fleece_lab_guest::aligned::{BLOCK_SIZE, BUFFER_SIZE, Buffer};

use crate::Result;
use crate::disk::{Disk, Durability};

/// At most so many samples are kept (32 MiB of them).
pub(crate) const MAX_SAMPLES: usize = 1 << 21;

/// Random writes of `size` bytes over the first `span` bytes, one at a time.
pub(crate) fn run(seconds: u64, size: usize, span: u64, path: &str) -> Result<String> {
    if size == 0 || size > BUFFER_SIZE || !size.is_multiple_of(BLOCK_SIZE) {
        return Err(format!(
            "the size must be blocks of {BLOCK_SIZE} up to {BUFFER_SIZE}"
        ));
    }
    let step = u64::try_from(size).map_err(|_| "the size is too big")?;
    let places = span
        .checked_div(step)
        .and_then(NonZeroU64::new)
        .ok_or("the span is shorter than one write")?;
    let disk = Disk::open(path, Durability::Accepted)?;
    let buffer = Buffer::filled(0xa5);
    let bytes = buffer.0.get(..size).ok_or("the size is too big")?;

    let mut samples = Vec::new();
    let mut random = 88_172_645_463_325_252_u64;
    let start = Instant::now();
    let length = Duration::from_secs(seconds);
    while start.elapsed() < length && samples.len() < MAX_SAMPLES {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let offset = (random % places).saturating_mul(step);
        let before = Instant::now();
        disk.write(bytes, offset)?;
        samples.push(before.elapsed());
    }
    report(start.elapsed(), samples)
}

pub(crate) fn report(elapsed: Duration, mut samples: Vec<Duration>) -> Result<String> {
    samples.sort_unstable();
    let per_mille = |rank: usize| -> Result<f64> {
        let last = samples.len().checked_sub(1).ok_or("no write was made")?;
        let index = samples.len().saturating_mul(rank) / 1000;
        let sample = samples.get(index.min(last)).ok_or("no such sample")?;
        Ok(sample.as_secs_f64() * 1e3)
    };
    #[expect(clippy::cast_precision_loss, reason = "at most 2^21 samples")]
    let iops = samples.len() as f64 / elapsed.as_secs_f64();
    Ok(format!(
        concat!(
            "{{\"writes\":{},\"iops\":{:.0},\"p50_ms\":{:.3},\"p99_ms\":{:.3},",
            "\"p999_ms\":{:.3},\"max_ms\":{:.3}}}"
        ),
        samples.len(),
        iops,
        per_mille(500)?,
        per_mille(990)?,
        per_mille(999)?,
        per_mille(1000)?,
    ))
}
