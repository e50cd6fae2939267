//! What both kinds of measurement need.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

/// Noise on a whole disk, so that all of it has to be read.
pub(crate) fn fill(disk: &Path, size: u64) {
    let mut disk = File::options().write(true).open(disk).unwrap();
    let mut noise = vec![0_u8; 1 << 20];
    let mut state = 88_172_645_463_325_252_u64;
    for word in noise.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
    for _ in 0..size >> 20 {
        disk.write_all(&noise).unwrap();
    }
    disk.sync_all().unwrap();
}
