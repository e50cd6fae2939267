//! What the guest feels beside slow, dead and fast targets.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fleece_lab::{Definition, Disk, Guest, Interface};
use fleece_qmp_client::Client;
use serde_json::{Value, json};

use crate::table::{fill, median};

const SIZE: u64 = 8 << 30;

/// Bytes per second of the slow target.
const SLOW: u64 = 10 << 20;

/// What the dead target takes before it dies.
const LAST_BREATH: u64 = 20 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Backup {
    None,
    /// QEMU's own job, which copies old data straight into the target, as products without fleecing do.
    Unfleeced,
    Fleece(Target, Option<&'static str>),
}

#[derive(Clone, Copy, PartialEq)]
enum Target {
    Slow,
    Dead,
    /// A file on the guest's own disk's file system.
    Fast,
}

const CASES: [(&str, Backup); 7] = [
    ("no backup", Backup::None),
    ("unfleeced, target of 10 MiB/s", Backup::Unfleeced),
    (
        "fleece, target of 10 MiB/s",
        Backup::Fleece(Target::Slow, None),
    ),
    ("fleece, dead target", Backup::Fleece(Target::Dead, None)),
    ("fleece, fast target", Backup::Fleece(Target::Fast, None)),
    (
        "  --guest-latency 2",
        Backup::Fleece(Target::Fast, Some("2")),
    ),
    (
        "  --guest-latency 10000",
        Backup::Fleece(Target::Fast, Some("10000")),
    ),
];

/// What the guest tells, in the table's order.
const COLUMNS: [&str; 5] = ["p50_ms", "p99_ms", "p999_ms", "max_ms", "iops"];

/// One measurement: the columns, the backup's rate, and its trace.
struct Measured {
    columns: [f64; 5],
    rate: f64,
    trace: Vec<(f64, f64)>,
}

/// All cases take turns in one guest, and the table shows medians over the rounds. The disk is full of
/// noise and large enough that each backup outlasts its measurement; the guest writes 4 KiB at random
/// places, one write at a time, and starts when the backup has begun to read.
pub(crate) fn run(seconds: u64, rounds: usize, span: u64) {
    let qemu = fleece_lab::qemu("10.0").expect("the lab; prepare it with `cargo xtask lab`");
    let disk = Disk::raw(SIZE)
        .interface(Interface::VirtioBlk)
        .define(Definition::Drive);
    let guest = Guest::builder(&qemu).disk(disk).boot().expect("a guest");
    fill(guest.disk_path(0), SIZE);
    let mut measured: Vec<Vec<Measured>> = CASES.map(|_| Vec::new()).into_iter().collect();
    for _ in 0..rounds {
        for (measured, (_, backup)) in measured.iter_mut().zip(CASES) {
            measured.push(measure(&guest, backup, seconds, span));
        }
    }
    println!(
        "QEMU {}, 4 KiB writes one at a time at random in {span} MiB, {seconds} s each, median of {rounds}",
        qemu.version()
    );
    println!("| | p50 ms | p99 ms | p99.9 ms | max ms | IOPS | p99 / no backup | reads MiB/s |");
    println!("|---|---|---|---|---|---|---|---|");
    let alone = median(measured[0].iter().map(|measured| measured.columns[1]));
    for (measured, (name, backup)) in measured.iter().zip(CASES) {
        let column = |n: usize| median(measured.iter().map(|measured| measured.columns[n]));
        let rate = match backup {
            Backup::Fleece(..) => format!(
                "{:.0}",
                median(measured.iter().map(|measured| measured.rate))
            ),
            _ => "-".to_owned(),
        };
        println!(
            "| {name} | {:.2} | {:.2} | {:.2} | {:.1} | {:.0} | {:.2} | {rate} |",
            column(0),
            column(1),
            column(2),
            column(3),
            column(4),
            column(1) / alone,
        );
    }
    println!("reads in flight and MiB/s, each second of the last round:");
    for (measured, (name, _)) in measured.iter().zip(CASES) {
        let trace = measured.last().map_or(&[][..], |measured| &measured.trace);
        if !trace.is_empty() {
            let trace = trace
                .iter()
                .map(|(depth, rate)| format!("{depth:.2}: {rate:.0}"));
            println!("  {name}: {}", trace.collect::<Vec<_>>().join(", "));
        }
    }
}

fn measure(guest: &Guest, backup: Backup, seconds: u64, span: u64) -> Measured {
    let line = format!("writer latency {seconds} 4096 {} /dev/disk0", span << 20);
    let write = || {
        guest
            .run(&line, Duration::from_secs(seconds + 120))
            .expect("the guest's writer")
    };
    let (said, trace) = match backup {
        Backup::None => (write(), Vec::new()),
        Backup::Unfleeced => {
            let client = Client::connect_unix(guest.test_socket()).unwrap();
            begin_job(&client);
            let said = write();
            end_job(&client);
            (said, Vec::new())
        }
        Backup::Fleece(target, latency) => {
            // The backup looks at what the guest feels before it, so the guest writes by then.
            let before = guest
                .spawn(&line.replace(&format!(" {seconds} "), " 3 "))
                .unwrap();
            let (mut child, trace) = start(guest, target, latency);
            before.wait(Duration::from_secs(60)).unwrap();
            let said = write();
            assert!(
                child.try_wait().unwrap().is_none(),
                "the backup ended early; use fewer seconds"
            );
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            child.wait().unwrap();
            (said, trace.join().unwrap())
        }
    };
    let said: Value = serde_json::from_str(said.trim()).unwrap();
    let columns = COLUMNS.map(|name| said[name].as_f64().unwrap());
    let rate = trace.iter().map(|(_, rate)| rate).sum::<f64>() / trace.len().max(1) as f64;
    Measured {
        columns,
        rate,
        trace,
    }
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

/// Reads in flight and MiB per second, as the backup reports them.
type Trace = JoinHandle<Vec<(f64, f64)>>;

/// Starts a backup and returns when it has begun to read.
fn start(guest: &Guest, target: Target, latency: Option<&str>) -> (Child, Trace) {
    let fleece = std::env::current_exe().unwrap().with_file_name("fleece");
    assert!(
        fleece.exists(),
        "build it first: cargo build --release -p fleece-bins"
    );
    let mut command = Command::new(fleece);
    command.args(["backup", "--json", "--vmid", "7", "--qmp"]);
    command.arg(guest.qmp_socket());
    command.arg("--state-dir").arg(guest.folder().join("state"));
    if let Some(latency) = latency {
        command.args(["--guest-latency", latency]);
    }
    command.arg("--to");
    match target {
        Target::Fast => command.arg(guest.folder()),
        Target::Slow | Target::Dead => command.arg("-"),
    };
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let progress: Box<dyn Read + Send> = if target == Target::Fast {
        child.stderr.take();
        Box::new(stdout)
    } else {
        std::thread::spawn(move || swallow(stdout, target));
        Box::new(child.stderr.take().unwrap())
    };
    let mut lines = BufReader::new(progress).lines();
    let begun = lines.any(|line| line.unwrap().contains("\"done\":"));
    assert!(begun, "the backup ended: {:?}", child.wait());
    let trace = std::thread::spawn(move || {
        lines
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .filter(|event| event.get("done").is_some())
            .filter_map(|event| {
                Some((
                    event["depth"].as_f64()?,
                    event["rate"].as_f64()? / 1_048_576.0,
                ))
            })
            .collect()
    });
    (child, trace)
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
