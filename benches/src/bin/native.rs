//! The native engine against doing without it, in one run: what its filter costs when no backup runs, what
//! a disk's user feels of a backup, and how fast that is beside `qemu-img convert` of the same disk.
//!
//! ```text
//! cargo build --release -p fleece-bins && cargo xtask lab
//! cargo run --release -p fleece-benches --bin native [MiB] [seconds] [rounds]
//! ```
//!
//! Needs fio with its engine `nbd`. Disks, fleecing images and archives lie on one file system, that of
//! the temporary directory. Everything fits into the page cache, so what is measured is the way, not the
//! disk, which would hide it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "a measurement that fails says so and ends"
)]

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleece_backup_core::cbw::Filter;
use fleece_benches::{fill, fleece, median, peak_memory, run};
use fleece_lab::Qemu;
use fleece_storage::block::{BlockDevice, RawFile, WriteAt};
use serde_json::Value;

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|text| text.parse().expect("a number"));
    let mib: u64 = numbers.next().unwrap_or(2048);
    let seconds = numbers.next().unwrap_or(5);
    let rounds = numbers.next().unwrap_or(5);
    let qemu = fleece_lab::qemu("10.0").expect("the lab; prepare it with `cargo xtask lab`");
    let dir = tempfile::tempdir().unwrap();
    println!("| what | bare | with Fleece | ratio | aim |");
    println!("|---|---|---|---|---|");
    idle_filter(dir.path(), 4 << 10);
    idle_filter(dir.path(), 64 << 10);
    measured(dir.path(), 4 * mib, seconds, rounds);
    throughput(dir.path(), &qemu, mib, rounds);
}

/// Writes to a file, and through a filter without a snapshot: short stretches in turn, so that whatever
/// else the machine does hits both.
fn idle_filter(dir: &Path, len: usize) {
    const SIZE: u64 = 64 << 20;
    const TURNS: usize = 101;
    let path = dir.join("idle");
    let bare: Arc<dyn BlockDevice> = Arc::new(RawFile::create(&path, SIZE).unwrap());
    let filter = Filter::new(Arc::clone(&bare));
    let data = vec![2; len];
    let writes = (64 << 20) / len as u64;
    let stretch = |device: &dyn WriteAt| {
        let start = Instant::now();
        for n in 0..writes {
            // Scattered, each place once.
            let offset = n * 0x9e37_79b1 % writes * len as u64;
            device.write_at(&data, offset).unwrap();
        }
        start.elapsed()
    };
    let mut times = [Vec::new(), Vec::new()];
    for turn in 0..TURNS {
        // Who is first in a pair changes, too.
        for side in [turn % 2, 1 - turn % 2] {
            let device: &dyn WriteAt = if side == 0 { &*bare } else { &*filter };
            times[side].push(stretch(device));
        }
    }
    let [bare, filtered] = times.map(|times| median(&times[1..]).as_secs_f64());
    println!(
        "| writes of {} KiB, no backup, MiB/s | {:.0} | {:.0} | {:.3} | >= 0.98 |",
        len >> 10,
        64.0 / bare,
        64.0 / filtered,
        bare / filtered
    );
    std::fs::remove_file(path).unwrap();
}

/// `fleece serve` of one disk, and where its backups go.
struct Served {
    child: Child,
    dir: PathBuf,
}

