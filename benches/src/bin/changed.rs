//! `fleece backup --incremental` against a full backup of the same disk, and against QEMU's own incremental job, in one
//! run: time, what is read of the guest, and what is new at the target.
//!
//! ```text
//! cargo build --release -p fleece-bins && cargo xtask lab
//! cargo run --release -p fleece-benches --bin changed [MiB] [rounds]
//! ```
//!
//! The disk, a third holes, a third noise, a third text, belongs to a storage daemon; clusters of 64 KiB here and there
//! change between two backups. Targets are new file systems in files beside the lab, and one in memory; needs root. All
//! sides end with the data synced.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "a measurement that fails says so and ends"
)]

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fleece_benches::{fill, fleece, median};
use fleece_lab::{Disk, Qemu, StorageDaemon};
use fleece_qmp_client::Client;
use serde_json::{Value, json};

const CLUSTER: u64 = 64 << 10;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |or: u64| {
        arguments
            .next()
            .map_or(or, |text| text.parse().expect("a number"))
    };
    let (mib, rounds) = (number(2048), number(3));
    let qemu = fleece_lab::qemu("10.0").expect("the lab; prepare it with `cargo xtask lab`");
    println!(
        "| target | | changed | full s | incremental s | ratio | read of the guest / changed | new at the target MiB | / full | \
         QEMU's job / full |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for system in ["xfs", "btrfs", "ext4", "tmpfs"] {
        for compress in ["none", "zstd"] {
            for percent in [2, 10, 30] {
                let target = Target::new(system, mib);
                let guest = Guest::new(&qemu, mib, &target);
                println!("{}", guest.row(compress, percent, rounds));
            }
        }
    }
}

/// A new file system.
struct Target {
    system: &'static str,
    directory: tempfile::TempDir,
}

impl Target {
    fn new(system: &'static str, mib: u64) -> Self {
        // The lab's folder is on a disk, where the system's temporary one may be memory.
        let directory = tempfile::tempdir_in(fleece_lab::root()).unwrap();
        let (image, point) = (
            directory.path().join("image"),
            directory.path().join("point"),
        );
        fs::create_dir(&point).unwrap();
        let mut mount = Command::new("mount");
        if system == "tmpfs" {
            mount.args(["-t", "tmpfs", "tmpfs"]);
        } else {
            File::create(&image)
                .unwrap()
                .set_len((mib * 8) << 20)
                .unwrap();
            done(Command::new(format!("mkfs.{system}")).arg("-q").arg(&image));
            mount.args(["-o", "loop"]).arg(&image);
        }
        done(mount.arg(&point));
        Self { system, directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("point")
    }

    /// Bytes in use, when all is written.
    fn used(&self) -> u64 {
        done(Command::new("sync").arg("-f").arg(self.path()));
        let mut df = Command::new("df");
        df.args(["--block-size=1", "--output=used"])
            .arg(self.path());
        let text = String::from_utf8(df.output().unwrap().stdout).unwrap();
        text.lines().nth(1).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        done(Command::new("umount").arg(self.path()));
    }
}

/// A storage daemon with one disk.
struct Guest<'a> {
    qemu: &'a Qemu,
    daemon: StorageDaemon,
    work: tempfile::TempDir,
    target: &'a Target,
    clusters: u64,
}

/// One backup.
struct Measured {
    took: Duration,
    new: u64,
    said: Value,
}

impl Measured {
    fn remove(&self) {
        let mut delete = Command::new(fleece());
        done(
            delete
                .arg("delete")
                .arg(self.said["archive"].as_str().unwrap()),
        );
    }
}

impl<'a> Guest<'a> {
    fn new(qemu: &'a Qemu, mib: u64, target: &'a Target) -> Self {
        let disk = Disk::raw(mib << 20).throttled();
        let builder = StorageDaemon::builder(qemu)
            .disk(disk)
            .export()
            .second_monitor();
        let daemon = builder.start().unwrap();
        fill(daemon.disk_path(0), mib);
        Self {
            qemu,
            daemon,
            work: tempfile::tempdir().unwrap(),
            target,
            clusters: (mib << 20) / CLUSTER,
        }
    }

