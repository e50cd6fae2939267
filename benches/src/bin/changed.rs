//! `fleece backup --incremental` against a full backup of the same disk, against QEMU's own incremental job, and against
//! qmpbackup's incremental backup, in one run: time, what is read of the guest, and what is new at the target.
//!
//! ```text
//! cargo build --release -p fleece-bins && cargo xtask lab
//! QMPBACKUP="python qmpbackup" cargo run --release -p fleece-benches --bin changed [MiB] [rounds] [xfs|…] [.vma|.vma.zst] [2|10|30]
//! ```
//!
//! The disk, a third holes, a third noise, a third text, is a qcow2 image of a QEMU whose guest stands still; clusters of
//! 64 KiB here and there change between two backups. Targets are new file systems in files beside the lab, and one in
//! memory; needs root. All sides end with the data synced. What is new is told by the file system, and compared with the
//! size of the full archive. Without `QMPBACKUP`, which is how to call it, its column is empty. With `COLD`, the guest's
//! image is dropped from the page cache before each side, so that all of them read it from its disk.

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
use fleece_lab::{Machine, Qemu};
use fleece_qmp_client::Client;
use serde_json::{Value, json};

const CLUSTER: u64 = 64 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize, or: u64| {
        arguments
            .get(n)
            .map_or(or, |text| text.parse().expect("a number"))
    };
    let chosen = |n: usize, name: &str| arguments.get(n).is_none_or(|only| only == name);
    let (mib, rounds) = (number(0, 2048), number(1, 3));
    let qemu = fleece_lab::qemu("10.0").expect("the lab; prepare it with `cargo xtask lab`");
    println!(
        "| target | | changed | full s | incremental s | ratio | read of the guest / changed | new at the target MiB | / full | \
         QEMU's job / full | qmpbackup / full |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let systems = ["xfs", "btrfs", "ext4", "tmpfs"].into_iter();
    for system in systems.filter(|system| chosen(2, system)) {
        let target = Target::new(system, mib);
        let mut guest = Guest::new(&qemu, mib, &target);
        let kinds = [("none", ".vma"), ("zstd", ".vma.zst")].into_iter();
        for (compress, kind) in kinds.filter(|(_, kind)| chosen(3, kind)) {
            guest.begin(compress);
            let percents = [2, 10, 30].into_iter();
            for percent in percents.filter(|percent| chosen(4, &percent.to_string())) {
                println!("{}", guest.row((compress, kind), percent, rounds));
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

/// A QEMU whose guest stands still, with one disk.
struct Guest<'a> {
    machine: Machine,
    image: PathBuf,
    work: tempfile::TempDir,
    target: &'a Target,
    clusters: u64,
    /// The last incremental backup.
    last: Option<Measured>,
    /// Changes so far.
    changes: u64,
    qmpbackup: Option<Vec<String>>,
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
    fn new(qemu: &Qemu, mib: u64, target: &'a Target) -> Self {
        let machine = Machine::builder(qemu).unwrap();
        let path = |name: &str| machine.folder().join(name);
        let (raw, image) = (path("raw"), path("image"));
        File::create(&raw).unwrap().set_len(mib << 20).unwrap();
        fill(&raw, mib);
        let mut convert = qemu.img();
        convert.args(["convert", "-q", "-O", "qcow2"]);
        done(convert.arg(&raw).arg(&image));
        fs::remove_file(raw).unwrap();
        let disk = json!({
            "driver": "qcow2", "node-name": "disk", "discard": "unmap",
            "file": {"driver": "file", "filename": image},
        });
        let machine = machine
            .option("-blockdev", disk.to_string())
            .option("-device", "virtio-blk-pci,id=virtio0,drive=disk")
            .start()
            .unwrap();
        let qmpbackup = std::env::var("QMPBACKUP").ok();
        let guest = Self {
            machine,
            image,
            work: tempfile::tempdir().unwrap(),
            target,
            clusters: (mib << 20) / CLUSTER,
            last: None,
            changes: 0,
            qmpbackup: qmpbackup.map(|text| text.split(' ').map(str::to_owned).collect()),
        };
        let client = guest.client();
        let bitmap = json!({"node": "disk", "name": "peer", "granularity": CLUSTER});
        client
            .execute_raw("block-dirty-bitmap-add", Some(bitmap))
            .unwrap();
        drop(client);
        guest.peer("full");
        guest
    }

    fn client(&self) -> Client {
        Client::connect_unix(self.machine.test_socket()).unwrap()
    }

    /// An archive to begin with.
    fn begin(&mut self, compress: &str) {
        let last = self.backup(compress, &["--incremental"]);
        if let Some(before) = self.last.replace(last) {
            before.remove();
        }
    }

    /// Full and incremental backups in turn, each after as much has changed, as a row of the table.
    fn row(&mut self, (compress, kind): (&str, &str), percent: u64, rounds: u64) -> String {
        let changed = self.clusters * percent / 100;
        let (mut full, mut some, mut job, mut peer) = (vec![], vec![], vec![], vec![]);
        let (mut new, mut all, mut read) = (vec![], vec![], vec![]);
        for _ in 0..rounds {
            self.change(changed);
            let increment = self.backup(compress, &["--incremental"]);
            assert_eq!(increment.said["disks_by_bitmap"], 1, "{}", increment.said);
            some.push(increment.took);
            new.push(increment.new);
            read.push(increment.said["read_of_guest"].as_u64().unwrap());
            // Memory is a target, too.
            if let Some(before) = self.last.replace(increment) {
                before.remove();
            }
            job.push(self.job());
            peer.extend(self.peer("inc"));
            let whole = self.backup(compress, &[]);
            full.push(whole.took);
            all.push(whole.said["size"].as_u64().unwrap());
            whole.remove();
        }
        let seconds = |times: &[Duration]| median(times).as_secs_f64();
        let middle = |mut numbers: Vec<u64>| {
            numbers.sort_unstable();
            let place = numbers.len().saturating_sub(1) / 2;
            numbers.get(place).copied().unwrap_or_default() as f64
        };
        let (full, some, job) = (seconds(&full), seconds(&some), seconds(&job));
        let (new, all, read) = (middle(new), middle(all), middle(read));
        let peer = match peer.as_slice() {
            [] => "–".to_owned(),
            peer => format!("{:.2}", seconds(peer) / full),
        };
        format!(
            "| {} | `{kind}` | {percent} % | {full:.2} | {some:.2} | {:.2} | {:.2} | {:.0} | {:.2} | {:.2} | {peer} |",
            self.target.system,
            some / full,
            read / (changed * CLUSTER) as f64,
            new / f64::from(1 << 20),
            new / all,
            job / full,
        )
    }

    /// Writes so many clusters, each once, here and there, with something that was not there.
    fn change(&mut self, count: u64) {
        let client = self.client();
        let command = |line: &str| {
            let line = json!({"command-line": line});
            let said = client.execute_raw("human-monitor-command", Some(line));
            let said = said.unwrap().to_string();
            assert!(!said.contains("rror"), "{said}");
        };
        let step = self.clusters / count.max(1);
        for n in 0..count {
            // Not always at the same distance.
            let cluster = n * step + (n * 7 + self.changes * 3) % step;
            let value = 1 + (n * 31 + self.changes * 17) % 250;
            let offset = cluster * CLUSTER;
            let write = format!(
                "qemu-io -d virtio0/virtio-backend \"write -P {value} {offset} {CLUSTER}\""
            );
            command(&write);
        }
        // QEMU syncs the image with what it removes at the end of a backup: the first one after the change would wait
        // for the guest's own writes, and those after it would not.
        command("qemu-io -d virtio0/virtio-backend flush");
        self.changes += 1;
    }

    /// Drops the image from the page cache, if that is asked for.
    fn cool(&self) {
        if std::env::var_os("COLD").is_some() {
            let mut forget = Command::new("dd");
            forget.arg(format!("if={}", self.image.display()));
            done(forget.args(["iflag=nocache", "count=0", "status=none"]));
        }
    }

    fn backup(&self, compress: &str, options: &[&str]) -> Measured {
        let before = self.target.used();
        self.cool();
        let place = |name: &str| {
            let place = self.work.path().join(name);
            fs::create_dir_all(&place).unwrap();
            place
        };
        let mut command = Command::new(fleece());
        command.args(["--json", "backup", "--vmid", "7"]);
        command.args(["--compress", compress]).args(options);
        command.arg("--qmp").arg(self.machine.qmp_socket());
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

    /// QEMU's own backup of what its bitmap marks.
    fn job(&self) -> Duration {
        self.cool();
        let client = self.client();
        let execute = |command: &str, arguments: Value| {
            client.execute_raw(command, Some(arguments)).unwrap();
        };
        let path = self.target.path().join("job");
        let size = self.clusters * CLUSTER;
        let start = Instant::now();
        File::create(&path).unwrap();
        let file = json!({
            "driver": "file", "node-name": "job-file", "filename": path,
        });
        execute("blockdev-add", file);
        let create = json!({
            "job-id": "create",
            "options": {"driver": "qcow2", "file": "job-file", "size": size},
        });
        execute("blockdev-create", create);
        concluded(&client, "create");
        execute("job-dismiss", json!({"id": "create"}));
        let node = json!({"driver": "qcow2", "node-name": "job", "file": "job-file"});
        execute("blockdev-add", node);
        let job = json!({
            "job-id": "job", "device": "disk", "target": "job", "sync": "incremental",
            "bitmap": "peer", "auto-dismiss": false,
        });
        execute("blockdev-backup", job);
        concluded(&client, "job");
        execute("job-dismiss", json!({"id": "job"}));
        execute("blockdev-del", json!({"node-name": "job"}));
        execute("blockdev-del", json!({"node-name": "job-file"}));
        File::open(&path).unwrap().sync_all().unwrap();
        let took = start.elapsed();
        fs::remove_file(path).unwrap();
        took
    }

    /// qmpbackup's backup, a full one to begin with.
    fn peer(&self, level: &str) -> Option<Duration> {
        let words = self.qmpbackup.as_ref()?;
        let place = self.target.path().join("peer");
        let mut command = Command::new(words.first()?);
        command.args(words.iter().skip(1));
        command.arg("--socket").arg(self.machine.test_socket());
        command.args(["backup", "--level", level, "--no-subdir", "--target"]);
        self.cool();
        let start = Instant::now();
        done(command.arg(&place));
        done(Command::new("sync").arg("-f").arg(&place));
        let took = start.elapsed();
        for entry in fs::read_dir(&place).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().contains("INC-") {
                fs::remove_file(path).unwrap();
            }
        }
        Some(took)
    }
}

/// Waits for the end of a job.
fn concluded(client: &Client, job: &str) {
    loop {
        let jobs = client.execute_raw("query-jobs", None).unwrap();
        let jobs = jobs.as_array().unwrap();
        let status = jobs.iter().find(|known| known["id"] == job);
        if status.is_none_or(|known| known["status"] == "concluded") {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    if !output.status.success() {
        panic!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
