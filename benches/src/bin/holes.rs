//! What nothing costs: the processor time of each command on a disk of holes, which is not read.
//!
//! ```text
//! cargo build --release -p fleece-bins && cargo xtask lab
//! cargo run --release -p fleece-benches --bin holes [DIR [GiB [ROUNDS]]]
//! ```
//!
//! The disk is a sparse file of so many GiB (default 1024). What a running guest's storage daemon takes is not counted.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    reason = "a measurement that fails says so and ends"
)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fleece_benches::{fleece, median};
use fleece_lab::{Disk, StorageDaemon};

/// Each command, with words in the place of files.
const COMMANDS: [&str; 7] = [
    "vma create ARCHIVE -d format=raw:a=DISK --no-sync",
    "vma verify ARCHIVE",
    "vma verify --deep ARCHIVE",
    "vma extract --no-sync ARCHIVE OUT",
    "fleece restore ARCHIVE --to OUT",
    "fleece backup --vmid 7 --image a=DISK --to FOLDER",
    "fleece backup --vmid 8 --qmp MONITOR --nbd-server SERVER --to FOLDER",
];

/// What each should take at most, in seconds.
const AIM: u32 = 2;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let given = arguments.next().map(PathBuf::from);
    let mut number = |or: u64| arguments.next().map_or(or, |text| text.parse().unwrap());
    let (gib, rounds) = (number(1024), number(3));
    let temporary = match &given {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let dir = temporary.path();
    File::create(dir.join("disk"))
        .unwrap()
        .set_len(gib << 30)
        .unwrap();
    let qemu = fleece_lab::qemu("10.0").expect("the lab; prepare it with `cargo xtask lab`");
    let daemon = StorageDaemon::builder(&qemu)
        .disk(Disk::raw(gib << 30).throttled())
        .export()
        .start()
        .unwrap();
    let names = [
        ("ARCHIVE", dir.join("archive.vma")),
        ("DISK", dir.join("disk")),
        ("OUT", dir.join("out")),
        ("FOLDER", dir.join("backups")),
        ("MONITOR", daemon.qmp_socket()),
        ("SERVER", daemon.nbd_socket()),
    ];
    println!("{gib} GiB of holes, medians of {rounds} rounds.\n");
    println!("| what | processor s | aim | s |");
    println!("|---|---|---|---|");
    for command in COMMANDS {
        let (mut spent, mut took) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (processor, time) = run(dir, command, &names);
            spent.push(processor);
            took.push(time);
        }
        let words = command.split(" --to").next().unwrap_or(command);
        let words = words
            .split_whitespace()
            .filter(|word| !names.iter().any(|(name, _)| word.contains(name)));
        println!(
            "| `{}` | {:.2} | <= {AIM} | {:.2} |",
            words.collect::<Vec<_>>().join(" "),
            median(&spent).as_secs_f64(),
            median(&took).as_secs_f64(),
        );
    }
}

/// The processor time of one command, and how long it took.
fn run(dir: &Path, command: &str, names: &[(&str, PathBuf)]) -> (Duration, Duration) {
    for made in ["out", "backups"] {
        let _ = fs::remove_dir_all(dir.join(made));
    }
    if command.contains("create") {
        let _ = fs::remove_file(dir.join("archive.vma"));
        let _ = fs::remove_file(dir.join("archive.vma.idx"));
    }
    fs::create_dir(dir.join("backups")).unwrap();
    let mut words = command.split_whitespace();
    let mut ours = Command::new(fleece().with_file_name(words.next().unwrap_or_default()));
    for word in words {
        let place = |word: &str, (name, path): &(&str, PathBuf)| {
            word.replace(name, &path.display().to_string())
        };
        ours.arg(
            names
                .iter()
                .fold(word.to_owned(), |word, name| place(&word, name)),
        );
    }
    if command.starts_with("fleece backup") {
        ours.arg("--state-dir").arg(dir.join("state"));
    }
    if command.contains("MONITOR") {
        ours.arg("--fleecing").arg(dir);
    }
    let (before, start) = (of_children(), Instant::now());
    let output = ours.stdout(Stdio::null()).output().unwrap();
    let took = start.elapsed();
    // With warnings, 3: the archive knows of no guest.
    assert!(
        matches!(output.status.code(), Some(0 | 3)),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (of_children() - before, took)
}

/// The processor time of all children that have ended: fields 16 and 17 of proc(5), in hundredths of a second.
fn of_children() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields
        .skip(13)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}