    /// Full and incremental backups in turn, each after as much has changed, as a row of the table.
    fn row(&self, compress: &str, percent: u64, rounds: u64) -> String {
        let changed = self.clusters * percent / 100;
        let (mut full, mut some, mut peer) = (Vec::new(), Vec::new(), Vec::new());
        let (mut new, mut all, mut read) = (Vec::new(), Vec::new(), Vec::new());
        let mut last = self.backup(compress, &["--incremental"]);
        self.job("full", None);
        for round in 0..rounds {
            self.change(changed, round);
            let increment = self.backup(compress, &["--incremental"]);
            assert_eq!(increment.said["disks_by_bitmap"], 1, "{}", increment.said);
            some.push(increment.took);
            new.push(increment.new);
            read.push(increment.said["read_of_guest"].as_u64().unwrap());
            // Memory is a target, too.
            last.remove();
            last = increment;
            peer.push(self.job("incremental", Some(round)));
            let whole = self.backup(compress, &[]);
            full.push(whole.took);
            all.push(whole.new);
            whole.remove();
        }
        let seconds = |times: &[Duration]| median(times).as_secs_f64();
        let middle = |mut numbers: Vec<u64>| {
            numbers.sort_unstable();
            numbers[(numbers.len() - 1) / 2] as f64
        };
        let (full, some, peer) = (seconds(&full), seconds(&some), seconds(&peer));
        let (new, all, read) = (middle(new), middle(all), middle(read));
        format!(
            "| {} | `{}` | {percent} % | {full:.2} | {some:.2} | {:.2} | {:.2} | {:.0} | {:.2} | {:.2} |",
            self.target.system,
            if compress == "none" {
                ".vma"
            } else {
                ".vma.zst"
            },
            some / full,
            read / (changed * CLUSTER) as f64,
            new / f64::from(1 << 20),
            new / all,
            peer / full,
        )
    }

    /// Writes so many clusters, each once, here and there, with something that was not there.
    fn change(&self, count: u64, round: u64) {
        let mut io = self.qemu.io();
        io.args(["-f", "raw", &self.daemon.nbd_uri(0)]);
        let step = self.clusters / count.max(1);
        for n in 0..count {
            // Not always at the same distance.
            let cluster = n * step + (n * 7 + round * 3) % step;
            let value = 1 + (n * 31 + round * 17) % 250;
            io.args([
                "-c",
                &format!("write -q -P {value} {} {CLUSTER}", cluster * CLUSTER),
            ]);
        }
        done(&mut io);
    }

    fn backup(&self, compress: &str, options: &[&str]) -> Measured {
        let before = self.target.used();
        let place = |name: &str| {
            let place = self.work.path().join(name);
            fs::create_dir_all(&place).unwrap();
            place
        };
        let mut command = Command::new(fleece());
        command.args(["--json", "backup", "--vmid", "7", "--guest-latency", "100"]);
        command.args(["--compress", compress]).args(options);
        command.arg("--qmp").arg(self.daemon.qmp_socket());
        command.arg("--nbd-server").arg(self.daemon.nbd_socket());
        command.arg("--to").arg(self.target.path());
        command.arg("--state-dir").arg(place("state"));
        command.arg("--fleecing").arg(place("fleecing"));
        let start = Instant::now();
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        let took = start.elapsed();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        let last = text.lines().last().unwrap_or_default();
        Measured {
            took,
            new: self.target.used().saturating_sub(before),
            said: serde_json::from_str(last).unwrap(),
        }
    }

    /// QEMU's own backup: a full one to begin with, then those of what its bitmap marks, and that synced.
    fn job(&self, sync: &str, round: Option<u64>) -> Duration {
        let client = Client::connect_unix(self.daemon.test_socket()).unwrap();
        let execute = |command: &str, arguments: Value| {
            client.execute_raw(command, Some(arguments)).unwrap();
        };
        let name = round.map_or_else(|| "full".to_owned(), |round| format!("increment{round}"));
        let path = self.target.path().join(&name);
        let size = (self.clusters * CLUSTER).to_string();
        let format = if round.is_some() { "qcow2" } else { "raw" };
        done(
            self.qemu
                .img()
                .args(["create", "-q", "-f", format])
                .arg(&path)
                .arg(size),
        );
        let start = Instant::now();
        let node = json!({
            "driver": format, "node-name": name, "file": {"driver": "file", "filename": path},
        });
        execute("blockdev-add", node);
        if round.is_none() {
            let bitmap = json!({"node": "disk0-format", "name": "peer", "granularity": CLUSTER});
            execute("block-dirty-bitmap-add", bitmap);
        }
        let mut job = json!({
            "job-id": name, "device": "disk0-format", "target": name, "sync": sync,
        });
        if round.is_some() {
            job["bitmap"] = "peer".into();
        }
        execute("blockdev-backup", job);
        loop {
            let jobs = client.execute_raw("query-jobs", None).unwrap();
            if !jobs.to_string().contains(&name) {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        execute("blockdev-del", json!({"node-name": name}));
        File::open(&path).unwrap().sync_all().unwrap();
        let took = start.elapsed();
        if round.is_some() {
            fs::remove_file(path).unwrap();
        }
        took
    }
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    if !output.status.success() {
        panic!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
