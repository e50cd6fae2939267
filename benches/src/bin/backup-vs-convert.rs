//! A whole backup of an idle guest's disk against `qemu-img convert` of the same disk from the same
//! QEMU, over the same kind of socket, in one run.
//!
//! ```text
//! cargo build --release -p fleece-bins && cargo xtask lab
//! cargo run --release -p fleece-benches --bin backup-vs-convert [MiB] [rounds]
//! ```
//!
//! A third of the disk is holes, a third noise, a third text. All of it stays in the page cache, so
//! what is measured is the way, not the disk. Both sides end with the data synced.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a measurement that fails says so and ends"
)]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fleece_benches::median;
use fleece_lab::{Disk, StorageDaemon};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mib: u64 = arguments
        .next()
        .map_or(2048, |text| text.parse().expect("a size in MiB"));
    let rounds: usize = arguments
        .next()
        .map_or(5, |text| text.parse().expect("a number"));
    let fleece = fleece();
    let qemu = fleece_lab::qemu("10.0").expect("the lab; prepare it with `cargo xtask lab`");
    let daemon = StorageDaemon::builder(&qemu)
        .disk(Disk::raw(mib << 20).throttled())
        .export()
        .start()
        .expect("a storage daemon");
    fill(daemon.disk_path(0), mib);
    let dir = tempfile::tempdir_in(daemon.folder()).unwrap();
    let out = dir.path().join("out");

    let mut table: Vec<(&str, Vec<Duration>)> = ["fleece backup", "qemu-img convert", "  -W -m 8"]
        .map(|name| (name, Vec::new()))
        .into_iter()
        .collect();
    let mut peak = 0;
    for _ in 0..rounds {
        let archive = dir.path().join("vzdump-qemu-1-bench.vma");
        let mut command = Command::new(&fleece);
        command.args(["backup", "--vmid", "1", "--compress", "none", "--qmp"]);
        command.arg(daemon.qmp_socket()).arg("--to").arg(&archive);
        command.arg("--state-dir").arg(dir.path().join("state"));
        command.arg("--nbd-server").arg(daemon.nbd_socket());
        let (time, memory) = run(&mut command);
        peak = peak.max(memory);
        table[0].1.push(time);
        std::fs::remove_file(archive.with_extension("vma.idx")).unwrap();
        std::fs::remove_file(&archive).unwrap();

        for (row, options) in [(1, &[][..]), (2, &["-W", "-m", "8"][..])] {
            let mut command = qemu.img();
            command
                .args(["convert", "-f", "raw", "-O", "raw", "-t", "writeback"])
                .args(options);
            command.arg(daemon.nbd_uri(0)).arg(&out);
            table[row].1.push(run(&mut command).0);
            std::fs::remove_file(&out).unwrap();
        }
    }
    println!("{mib} MiB, median of {rounds}, QEMU {}", qemu.version());
    let ours = median(&table[0].1).as_secs_f64();
    for (name, times) in &table {
        let seconds = median(times).as_secs_f64();
        println!(
            "{name:18} {seconds:7.3} s  {:7.0} MiB/s  fleece is {:.2} x as fast",
            mib as f64 / seconds,
            seconds / ours
        );
    }
    println!("fleece's peak resident memory: {} MiB", peak >> 10);
}

/// The release build beside this program.
fn fleece() -> PathBuf {
    let fleece = std::env::current_exe().unwrap().with_file_name("fleece");
    assert!(
        fleece.exists(),
        "build it first: cargo build --release -p fleece-bins"
    );
    fleece
}

/// Time, and the peak of resident memory in KiB as far as it was seen.
fn run(command: &mut Command) -> (Duration, u64) {
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        peak = peak.max(high_water(&status).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    };
    let time = start.elapsed();
    if !ended.success() {
        let output = child.wait_with_output().unwrap();
        panic!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    (time, peak)
}

/// `VmHWM` of proc(5), in KiB.
fn high_water(status: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A third holes, a third noise, a third text, in stretches of 4 MiB.
fn fill(path: &Path, mib: u64) {
    use std::io::Seek as _;
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
