//! Whole backups of a guest that writes: what they take, and what it feels meanwhile.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_lab::{Definition, Disk, Guest, Interface};
use fleece_qmp_client::Client;
use serde_json::{Value, json};

use crate::table::{fill, median};

/// The guest's disks: a file; the same behind a server that takes 5 ms for a read and 2 ms for a write; a file,
/// in a thread of its own.
const LOCAL: u32 = 0;
const DELAYED: u32 = 1;
const IOTHREAD: u32 = 2;

struct Load {
    name: &'static str,
    /// What is backed up. The guest writes to the first.
    disks: &'static [u32],
    /// Size, span of the disk's size in percent, threads, writes a second, order.
    line: (u64, u64, u32, u32, &'static str),
}

const LOADS: [Load; 6] = [
    Load {
        name: "4 KiB at random, one at a time",
        disks: &[LOCAL],
        line: (4096, 25, 1, 0, "random"),
    },
    Load {
        name: "4 KiB at random, 16 at a time",
        disks: &[LOCAL],
        line: (4096, 25, 16, 0, "random"),
    },
    Load {
        name: "64 KiB in sequence",
        disks: &[LOCAL],
        line: (65536, 100, 1, 0, "sequential"),
    },
    Load {
        name: "100 writes a second, disk with 5 ms reads, 2 ms writes",
        disks: &[DELAYED],
        line: (4096, 25, 1, 100, "random"),
    },
    Load {
        name: "4 KiB at random, one at a time, disk with an iothread",
        disks: &[IOTHREAD],
        line: (4096, 25, 1, 0, "random"),
    },
    Load {
        name: "4 KiB at random, one at a time, and another disk",
        disks: &[LOCAL, IOTHREAD],
        line: (4096, 25, 1, 0, "random"),
    },
];

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Way {
    Fleece(&'static [&'static str]),
    /// QEMU's own job, which copies old data straight into its target; here one that takes everything at once.
    Job,
}

/// What is compared: a name and what it stands for.
pub(crate) type Ways = &'static [(&'static str, Way)];

const DEFAULT: (&str, Way) = ("default", Way::Fleece(&[]));

/// What the others are compared to.
const NO_LIMIT: (&str, Way) = (
    "`--guest-latency 10000`: no limit",
    Way::Fleece(&["--guest-latency", "10000"]),
);

/// Ours and QEMU's own.
pub(crate) const PEERS: Ways = &[
    DEFAULT,
    NO_LIMIT,
    ("`blockdev-backup` into nothing", Way::Job),
];

