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

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement that fails says so and ends"
)]

use std::process::Command;
use std::time::Duration;

use fleece_benches::{fill, fleece, median, run};
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
