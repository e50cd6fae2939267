//! What the guest feels beside targets that are slow or dead.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_lab::{Definition, Disk, Guest, Interface};
use fleece_qmp_client::Client;
use serde_json::{Value, json};

use crate::table::{fill, median};

/// Large enough that each backup outlasts its measurement.
const SIZE: u64 = 1 << 30;

/// The part of the disk that the guest writes to.
const SPAN: u64 = 256 << 20;

/// Bytes per second of the slow target.
const SLOW: u64 = 10 << 20;

/// What the dead target takes before it dies.
const LAST_BREATH: u64 = 20 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Backup {
    None,
    /// QEMU's own job, which copies old data straight into the target, as products without fleecing do.
    Job,
    Fleece(Target),
}

#[derive(Clone, Copy, PartialEq)]
enum Target {
    Slow,
    Dead,
}

const CASES: [(&str, Backup); 4] = [
    ("no backup", Backup::None),
    ("`blockdev-backup`, target of 10 MiB/s", Backup::Job),
    (
        "`fleece backup`, the same target",
        Backup::Fleece(Target::Slow),
    ),
    (
        "`fleece backup`, a target that hangs",
        Backup::Fleece(Target::Dead),
    ),
];

/// What the guest tells, in the table's order.
const COLUMNS: [&str; 4] = ["p50_ms", "p99_ms", "max_ms", "iops"];

/// All cases take turns in one guest, and the table shows medians over the rounds. The disk is full of
/// noise; the guest writes 4 KiB at random places, one write at a time, and starts when the backup has begun to read.
pub(crate) fn run(rounds: usize, seconds: u64) {
    let qemu = fleece_lab::qemu("10.0").expect("the lab; prepare it with `cargo xtask lab`");
    let disk = Disk::raw(SIZE)
        .interface(Interface::VirtioBlk)
        .define(Definition::Drive);
    let guest = Guest::builder(&qemu).disk(disk).boot().expect("a guest");
    fill(guest.disk_path(0), SIZE);
    let mut measured: Vec<Vec<[f64; 4]>> = CASES.map(|_| Vec::new()).into_iter().collect();
    for _ in 0..rounds {
        for (measured, (_, backup)) in measured.iter_mut().zip(CASES) {
            measured.push(measure(&guest, backup, seconds));
        }
    }
    println!(
        "QEMU {}, 4 KiB writes one at a time at random in {} MiB, {seconds} s each, medians of {rounds} alternating \
         rounds.\n",
        qemu.version(),
        SPAN >> 20
    );
    println!("| | p50 / no backup | p99 / no backup | slowest / no backup | IOPS % |");
    println!("|---|---|---|---|---|");
    let column = |case: usize, n: usize| median(measured[case].iter().map(|columns| columns[n]));
    for (case, (name, _)) in CASES.iter().enumerate() {
        let ratio = |n: usize| column(case, n) / column(0, n);
        println!(
            "| {name} | {:.2} | {:.2} | {:.2} | {:.0} |",
            ratio(0),
            ratio(1),
            ratio(2),
            ratio(3) * 100.0
        );
    }
}

fn measure(guest: &Guest, backup: Backup, seconds: u64) -> [f64; 4] {
    let line = |seconds| format!("writer latency {seconds} 4096 {SPAN} /dev/disk0");
    let write = || {
        guest
            .run(&line(seconds), Duration::from_secs(seconds + 120))
            .expect("the guest's writer")
    };
    let said = match backup {
        Backup::None => write(),
        Backup::Job => {
            let client = Client::connect_unix(guest.test_socket()).unwrap();
            begin_job(&client);
            let said = write();
            end_job(&client);
            said
        }
        Backup::Fleece(target) => {
            // The backup looks at what the guest feels before it, so the guest writes by then.
            let before = guest.spawn(&line(3)).unwrap();
            let mut child = start(guest, target);
            before.wait(Duration::from_secs(60)).unwrap();
            let said = write();
            assert!(
                child.try_wait().unwrap().is_none(),
                "the backup ended early; use fewer seconds"
            );
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            child.wait().unwrap();
            said
        }
    };
    let said: Value = serde_json::from_str(said.trim()).unwrap();
    COLUMNS.map(|name| said[name].as_f64().unwrap())
}

fn begin_job(client: &Client) {
    let group = json!({"qom-type": "throttle-group", "id": "slow", "limits": {"bps-write": SLOW}});
    client.execute_raw("object-add", Some(group)).unwrap();
    let target = json!({
        "driver": "throttle", "node-name": "slow-target", "throttle-group": "slow",
        "file": {"driver": "null-co", "size": SIZE},
    });
    client.execute_raw("blockdev-add", Some(target)).unwrap();
    let job = json!({
        "job-id": "unfleeced", "device": "drive-virtio0", "target": "slow-target", "sync": "full",
    });
    client.execute_raw("blockdev-backup", Some(job)).unwrap();
}

fn end_job(client: &Client) {
    let cancel = json!({"device": "unfleeced", "force": true});
    client
        .execute_raw("block-job-cancel", Some(cancel))
        .unwrap();
    let jobs = || client.execute_raw("query-block-jobs", None).unwrap();
    while jobs() != json!([]) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let node = json!({"node-name": "slow-target"});
    client.execute_raw("blockdev-del", Some(node)).unwrap();
    client
        .execute_raw("object-del", Some(json!({"id": "slow"})))
        .unwrap();
}

/// Starts a backup and returns when it has begun to read.
fn start(guest: &Guest, target: Target) -> Child {
    let mut command = Command::new(fleece_benches::fleece());
    command.args(["backup", "--json", "--vmid", "7", "--to", "-", "--qmp"]);
    command.arg(guest.qmp_socket());
    command.arg("--state-dir").arg(guest.folder().join("state"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    std::thread::spawn(move || swallow(stdout, target));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let begun = lines.any(|line| line.unwrap().contains("\"done\":"));
    assert!(begun, "the backup ended: {:?}", child.wait());
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// A target behind a pipe.
fn swallow(mut pipe: ChildStdout, target: Target) {
    let mut buffer = vec![0; 64 << 10];
    let start = Instant::now();
    let mut taken = 0_u64;
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => taken += count as u64,
        }
        if target == Target::Dead && taken > LAST_BREATH {
            // Alive, and never to read again.
            loop {
                std::thread::park();
            }
        }
        let due = Duration::from_secs_f64(taken as f64 / SLOW as f64);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
}