/// From what costs the guest least to what ends soonest.
pub(crate) const FRONTIER: Ways = &[
    (
        "`--guest-latency 1`",
        Way::Fleece(&["--guest-latency", "1"]),
    ),
    DEFAULT,
    (
        "`--guest-latency 5`",
        Way::Fleece(&["--guest-latency", "5"]),
    ),
    (
        "`--guest-latency 20`",
        Way::Fleece(&["--guest-latency", "20"]),
    ),
    NO_LIMIT,
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

/// Measures each load, or those with these numbers, with each way, in turns, and prints medians.
pub(crate) fn run(ways: Ways, rounds: usize, mib: u64, only: &[usize], qemu: &str) {
    let size = mib << 20;
    let qemu = fleece_lab::qemu(qemu).expect("the lab; prepare it with `cargo xtask lab`");
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
    let third = folder.path().join("third.raw");
    File::create(&third).unwrap().set_len(size).unwrap();
    let another = format!(
        "file={},if=none,id=drive-virtio2,format=raw,cache=none",
        third.display()
    );
    let guest = Guest::builder(&qemu)
        .disk(disk)
        .argument("-object")
        .argument("iothread,id=thread")
        .argument("-drive")
        .argument(another)
        .argument("-device")
        .argument("virtio-blk-pci,drive=drive-virtio2,id=virtio2,serial=disk2,iothread=thread")
        .argument("-drive")
        .argument(drive)
        .argument("-device")
        .argument("virtio-blk-pci,drive=drive-virtio1,id=virtio1,serial=disk1")
        .boot()
        .expect("a guest");
    fill(guest.disk_path(0), size);
    fill(&delayed.image, size);
    fill(&third, size);

    println!(
        "QEMU {}, disks of {mib} MiB of noise, medians of {rounds} alternating rounds.\n",
        qemu.version()
    );
    println!(
        "| the guest writes | | s | time / no limit | p50 / before | p99 / before | p99 ms more | slowest ms | IOPS % \
         | lost / no limit | images % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    println!("| aims | | | <= 2 | | <= 1.5, or | <= 2 | | >= 85 | | <= 20 |");
    for (number, load) in LOADS.iter().enumerate() {
        if !only.is_empty() && !only.contains(&number) {
            continue;
        }
        let mut measured: Vec<Vec<Measured>> = ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (measured, (_, way)) in measured.iter_mut().zip(ways) {
                measured.push(measure(&guest, load, *way, size));
            }
        }
        tell(load, ways, &measured, size);
    }
}

fn tell(load: &Load, ways: Ways, measured: &[Vec<Measured>], size: u64) {
    let no_limit = ways.iter().position(|way| *way == NO_LIMIT).unwrap();
    let size = size as f64 * load.disks.len() as f64;
    let of = |way: usize, value: fn(&Measured) -> f64| median(measured[way].iter().map(value));
    let took = |measured: &Measured| measured.took;
    let lost = |measured: &Measured| (measured.before.iops - measured.during.iops) * measured.took;
    for (number, (name, way)) in ways.iter().enumerate() {
        let images = match way {
            Way::Job => String::new(),
            Way::Fleece(_) => {
                let images = of(number, |measured| measured.images.unwrap_or(f64::NAN));
                format!("{:.0}", images * 100.0 / size)
            }
        };
        println!(
            "| {} | {name} | {:.1} | {:.2} | {:.1} | {:.1} | {:.2} | {:.0} | {:.0} | {:.1} | {images} |",
            if number == 0 { load.name } else { "" },
            of(number, took),
            of(number, took) / of(no_limit, took),
            of(number, |measured| measured.during.p50 / measured.before.p50),
            of(number, |measured| measured.during.p99 / measured.before.p99),
            of(number, |measured| measured.during.p99 - measured.before.p99),
            of(number, |measured| measured.during.max),
            of(number, |measured| measured.during.iops * 100.0
                / measured.before.iops),
            of(number, lost) / of(no_limit, lost),
        );
    }
}

fn measure(guest: &Guest, load: &Load, way: Way, size: u64) -> Measured {
    let number = load.disks[0];
    let (bytes, span, threads, rate, order) = load.line;
    let span = size / 100 * span;
    let line = |seconds: u64| {
        format!("writer load {seconds} {bytes} {span} {threads} {rate} {order} /dev/disk{number}")
    };
    let soon = Duration::from_secs(60);
    let before = writes(&guest.run(&line(2), soon).unwrap());
    let writer = guest.spawn(&line(0)).unwrap();
    let begin = || guest.run("touch /tmp/again", soon).map(drop).unwrap();
    let disks = load.disks.iter().map(|disk| format!("drive-virtio{disk}"));
    let disks: Vec<String> = disks.collect();
    let (took, images) = match way {
        Way::Fleece(options) => fleece(guest, &disks, options, begin),
        Way::Job => (job(guest, &disks, size, begin), None),
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
    disks: &[String],
    options: &[&str],
    begin: impl Fn(),
) -> (Duration, Option<f64>) {
    let mut command = Command::new(fleece_benches::fleece());
    command.args(["backup", "--json", "--vmid", "7"]);
    command.arg("--include").arg(disks.join(","));
    command.arg("--qmp").arg(guest.qmp_socket());
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

/// QEMU's own jobs.
fn job(guest: &Guest, disks: &[String], size: u64, begin: impl Fn()) -> Duration {
    let client = Client::connect_unix(guest.test_socket()).unwrap();
    let target = |disk: &str| format!("target-{disk}");
    for disk in disks {
        let target = json!({"driver": "null-co", "node-name": target(disk), "size": size});
        client.execute_raw("blockdev-add", Some(target)).unwrap();
    }
    let start = Instant::now();
    for disk in disks {
        let job = json!({"job-id": disk, "device": disk, "target": target(disk), "sync": "full"});
        client.execute_raw("blockdev-backup", Some(job)).unwrap();
    }
    begin();
    while client.execute_raw("query-block-jobs", None).unwrap() != json!([]) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = start.elapsed();
    for disk in disks {
        let node = json!({"node-name": target(disk)});
        client.execute_raw("blockdev-del", Some(node)).unwrap();
    }
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
        File::create(&image).unwrap().set_len(size).unwrap();
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
