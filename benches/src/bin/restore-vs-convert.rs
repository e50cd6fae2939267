//! A whole restore of one disk into a folder against `qemu-img convert` from a raw image of the same disk,
//! in one run.
//!
//! ```text
//! cargo build --release -p fleece-bins && cargo xtask lab
//! cargo run --release -p fleece-benches --bin restore-vs-convert [MiB] [rounds]
//! ```
//!
//! A third of the disk is holes, a third noise, a third text. All of it stays in the page cache, so
//! what is measured is the way, not the disk. Both sides end with the data synced: `fleece` syncs what it
//! restores, and the time of `qemu-img` has a `sync` of its result in it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement that fails says so and ends"
)]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fleece_benches::{fill, fleece, median};

/// What is compared, each with what it is compared to, and the aim.
const ROWS: [(&str, usize, &str); 6] = [
    ("`qemu-img convert`", 0, ""),
    ("`qemu-img convert -W -m 8`", 0, ""),
    ("`fleece restore --to`, from `.vma`", 0, "<= 1.1"),
    ("`fleece restore --to`, from `.vma.zst`", 0, ""),
    ("`qemu-img convert -O qcow2`", 4, ""),
    (
        "`fleece restore --to --format qcow2`, from `.vma`",
        4,
        "<= 1.1",
    ),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mib: u64 = arguments
        .next()
        .map_or(2048, |text| text.parse().expect("a size in MiB"));
    let rounds: usize = arguments
        .next()
        .map_or(5, |text| text.parse().expect("a number"));
    let qemu = fleece_lab::qemu("10.0").expect("the lab; prepare it with `cargo xtask lab`");
    // The lab's folder is on a disk, where the system's temporary one may be memory.
    let dir = tempfile::tempdir_in(fleece_lab::root()).unwrap();
    let disk = dir.path().join("disk");
    File::create(&disk).unwrap().set_len(mib << 20).unwrap();
    fill(&disk, mib);
    let archives = ["none", "zstd"].map(|how| {
        let archive = dir.path().join(format!("{how}.vma"));
        let mut command = Command::new(fleece());
        command.args(["backup", "--image"]).arg(&disk);
        command
            .args(["--vmid", "1", "--compress", how, "--to"])
            .arg(&archive);
        command.arg("--state-dir").arg(dir.path().join("state"));
        run(&mut command);
        archive
    });
    let out = dir.path().join("out");
    let convert = |options: &[&str]| {
        let mut command = qemu.img();
        command.args(["convert", "-f", "raw", "-t", "writeback"]);
        command.args(options).arg(&disk).arg(&out);
        command
    };
    let restore = |archive: &Path, format: &str| {
        let mut command = Command::new(fleece());
        command
            .arg("restore")
            .arg(archive)
            .args(["--format", format, "--to"]);
        command.arg(&out);
        command
    };
    let mut times = vec![Vec::new(); ROWS.len()];
    for _ in 0..rounds {
        let commands = [
            convert(&["-O", "raw"]),
            convert(&["-O", "raw", "-W", "-m", "8"]),
            restore(&archives[0], "raw"),
            restore(&archives[1], "raw"),
            convert(&["-O", "qcow2"]),
            restore(&archives[0], "qcow2"),
        ];
        for (row, mut command) in commands.into_iter().enumerate() {
            times[row].push(run(&mut command));
            if out.is_dir() {
                std::fs::remove_dir_all(&out).unwrap();
            } else {
                std::fs::remove_file(&out).unwrap();
            }
        }
    }
    println!(
        "{mib} MiB, medians of {rounds} interleaved rounds, QEMU {}.\n",
        qemu.version()
    );
    println!("| what | ratio | aim |");
    println!("|---|---|---|");
    for ((name, peer, aim), times_of) in ROWS.iter().zip(&times) {
        let ratio = median(times_of).as_secs_f64() / median(&times[*peer]).as_secs_f64();
        println!("| {name} | {ratio:.2} | {aim} |");
    }
}

/// Runs it to the end of a sync of what it made.
fn run(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.stdout(Stdio::null()).output().unwrap();
    // 3: done with warnings; there is no configuration in the archives.
    let done = output.status.success() || output.status.code() == Some(3);
    assert!(
        done,
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let made = command.get_args().last().unwrap();
    if Path::new(made).is_file() {
        File::open(made).unwrap().sync_all().unwrap();
    }
    start.elapsed()
}
