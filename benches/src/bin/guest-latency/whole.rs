//! Whole backups of a guest that writes: what they take, and what it feels meanwhile.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_lab::{Definition, Disk, Guest, Interface};
use fleece_qmp_client::Client;
use serde_json::{Value, json};

use crate::table::{fill, median};

/// Where the guest writes.
#[derive(Clone, Copy, PartialEq)]
enum Storage {
    /// A file.
    Local,
    /// The same behind a server that takes 5 ms for a read and 2 ms for a write.
    Delayed,
}

struct Load {
    name: &'static str,
    storage: Storage,
    /// Size, span of the disk's size in percent, threads, writes a second, order.
    line: (u64, u64, u32, u32, &'static str),
}

const LOADS: [Load; 4] = [
    Load {
        name: "4 KiB at random, one at a time",
        storage: Storage::Local,
        line: (4096, 25, 1, 0, "random"),
    },
    Load {
        name: "4 KiB at random, 16 at a time",
        storage: Storage::Local,
        line: (4096, 25, 16, 0, "random"),
    },
    Load {
        name: "64 KiB in sequence",
        storage: Storage::Local,
        line: (65536, 100, 1, 0, "sequential"),
    },
    Load {
        name: "100 writes a second, disk with 5 ms reads, 2 ms writes",
        storage: Storage::Delayed,
        line: (4096, 25, 1, 100, "random"),
    },
];

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Fleece(&'static [&'static str]),
    /// QEMU's own job, which copies old data straight into its target; here one that takes everything at once.
    Job,
}

const WAYS: [(&str, Way); 3] = [
    ("default", Way::Fleece(&[])),
    (
        "`--guest-latency 10000`: no limit",
        Way::Fleece(&["--guest-latency", "10000"]),
    ),
    ("`blockdev-backup` into nothing", Way::Job),
];

/// One whole backup. Times in seconds, latencies in milliseconds.
struct Measured {
    took: f64,
    /// Most bytes in the fleecing images.
    images: Option<f64>,
    before: Writes,
    during: Writes,
}

#[derive(Clone, Copy)]
struct Writes {
    p50: f64,
    p99: f64,
    max: f64,
    iops: f64,
}

/// Measures each load with each way, in turns, and prints medians.
pub(crate) fn run(rounds: usize, mib: u64, only: Option<usize>) {
    let size = mib << 20;
    let qemu = fleece_lab::qemu("10.0").expect("the lab; prepare it with `cargo xtask lab`");
    let nbdkit = fleece_lab::require("nbdkit").expect("nbdkit");
    let folder = tempfile::tempdir_in(fleece_lab::root()).unwrap();
    let delayed = Delayed::start(&nbdkit, folder.path(), size);
    let disk = Disk::raw(size)
        .interface(Interface::VirtioBlk)
        .define(Definition::Drive);
    let drive = format!(
        "file=nbd:unix:{},if=none,id=drive-virtio1,format=raw,cache=none",
        delayed.socket.display()
    );
    let guest = Guest::builder(&qemu)
        .disk(disk)
        .argument("-drive")
        .argument(drive)
        .argument("-device")
        .argument("virtio-blk-pci,drive=drive-virtio1,id=virtio1,serial=disk1")
        .boot()
        .expect("a guest");
    fill(guest.disk_path(0), size);
    fill(&delayed.image, size);

    println!(
        "QEMU {}, {mib} MiB of noise, median of {rounds} rounds",
        qemu.version()
    );
    for (number, load) in LOADS.iter().enumerate() {
        if only.is_some_and(|only| only != number) {
            continue;
        }
        let mut measured: Vec<Vec<Measured>> = WAYS.map(|_| Vec::new()).into_iter().collect();
        for _ in 0..rounds {
            for (measured, (_, way)) in measured.iter_mut().zip(WAYS) {
                measured.push(measure(&guest, load, way, size));
            }
        }
        tell(load, &measured, size);
    }
}

