//! Measurements side by side with peers, in one run, as ratios of medians.
//!
//! Each program in `src/bin` prints its own table; `cargo run --release -p fleece-benches --bin NAME`
//! after `cargo xtask lab`. Criterion benchmarks are in `benches/`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that fails says so and ends"
)]

use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The median; of an even number the lower of the middle two.
#[must_use]
pub fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times
        .get(times.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default()
}

/// The release build beside this program.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn fleece() -> PathBuf {
    let fleece = std::env::current_exe().unwrap().with_file_name("fleece");
    assert!(
        fleece.exists(),
        "build it first: cargo build --release -p fleece-bins"
    );
    fleece
}

/// Time, and the peak of resident memory in KiB as far as it was seen.
///
/// # Panics
/// With what the program said, if it fails.
pub fn run(command: &mut Command) -> (Duration, u64) {
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        peak = peak.max(peak_memory(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    };
    let time = start.elapsed();
    if !ended.success() {
        let output = child.wait_with_output().unwrap();
        panic!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    (time, peak)
}

/// `VmHWM` of proc(5), in KiB; `None` for a process that has ended.
#[must_use]
pub fn peak_memory(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Fills the file of so many MiB: a third holes, a third noise, a third text, in stretches of 4 MiB.
///
/// # Panics
/// When it cannot be written.
pub fn fill(path: &Path, mib: u64) {
    let mut disk = File::options().write(true).open(path).unwrap();
    let mut state = 88_172_645_463_325_252_u64;
    let mut noise = vec![0_u8; 4 << 20];
    let text = b"The quick brown fox jumps over the lazy dog. ".repeat((4 << 20) / 45 + 1);
    for stretch in 0..mib / 4 {
        match stretch % 3 {
            0 => {
                disk.seek_relative(4 << 20).unwrap();
            }
            1 => {
                for word in noise.chunks_exact_mut(8) {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    word.copy_from_slice(&state.to_le_bytes());
                }
                disk.write_all(&noise).unwrap();
            }
            _ => disk.write_all(&text[..4 << 20]).unwrap(),
        }
    }
    disk.sync_all().unwrap();
}

/// Makes a file of so many mebibytes: holes, noise and text of words and numbers in turn.
///
/// # Errors
/// It cannot be written.
pub fn make_disk(path: &Path, mib: u64) -> std::io::Result<()> {
    const MIB: u64 = 1 << 20;
    let mut file = BufWriter::new(File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words = [
        "copy", "before", "write", "cluster", "extent", "archive", "of", "the", "guest", "\n",
    ];
    for number in 0..mib {
        let mut piece: Vec<u8> = Vec::new();
        match number % 3 {
            0 => {}
            1 => (0..MIB / 8).for_each(|_| piece.extend_from_slice(&next().to_le_bytes())),
            _ => {
                while (piece.len() as u64) < MIB {
                    let place = usize::try_from(next() % 10).unwrap_or(0);
                    let word = words.get(place).copied().unwrap_or(" ");
                    piece.extend_from_slice(format!("{word} {} ", next() % 1000).as_bytes());
                }
                piece.truncate(1 << 20);
            }
        }
        file.seek(SeekFrom::Start(number.saturating_mul(MIB)))?;
        file.write_all(&piece)?;
    }
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .set_len(mib.saturating_mul(MIB))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_outliers() {
        let times = [9, 1, 2, 3, 500].map(Duration::from_secs);
        assert_eq!(median(&times), Duration::from_secs(3));
    }
}
