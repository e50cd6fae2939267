//! What a guest on stock QEMU feels of a backup: the latency of its small writes, without a backup,
//! during one that reads at the guest's pace, and during one that reads as fast as it can.
//!
//! ```text
//! cargo build --release -p fleece-bins && cargo xtask lab
//! cargo run --release -p fleece-benches --bin guest-latency [seconds]
//! ```
//!
//! The target is fast, so that our own reading is the guest's only rival; the disk is large enough
//! that the backup outlasts the measurement.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a measurement that fails says so and ends"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fleece_lab::{Definition, Disk, Guest, Interface, Qemu};

const SIZE: u64 = 4 << 30;

fn main() {
    let seconds: u64 = std::env::args()
        .nth(1)
        .map_or(3, |text| text.parse().expect("a number of seconds"));
    for qemu in fleece_lab::qemus() {
        println!(
            "QEMU {}, 4 KiB random writes, one at a time, {seconds} s each",
            qemu.version()
        );
        for (name, budget) in [
            ("no backup", None),
            ("backup, 1 ms", Some("1")),
            ("backup, default", Some("2")),
            ("backup, no limit", Some("10000")),
        ] {
            println!("  {name:17} {}", measure(&qemu, budget, seconds));
        }
    }
}

/// The guest's own account of its writes, and the depths that the backup chose.
fn measure(qemu: &Qemu, budget: Option<&str>, seconds: u64) -> String {
    let disk = Disk::raw(SIZE)
        .interface(Interface::VirtioBlk)
        .define(Definition::Drive);
    let guest = Guest::builder(qemu).disk(disk).boot().expect("a guest");
    fill(&guest);
    let backup = budget.map(|budget| start(&guest, budget));
    let line = format!("writer latency {seconds} 4096 268435456 /dev/disk0");
    let measured = guest
        .run(&line, Duration::from_secs(seconds + 60))
        .expect("the guest's writer");
    let mut report = measured.trim().to_owned();
    if let Some((mut child, lines)) = backup {
        assert!(
            child.try_wait().unwrap().is_none(),
            "the backup ended early; use fewer seconds"
        );
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        let depths = lines.join().unwrap();
        child.wait().unwrap();
        report.push_str(&format!("  reads in flight, each second: {depths:?}"));
    }
    report
}

/// Noise on the whole disk, so that all of it has to be read.
fn fill(guest: &Guest) {
    let mut disk = std::fs::File::options()
        .write(true)
        .open(guest.disk_path(0))
        .unwrap();
    let mut noise = vec![0_u8; 8 << 20];
    let mut state = 88_172_645_463_325_252_u64;
    for word in noise.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
    for _ in 0..SIZE / (8 << 20) {
        std::io::Write::write_all(&mut disk, &noise).unwrap();
    }
}

type Depths = std::thread::JoinHandle<Vec<u64>>;

/// Starts a backup and returns when it has begun to read.
fn start(guest: &Guest, budget: &str) -> (Child, Depths) {
    let fleece = std::env::current_exe().unwrap().with_file_name("fleece");
    assert!(
        fleece.exists(),
        "build it first: cargo build --release -p fleece-bins"
    );
    let mut command = Command::new(fleece);
    command.args(["backup", "--json", "--compress", "none", "--vmid", "7"]);
    command
        .args(["--guest-latency", budget, "--qmp"])
        .arg(guest.qmp_socket());
    command.arg("--state-dir").arg(guest.folder().join("state"));
    command.arg("--to").arg(guest.folder());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let begun = lines.any(|line| line.unwrap().contains("\"progress\""));
    assert!(begun, "the backup ended: {:?}", child.wait());
    let depths = std::thread::spawn(move || {
        let depth = |line: String| -> Option<u64> {
            let (_, rest) = line.split_once("\"depth\":")?;
            rest.split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        };
        lines.map_while(Result::ok).filter_map(depth).collect()
    });
    (child, depths)
}