fn tell(load: &Load, measured: &[Vec<Measured>], size: u64) {
    println!("\n{}\n", load.name);
    println!(
        "| | s | MiB/s | / no limit | p50 ms before | during | p99 ms before | during | max ms | IOPS before \
         | during | % | writes lost | images % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let unlimited = median(measured[1].iter().map(|measured| measured.took));
    for (measured, (name, way)) in measured.iter().zip(WAYS) {
        let of = |value: fn(&Measured) -> f64| median(measured.iter().map(value));
        let took = of(|measured| measured.took);
        let images = match way {
            Way::Job => "-".to_owned(),
            Way::Fleece(_) => {
                let images = of(|measured| measured.images.unwrap_or(f64::NAN));
                format!("{:.0}", images * 100.0 / size as f64)
            }
        };
        println!(
            "| {name} | {took:.1} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} \
             | {:.0} | {images} |",
            (size >> 20) as f64 / took,
            took / unlimited,
            of(|measured| measured.before.p50),
            of(|measured| measured.during.p50),
            of(|measured| measured.before.p99),
            of(|measured| measured.during.p99),
            of(|measured| measured.during.max),
            of(|measured| measured.before.iops),
            of(|measured| measured.during.iops),
            of(|measured| measured.during.iops * 100.0 / measured.before.iops),
            of(|measured| (measured.before.iops - measured.during.iops) * measured.took),
        );
    }
}

fn measure(guest: &Guest, load: &Load, way: Way, size: u64) -> Measured {
    let number = match load.storage {
        Storage::Local => 0,
        Storage::Delayed => 1,
    };
    let (bytes, span, threads, rate, order) = load.line;
    let span = size / 100 * span;
    let line = |seconds: u64| {
        format!("writer load {seconds} {bytes} {span} {threads} {rate} {order} /dev/disk{number}")
    };
    let soon = Duration::from_secs(60);
    let before = writes(&guest.run(&line(3), soon).unwrap());
    let writer = guest.spawn(&line(0)).unwrap();
    let begin = || guest.run("touch /tmp/again", soon).map(drop).unwrap();
    let disk = format!("drive-virtio{number}");
    let (took, images) = match way {
        Way::Fleece(options) => fleece(guest, &disk, options, begin),
        Way::Job => (job(guest, &disk, size, begin), None),
    };
    guest.run("touch /tmp/enough", soon).unwrap();
    Measured {
        took: took.as_secs_f64(),
        images,
        before,
        during: writes(&writer.wait(soon).unwrap()),
    }
}

fn writes(said: &str) -> Writes {
    let said: Value = serde_json::from_str(said.trim()).unwrap();
    let number = |name: &str| said[name].as_f64().unwrap();
    Writes {
        p50: number("p50_ms"),
        p99: number("p99_ms"),
        max: number("max_ms"),
        iops: number("iops"),
    }
}

/// A backup to a target that takes everything; calls `begin` when the filter is in.
fn fleece(
    guest: &Guest,
    disk: &str,
    options: &[&str],
    begin: impl Fn(),
) -> (Duration, Option<f64>) {
    let mut command = Command::new(fleece_benches::fleece());
    command.args([
        "backup",
        "--json",
        "--vmid",
        "7",
        "--include",
        disk,
        "--qmp",
    ]);
    command.arg(guest.qmp_socket());
    command.arg("--state-dir").arg(guest.folder().join("state"));
    command.args(["--to", "-"]).args(options);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut start = None;
    let mut images = None;
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        if start.is_none() && line.contains("copy-before-write is active") {
            start = Some(Instant::now());
            begin();
        }
        images = event["fleecing_peak"].as_f64().or(images);
    }
    assert!(child.wait().unwrap().success());
    (start.expect("a filter").elapsed(), images)
}

/// QEMU's own job.
fn job(guest: &Guest, disk: &str, size: u64, begin: impl Fn()) -> Duration {
    let client = Client::connect_unix(guest.test_socket()).unwrap();
    let target = json!({"driver": "null-co", "node-name": "target", "size": size});
    client.execute_raw("blockdev-add", Some(target)).unwrap();
    let job = json!({"job-id": "job", "device": disk, "target": "target", "sync": "full"});
    let start = Instant::now();
    client.execute_raw("blockdev-backup", Some(job)).unwrap();
    begin();
    while client.execute_raw("query-block-jobs", None).unwrap() != json!([]) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = start.elapsed();
    let node = json!({"node-name": "target"});
    client.execute_raw("blockdev-del", Some(node)).unwrap();
    took
}

/// A disk that takes its time.
struct Delayed {
    server: Child,
    image: std::path::PathBuf,
    socket: std::path::PathBuf,
}

impl Delayed {
    fn start(nbdkit: &Path, folder: &Path, size: u64) -> Self {
        let (image, socket) = (folder.join("delayed.raw"), folder.join("delayed.sock"));
        std::fs::File::create(&image)
            .unwrap()
            .set_len(size)
            .unwrap();
        let mut command = Command::new(nbdkit);
        command.args(["--foreground", "--exit-with-parent", "--filter=delay"]);
        command.arg("--unix").arg(&socket).arg("file").arg(&image);
        command.args(["rdelay=5ms", "wdelay=2ms"]);
        let server = command.spawn().unwrap();
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            server,
            image,
            socket,
        }
    }
}

impl Drop for Delayed {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