impl Served {
    fn start(dir: &Path, disk: &Path) -> Self {
        let mut command = Command::new(fleece());
        command.arg("serve").arg("--socket").arg(dir).arg(disk);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("back up with")));
        std::thread::spawn(move || lines.for_each(drop));
        let dir = dir.to_owned();
        Self { child, dir }
    }

    fn uri(&self) -> String {
        let socket = self.dir.join("nbd.sock");
        format!("nbd+unix:///drive-disk?socket={}", socket.display())
    }

    fn backup(&self, archive: &Path) -> Command {
        let mut command = Command::new(fleece());
        command.args(["backup", "--vmid", "1", "--json", "--native"]);
        command.arg(self.dir.join("control.sock"));
        command.arg("--to").arg(archive);
        command.arg("--fleecing").arg(&self.dir);
        command.arg("--state-dir").arg(self.dir.join("state"));
        command
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

fn disk(dir: &Path, mib: u64) -> PathBuf {
    let disk = dir.join("disk.raw");
    File::create(&disk).unwrap().set_len(mib << 20).unwrap();
    fill(&disk, mib);
    disk
}

/// Latencies in microseconds: p50, p99, p99.9; and writes per second.
type Measured = [f64; 4];

/// What a user of the disk feels who writes to its last 16 MiB, all of whose clusters are saved.
fn measured(dir: &Path, mib: u64, seconds: u64, rounds: u64) {
    let disk = disk(dir, mib);
    let served = Served::start(dir, &disk);
    let span = (mib - 16) << 20;
    let random = |seconds: u64| {
        let time = format!("--runtime={seconds}");
        fio(
            &served,
            span,
            &["--rw=randwrite", "--bs=4k", "--time_based", &time],
        )
    };
    let archive = dir.join("vzdump-qemu-1-measured.vma.zst");
    let (mut alone, mut during) = (Vec::new(), Vec::new());
    let mut peak = 0;
    for _ in 0..rounds {
        alone.push(random(seconds));
        // The backup looks at what its guest feels before it, so the guest writes by then.
        let mut backup = std::thread::scope(|scope| {
            let before = scope.spawn(|| random(3));
            let mut backup = served.backup(&archive);
            let mut backup = backup
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(backup.stdout.take().unwrap()).lines();
            assert!(lines.any(|line| line.unwrap().contains("\"done\":")));
            std::thread::spawn(move || lines.for_each(drop));
            before.join().unwrap();
            backup
        });
        fio(&served, span, &["--rw=write", "--bs=64k"]);
        during.push(random(seconds));
        assert!(
            backup.try_wait().unwrap().is_none(),
            "the backup has ended; use more MiB"
        );
        peak = peak.max(peak_memory(backup.id()).unwrap_or(0));
        let _ = Command::new("kill").arg(backup.id().to_string()).status();
        backup.wait().unwrap();
    }
    for (column, name) in ["p50", "p99", "p99.9"].into_iter().enumerate() {
        let [alone, during] = [&alone, &during].map(|measured| middle(measured, column));
        let aim = if name == "p99" { "<= 2" } else { "" };
        println!(
            "| write of 4 KiB to saved clusters, {name}, us | {alone:.0} | {during:.0} | {:.2} | {aim} |",
            during / alone
        );
    }
    let [alone, during] = [&alone, &during].map(|measured| middle(measured, 3));
    println!(
        "| such writes a second | {alone:.0} | {during:.0} | {:.2} | |",
        during / alone
    );
    memory(&served, peak);
    drop(served);
    std::fs::remove_file(disk).unwrap();
}

fn middle(measured: &[Measured], column: usize) -> f64 {
    let mut values: Vec<f64> = measured.iter().map(|measured| measured[column]).collect();
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

/// Writes to 16 MiB of the disk, one at a time.
fn fio(served: &Served, offset: u64, arguments: &[&str]) -> Measured {
    let mut command = Command::new("fio");
    command.args([
        "--name=guest",
        "--ioengine=nbd",
        "--iodepth=1",
        "--size=16M",
    ]);
    command.args(["--randrepeat=0", "--norandommap", "--output-format=json"]);
    command.arg(format!("--uri={}", served.uri()));
    command.arg(format!("--offset={offset}")).args(arguments);
    let output = command.output().expect("fio");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = said.find('{').map_or("", |start| &said[start..]);
    let json: Value = serde_json::from_str(json)
        .unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    let write = &json["jobs"][0]["write"];
    let micros = |percent: &str| write["clat_ns"]["percentile"][percent].as_f64().unwrap() / 1000.0;
    let rate = write["iops"].as_f64().unwrap();
    [
        micros("50.000000"),
        micros("99.000000"),
        micros("99.900000"),
        rate,
    ]
}

/// Whole backups and copies by QEMU: of the served disk, and of the same as the image of a stopped guest.
fn throughput(dir: &Path, qemu: &Qemu, mib: u64, rounds: u64) {
    let disk = disk(dir, mib);
    let archive = dir.join("vzdump-qemu-1-fast.vma");
    let served = Served::start(dir, &disk);
    let backup = || {
        let mut backup = served.backup(&archive);
        backup.arg("--compress=none");
        backup
    };
    let peak = beside_convert(
        &archive,
        qemu,
        "the export",
        &served.uri(),
        backup,
        mib,
        rounds,
    );
    memory(&served, peak);
    drop(served);
    let backup = || {
        let mut backup = Command::new(fleece());
        backup.args(["backup", "--vmid=1", "--compress=none", "--image"]);
        backup.arg(&disk).arg("--to").arg(&archive);
        backup.arg("--state-dir").arg(dir.join("state"));
        backup
    };
    let image = disk.to_str().unwrap();
    beside_convert(&archive, qemu, "the image", image, backup, mib, rounds);
}

/// Returns the backup's peak of memory in KiB.
fn beside_convert(
    archive: &Path,
    qemu: &Qemu,
    name: &str,
    source: &str,
    backup: impl Fn() -> Command,
    mib: u64,
    rounds: u64,
) -> u64 {
    let copy = archive.with_extension("raw");
    let convert = |how: &[&str]| {
        let mut command = qemu.img();
        command.args(["convert", "-f", "raw", "-O", "raw", "-t", "writeback"]);
        let time = run(command.args(how).arg(source).arg(&copy)).0;
        std::fs::remove_file(&copy).unwrap();
        time
    };
    let mut times = [const { Vec::new() }; 3];
    let mut peak = 0;
    for _ in 0..rounds {
        let (time, memory) = run(&mut backup());
        times[0].push(time);
        peak = peak.max(memory);
        std::fs::remove_file(archive.with_extension("vma.idx")).unwrap();
        std::fs::remove_file(archive).unwrap();
        times[1].push(convert(&[]));
        times[2].push(convert(&["-W", "-m", "8"]));
    }
    let [backup, plain, best] =
        times.map(|times: Vec<Duration>| mib as f64 / median(&times).as_secs_f64());
    for (how, rate) in [("", plain), (" -W -m 8", best)] {
        println!(
            "| backup / `qemu-img convert{how}` of {name}, MiB/s | {rate:.0} | {backup:.0} | {:.2} | >= 0.9 |",
            backup / rate
        );
    }
    peak
}

/// The backup's peak is given in KiB.
fn memory(served: &Served, backup: u64) {
    let server = peak_memory(served.child.id()).unwrap_or(0);
    println!(
        "| peak memory of `fleece serve`, MiB | | {} | | |",
        server >> 10
    );
    println!(
        "| peak memory of `fleece backup`, MiB | | {} | | |",
        backup >> 10
    );
}
