//! Every line that is printed with `--json`, against `docs/JSON.md`: no field that is not described, none that is missing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by a panic"
)]
#![allow(
    dead_code,
    reason = "a field that is read into is a field that is checked"
)]

#[path = "support/vma.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use support::{archive, cut, disk, fifo, path, run, signal, vma};
use tempfile::TempDir;

/// Shapes of objects, to the field.
macro_rules! shapes {
    ($($name:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        $(#[derive(Deserialize)] #[serde(deny_unknown_fields)] struct $name { $($field: $type),* })*
    };
}

shapes! {
    Message { message: String }
    Configured { files: Vec<String>, settings: u64 }
    Shown { option: String, values: Vec<String>, origin: String }
    Error { kind: String, message: String }
    Damage {
        kind: String, message: String, offset: Option<u64>, length: Option<u64>, device: Option<String>,
        first_cluster: Option<u64>, clusters: Option<u64>,
    }
    Done { done: u64, total: u64 }
    Serving { device: String, uri: String }
    Progress {
        done: u64, total: u64, read: u64, zero: u64, written: u64, elapsed: f64, rate: f64, write_rate: f64,
        eta: Option<f64>, depth: f64, fleecing: Option<u64>, fleecing_limit: Option<u64>,
        latency_p50: Option<f64>, latency_p99: Option<f64>,
    }
    ConfigSize { name: String, size: u64 }
    Device { id: u8, name: String, size: u64, vmstate: bool }
    List { uuid: String, ctime: i64, container: String, configs: Vec<ConfigSize>, devices: Vec<Device> }
    StoredDevice { id: u8, name: String, size: u64, vmstate: bool, stored: u64 }
    Info {
        uuid: String, ctime: i64, container: String, configs: Vec<ConfigSize>, devices: Vec<StoredDevice>,
        file_size: Option<u64>, archive_size: u64, extents: u64, in_order: bool, random_access: bool,
        index: Option<String>, encrypted_for: Option<String>,
    }
    Config { name: String, size: u64, text: String, exact: bool }
    WrittenDevice { name: String, size: u64, zero: Option<u64> }
    Written { archive: String, devices: Vec<WrittenDevice> }
    ExtractedDevice { name: String, size: u64, path: Option<String> }
    Extracted {
        directory: String, configs: Vec<String>, devices: Vec<ExtractedDevice>, bytes: u64, sparse_bytes: u64,
        written: Option<u64>,
    }
    Streamed { devices: Vec<ExtractedDevice> }
    Verified { sound: bool, damages: u64, payload_checked: bool, extents: u64, bytes: u64, sparse_bytes: u64 }
    RecoveredDevice { name: String, size: Option<u64>, lost: Option<u64>, map: Option<String> }
    Recovered { directory: String, damages: u64, payload_checked: bool, devices: Vec<RecoveredDevice> }
    Index { index: String }
    Compared { name: String, sizes: [u64; 2], clusters: u64, different: u64, ranges: Vec<[u64; 2]> }
    Missing { name: String, only_in: String }
    Diff { same: bool, devices: Vec<ComparedOrMissing> }
    Backup {
        guest: String, archive: String, size: u64, disks: u64, zero: u64, seconds: f64, switch_ms: Option<f64>,
        paused_ms: Option<f64>, frozen_ms: Option<f64>, down_ms: Option<f64>, fleecing_peak: Option<u64>, shared: Option<u64>, new: u64,
        read_of_guest: Option<u64>, read_of_archive: Option<u64>, disks_by_bitmap: Option<u64>, warnings: u64,
    }
    RanGuest {
        guest: String, exit_code: u64, kind: Option<String>, message: Option<String>, attempts: u64, seconds: f64,
        archive: Option<String>, size: Option<u64>,
    }
    Due { what: String, guest: Option<String>, target: String, exit_code: u64, message: Option<String> }
    Run { job: Option<String>, dry_run: bool, exit_code: u64, guests: Vec<RanGuest>, afterwards: Vec<Due> }
    Seen {
        guest: String, job: Option<String>, archive: Option<String>, pid: u32, running: bool, began: Option<String>,
        stands_still: u64, message: String, done: u64, total: u64, rate: f64, eta: Option<f64>, fleecing: Option<u64>,
    }
    Examined { check: String, result: String, message: String }
    EndedDomain { domain: String, exit_code: u64 }
    BackupOfAll { domains: Vec<EndedDomain> }
    PlannedDevice { name: String, size: u64 }
    Planned { dry_run: bool, guest: String, archive: Option<String>, devices: Vec<PlannedDevice>, warnings: u64 }
    RestoredToFolder {
        directory: String, disks: BTreeMap<String, String>, bytes: u64, zero: u64, written: Option<u64>, seconds: f64,
        warnings: u64, dry_run: bool,
    }
    RestoredLive {
        directory: String, disks: BTreeMap<String, String>, bytes: u64, zero: u64, written: Option<u64>, seconds: f64,
        warnings: u64, dry_run: bool, started: Option<f64>,
    }
    FileSystemChecked { place: String, r#type: String, sound: Option<bool>, message: String }
    Drilled {
        file: String, guest: Option<String>, boots: bool, message: String, seconds: f64, screenshot: Option<String>,
        checks: Vec<FileSystemChecked>,
    }
    RestoredToStorage {
        vmid: Option<u32>, config: String, disks: BTreeMap<String, String>, bytes: u64, zero: u64, written: Option<u64>,
        seconds: f64, warnings: u64, dry_run: bool,
    }
    Listed {
        file: String, path: String, guest: Option<String>, vmid: Option<u32>, time: String, local_time: String, size: u64,
        own: Option<u64>,
        notes: Option<String>, protected: bool, indexed: bool, verified: String, verified_at: Option<String>, boots: String,
        drilled_at: Option<String>,
    }
    Pruned {
        file: String, guest: Option<String>, vmid: Option<u32>, verdict: String, fault: Option<String>,
        removed: bool, error: Option<String>,
    }
    Checked { file: String, damages: u64, payload_checked: bool }
    Night { state: String, runs: Vec<String> }
    ReportedBackup {
        began: String, file: Option<String>, state: String, why: String, size: Option<u64>, own: Option<u64>,
        notes: Option<String>, protected: bool, verified_at: Option<String>, verdict: Option<String>,
        until: Option<String>, slowest_us: Option<u64>,
    }
    ReportedGuest {
        guest: String, name: Option<String>, state: String, why: String, newest: Option<String>,
        newest_age: Option<i64>, newest_verified: Option<String>, every_nights: Option<u16>, nights: Vec<Option<Night>>,
        size: u64, growth_percent: Option<i64>, backups: Vec<ReportedBackup>,
    }
    ReportedAll {
        place: String, made: String, nights: Vec<String>, guests: u64, attention: u64, backups: u64, size: u64,
        used: Option<u64>, saved: Option<u64>,
    }
    PassedOver { file: String, verified: String, verified_at: Option<String>, passed_over: bool }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Reported {
    Guest(ReportedGuest),
    All(ReportedAll),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ComparedOrMissing {
    Compared(Compared),
    Missing(Missing),
}

/// What a run prints: of its guests, and at the end of all.
#[derive(Deserialize)]
#[serde(untagged)]
enum OfRun {
    Run(Run),
    Backup(Backup),
    Checked(Checked),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Status {
    Message(Message),
    Done(Done),
    Serving(Serving),
    Progress(Progress),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Failed {
    Error(Error),
    Damage(Damage),
}

/// A storage of `fleece storage list`, where a field is called `type`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Storage {
    #[serde(rename_all = "kebab-case")]
    Works {
        id: String,
        r#type: String,
        total: u64,
        used: u64,
        available: u64,
    },
    Fails {
        id: String,
        r#type: String,
        error: String,
    },
}

/// Kinds that were met, which the documentation must list.
fn documented() -> BTreeSet<String> {
    let text = include_str!("../../docs/JSON.md");
    let (_, kinds) = text.split_once("## Kinds of errors").unwrap();
    let rows = kinds.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.map(str::to_owned).collect()
}

/// Parses every line; gives the summaries and the errors' kinds.
fn lines<S: DeserializeOwned>(text: &str) -> (Vec<S>, Vec<String>) {
    let (mut summaries, mut kinds) = (Vec::new(), Vec::new());
    let read = |value: &Value, error: serde_json::Error| format!("{value}: {error}");
    for line in text.lines() {
        let mut value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let event = value.as_object_mut().unwrap().remove("event");
        let fields = value.clone();
        match event.as_ref().and_then(Value::as_str) {
            Some("status") => drop(
                serde_json::from_value::<Status>(fields)
                    .map_err(|e| read(&value, e))
                    .unwrap(),
            ),
            Some("warning") => drop(
                serde_json::from_value::<Message>(fields)
                    .map_err(|e| read(&value, e))
                    .unwrap(),
            ),
            Some("error") => {
                let failed = serde_json::from_value::<Failed>(fields);
                let kind = match failed.map_err(|e| read(&value, e)).unwrap() {
                    Failed::Error(error) => error.kind,
                    Failed::Damage(damage) => damage.kind,
                };
                assert!(documented().contains(&kind), "{line}");
                kinds.push(kind);
            }
            Some("summary") => {
                summaries.push(
                    serde_json::from_value(fields)
                        .map_err(|e| read(&value, e))
                        .unwrap(),
                );
            }
            _ => panic!("no event of ours: {line}"),
        }
    }
    (summaries, kinds)
}

fn of<S: DeserializeOwned>(output: &Output, code: i32) -> (Vec<S>, Vec<String>) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    // What differs or is damaged is found, and what cannot be done is an error.
    let ends: &[&str] = match code {
        0 | 3 => &["summary"],
        1 | 4 => &["summary", "error"],
        _ => &["error"],
    };
    assert!(ends.iter().any(|end| last["event"] == *end), "{text}");
    lines(text)
}

/// One summary of a run of `vma` that ends so.
fn vma_json<S: DeserializeOwned>(args: &[&str], code: i32) -> S {
    let (mut summaries, _) = of(&run(&[args, &["--json"]].concat()), code);
    assert_eq!(summaries.len(), 1, "{args:?}");
    summaries.remove(0)
}

/// The kind of the error that a run of `vma` ends with.
fn vma_fails(args: &[&str], code: i32) -> String {
    let (summaries, mut kinds) = of::<Value>(&run(&[args, &["--json"]].concat()), code);
    assert!(summaries.is_empty(), "{args:?}");
    assert_eq!(kinds.len(), 1, "{args:?}");
    kinds.remove(0)
}

#[test]
fn every_command_of_vma_prints_what_is_documented() {
    let dir = TempDir::new().unwrap();
    let multi = archive("multi.vma");
    let list: List = vma_json(&["list", &multi], 0);
    assert_eq!((list.devices.len(), list.container.as_str()), (5, "none"));
    let info: Info = vma_json(&["info", &multi], 0);
    assert!(info.random_access && info.devices.iter().any(|device| device.stored > 0));
    let config: Config = vma_json(&["config", &multi, "-c", "qemu-server.fw"], 0);
    assert_eq!(config.text, "[OPTIONS]\nenable: 1\n");
    assert!(config.exact);
    let out = path(&dir, "out");
    let extracted: Extracted = vma_json(&["extract", "-v", &multi, &out], 0);
    for device in &extracted.devices {
        let file = device.path.as_ref().unwrap();
        assert!(
            fs::metadata(dir.path().join("out").join(file)).is_ok(),
            "{file}"
        );
    }
    let verified: Verified = vma_json(&["verify", &multi], 0);
    assert!(verified.sound && !verified.payload_checked);
    let zst = path(&dir, "multi.vma.zst");
    let reframed: Written = vma_json(&["reframe", &multi, &zst], 0);
    assert_eq!(reframed.archive, zst);
    let one = path(&dir, "one.vma");
    let written: Written = vma_json(
        &["create", &one, "-d", &support::drive(&dir, &disk(1 << 20))],
        0,
    );
    assert!(written.devices[0].zero.unwrap() > 0);
    vma_json::<Written>(&["optimize", &one, &path(&dir, "optimized.vma")], 0);
    fs::remove_file(format!("{one}.idx")).unwrap();
    vma_json::<Index>(&["index", &one], 0);
    let same: Diff = vma_json(&["diff", &one, &path(&dir, "optimized.vma")], 0);
    assert!(same.same);
    let other: Diff = vma_json(&["diff", &one, &multi], 1);
    assert!(!other.same && other.devices.len() == 6);

    let cut = cut(&dir, &one, 5000);
    let (summaries, kinds) = of::<Verified>(&run(&["verify", "--json", &cut]), 4);
    assert!(
        !summaries[0].sound && kinds.contains(&"truncated".to_owned()),
        "{kinds:?}"
    );
    let recover = ["recover", "--json", &cut, &path(&dir, "recovered")];
    let (summaries, kinds) = of::<Recovered>(&run(&recover), 4);
    assert!(summaries[0].devices[0].lost.unwrap() > 0 && !kinds.is_empty());
}

#[test]
fn where_standard_output_is_data_events_are_on_standard_error() {
    let dir = TempDir::new().unwrap();
    let single = archive("single.vma");
    let drive = support::drive(&dir, &disk(1 << 20));
    let to_stdout = |args: &[&str]| {
        let output = run(args);
        assert!(
            output.status.success() && !output.stdout.is_empty(),
            "{output:?}"
        );
        String::from_utf8(output.stderr).unwrap()
    };
    let said = to_stdout(&["extract", "--json", &single, "-", "-d", "drive-scsi0"]);
    assert_eq!(lines::<Streamed>(&said).0.len(), 1);
    for args in [
        &["create", "--json", "-", "-d", &drive][..],
        &["reframe", "--json", &single, "-"],
        &["optimize", "--json", &single, "-"],
    ] {
        assert_eq!(lines::<Written>(&to_stdout(args)).0.len(), 1, "{args:?}");
    }
    let said = to_stdout(&["index", "--json", &single, "-o", "-"]);
    assert_eq!(lines::<Index>(&said).0.len(), 1);
}

#[test]
fn what_is_served_is_told_as_it_begins() {
    let dir = TempDir::new().unwrap();
    let mut child = vma()
        .args([
            "serve",
            "--json",
            &archive("single.vma"),
            &path(&dir, "socket"),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next();
    let line: Value = serde_json::from_str(&line.unwrap().unwrap()).unwrap();
    assert_eq!(
        (&line["event"], &line["device"]),
        (&"status".into(), &"drive-scsi0".into())
    );
    signal(child.id(), "-TERM");
    assert!(child.wait().unwrap().success());
    lines::<Value>(&line.to_string());
}

#[test]
fn every_failure_has_a_kind_that_is_documented() {
    let dir = TempDir::new().unwrap();
    let (single, multi) = (archive("single.vma"), archive("multi.vma"));
    let out = path(&dir, "out");
    let text = path(&dir, "text");
    fs::write(&text, "hello world").unwrap();
    let encrypted = path(&dir, "encrypted");
    let aes = "encrypt.format=aes,encrypt.key-secret=s";
    let made = Command::new("qemu-img")
        .args([
            "create",
            "-q",
            "--object",
            "secret,id=s,data=abc",
            "-f",
            "qcow2",
            "-o",
            aes,
            &encrypted,
            "1M",
        ])
        .status();
    assert!(made.unwrap().success());
    let encrypted = format!("format=qcow2:{encrypted}");
    for (args, code, kind) in [
        (&["list", &text][..], 1, "foreign"),
        (&["list", "/nonexistent"], 1, "archive"),
        (&["config", &single, "-c", "x"], 1, "request"),
        (&["extract", &single, &out, "-d", "x"], 1, "request"),
        (&["extract", &multi, "-"], 2, "usage"),
        (&["verify", "--deep", &single], 1, "request"),
        (
            &["create", &path(&dir, "new.vma"), "-d", &encrypted],
            1,
            "unsupported",
        ),
        (
            &["diff", &single, &archive("single.vma.lzo")],
            1,
            "not-seekable",
        ),
    ] {
        if args[0] == "extract" && args[2] == "-" {
            let said = run(&[args, &["--json"]].concat());
            let said = String::from_utf8(said.stderr).unwrap();
            assert_eq!(lines::<Value>(&said).1, [kind], "{args:?}");
            continue;
        }
        assert_eq!(vma_fails(args, code), kind, "{args:?}");
    }
    let cut = cut(&dir, &single, 5000);
    assert_eq!(vma_fails(&["extract", &cut, &out], 4), "truncated");

    // It waits for an archive that never comes.
    let fifo = fifo(&dir);
    let mut child = vma();
    let mut child = child
        .args(["list", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let _writer = child.stdin.take();
    signal_when_ready(child.id());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(143), "{fifo}");
    assert_eq!(
        lines::<Value>(std::str::from_utf8(&ended.stdout).unwrap()).1,
        ["cancelled"]
    );
}

/// SIGTERM, as soon as the program listens for it.
fn signal_when_ready(process: u32) {
    let listens = || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        u64::from_str_radix(caught.unwrap().trim(), 16).unwrap() & (1 << 14) != 0
    };
    while !listens() {
        std::thread::yield_now();
    }
    signal(process, "-TERM");
}

#[test]
fn every_command_of_fleece_prints_what_is_documented() {
    let dir = TempDir::new().unwrap();
    let fleece = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        let command = command.current_dir(dir.path()).args(args).arg("--json");
        command.env("FLEECE_CONFIG", "fleece.toml");
        command
            .args([
                "--state-dir",
                "state",
                "--config-dir",
                "configs",
                "--storage-config",
                "storage.cfg",
            ])
            .output()
            .unwrap()
    };
    let config =
        "dir: works\n\tpath /tmp\n\tcontent images,backup\n\ndir: fails\n\tpath /nonexistent\n";
    fs::write(dir.path().join("storage.cfg"), config).unwrap();
    fs::write(dir.path().join("fleece.toml"), "[backup]\nalign = true\n").unwrap();
    let (configured, _) = of::<Configured>(&fleece(&["config", "check"]), 0);
    assert_eq!(
        (&configured[0].files[..], configured[0].settings),
        (&["fleece.toml".to_owned()][..], 1)
    );
    let (shown, _) = of::<Shown>(&fleece(&["config", "show"]), 0);
    assert_eq!((&*shown[0].option, &*shown[0].values[0]), ("align", "true"));
    assert_eq!(shown[0].origin, "fleece.toml:2");
    fs::create_dir(dir.path().join("dump")).unwrap();
    fs::write(dir.path().join("disk.raw"), disk(1 << 20)).unwrap();
    let backup = [
        "backup", "--image", "disk.raw", "--to", "dump", "--vmid", "100",
    ];
    of::<Planned>(&fleece(&[&backup[..], &["--dry-run"]].concat()), 0);
    let (backups, _) = of::<Backup>(&fleece(&backup), 0);
    let archive = &backups[0].archive;
    let (listed, _) = of::<Listed>(&fleece(&["list", "dump"]), 0);
    assert_eq!((listed.len(), listed[0].vmid), (1, Some(100)));
    of::<Listed>(&fleece(&["note", archive]), 0);
    of::<Checked>(&fleece(&["verify", "dump"]), 0);
    let (passed_over, _) = of::<PassedOver>(&fleece(&["verify", "dump"]), 0);
    assert!(passed_over[0].passed_over);
    let report = ["report", "dump", "--keep", "keep-last=1"];
    let (reported, _) = of::<Reported>(&fleece(&report), 0);
    let [Reported::Guest(guest), Reported::All(all)] = &reported[..] else {
        panic!("a guest, and all of them");
    };
    assert_eq!(
        (&*guest.state, guest.backups.len(), all.backups),
        ("sound", 1, 1)
    );
    of::<Pruned>(&fleece(&["prune", "dump", "--keep", "keep-last=1"]), 0);
    let restored = fleece(&["restore", archive, "--to", "out"]);
    assert!(
        matches!(restored.status.code(), Some(0 | 3)),
        "{restored:?}"
    );
    let text = std::str::from_utf8(&restored.stdout).unwrap();
    assert_eq!(lines::<RestoredToFolder>(text).0.len(), 1);
    let (storages, _) =
        lines::<Storage>(std::str::from_utf8(&fleece(&["storage", "list"]).stdout).unwrap());
    assert!(matches!(
        storages.as_slice(),
        [Storage::Works { .. }, Storage::Fails { .. }]
    ));
    let (_, kinds) = of::<Value>(&fleece(&["list", "nonexistent"]), 6);
    assert_eq!(kinds, ["target"]);
    let (_, kinds) = of::<Value>(&fleece(&["prune", "dump"]), 1);
    assert_eq!(kinds, ["request"]);
    let (_, kinds) = of::<Value>(&fleece(&["cleanup", "7"]), 1);
    assert_eq!(kinds, ["request"]);
}

#[test]
fn what_starts_a_guest_prints_what_is_documented() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    // A processor that stands still ends no test too late.
    let script = format!(
        "#!/bin/sh\necho $$ > {}\nexec {} \"$@\" -machine accel=tcg -display none -S\n",
        path(&dir, "pid"),
        qemu.programs().join("qemu-system-x86_64").display(),
    );
    let wrapper = bin.join("qemu-system-x86_64");
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let paths = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let fleece = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command
            .current_dir(dir.path())
            .env("PATH", &paths)
            .args(args);
        command.args(["--json", "--state-dir", "state"]);
        command.output().unwrap()
    };
    fs::write(
        dir.path().join("qemu-server.conf"),
        "name: web\nmemory: 16\n",
    )
    .unwrap();
    let archive = path(&dir, "vzdump-qemu-web-2026_11_30-02_00_04.vma");
    let drive = support::drive(&dir, &disk(1 << 20));
    let config = path(&dir, "qemu-server.conf");
    let create = ["create", &archive, "-c", &config, "-d", &drive];
    vma_json::<Written>(&create, 0);

    let drill = [
        "drill",
        &archive,
        "--wait",
        "event=NEVER",
        "--timeout",
        "1",
        "--fsck",
    ];
    let (drilled, kinds) = of::<Drilled>(&fleece(&drill), 4);
    assert_eq!((drilled.len(), drilled[0].boots), (1, false));
    assert_eq!(drilled[0].guest.as_deref(), Some("web"));
    assert_eq!(kinds, ["archive-damaged"]);
    let live = ["restore", &archive, "--live", "--to", "guest"];
    let output = fleece(&live);
    let started = fs::read_to_string(path(&dir, "pid")).unwrap();
    signal(started.trim().parse().unwrap(), "-KILL");
    let (restored, _) = of::<RestoredLive>(&output, 0);
    assert!(restored[0].started.unwrap() > 0.0);
    assert_eq!(restored[0].disks.len(), 1);
}

#[test]
fn a_run_prints_what_its_backups_print_with_the_guest_of_each() {
    let dir = TempDir::new().unwrap();
    let config = "state-dir = 'state'\n[backup]\nto = 'to'\n[run]\nverify-after = 0\nno-retry = true\n\
                  [guest.web]\nimage = ['disk.raw']\n[guest.lost]\nimage = ['lost.raw']\n";
    fs::write(dir.path().join("fleece.toml"), config).unwrap();
    fs::write(dir.path().join("disk.raw"), disk(1 << 20)).unwrap();
    fs::create_dir(dir.path().join("to")).unwrap();
    let fleece = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command.current_dir(dir.path()).args(args).arg("--json");
        command
            .env("FLEECE_CONFIG", "fleece.toml")
            .output()
            .unwrap()
    };
    let output = fleece(&["run", "--all"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut guests = BTreeSet::new();
    let without_guests = text.lines().map(|line| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        if value["event"] != "summary" {
            let guest = value.as_object_mut().unwrap().remove("guest").unwrap();
            guests.extend(guest.as_str().map(str::to_owned));
        } else if value.get("payload_checked").is_some() {
            assert_eq!(
                value.as_object_mut().unwrap().remove("guest").unwrap(),
                "web"
            );
        }
        format!("{value}\n")
    });
    let (summaries, kinds) = lines::<OfRun>(&without_guests.collect::<String>());
    assert_eq!(
        guests,
        BTreeSet::from(["lost".to_owned(), "web".to_owned()])
    );
    assert_eq!(kinds.len(), 1, "{text}");
    let [OfRun::Backup(_), OfRun::Checked(_), OfRun::Run(run)] = &summaries[..] else {
        panic!("{text}");
    };
    assert_eq!((run.guests.len(), run.afterwards.len()), (2, 1));
    assert_eq!(output.status.code(), i32::try_from(run.exit_code).ok());

    let none = fleece(&["status"]);
    assert!(
        lines::<Seen>(std::str::from_utf8(&none.stdout).unwrap())
            .0
            .is_empty()
    );
    let examined = fleece(&["doctor", "web"]);
    let (examined, _) = lines::<Examined>(std::str::from_utf8(&examined.stdout).unwrap());
    assert!(
        examined
            .iter()
            .any(|one| one.check == "backup" && one.result == "ok")
    );
}

#[test]
fn the_list_of_kinds_is_that_of_the_code() {
    let mut kinds = BTreeSet::from(["usage".to_owned()]);
    for source in [
        include_str!("../../vma-format/src/error.rs"),
        include_str!("../../backup-core/src/report/error.rs"),
        include_str!("../../storage/src/block/error.rs"),
    ] {
        // A match without a rest, so that each kind has an arm.
        let (_, arms) = source.split_once("fn word(self)").unwrap();
        let (arms, _) = arms.split_once("\n    }\n").unwrap();
        let words = arms.lines().filter_map(|line| line.split_once("=> \""));
        let words: Vec<_> = words
            .map(|(_, word)| word.trim_end_matches("\",").to_owned())
            .collect();
        assert!(words.len() >= 10, "{words:?}");
        kinds.extend(words);
    }
    assert_eq!(kinds, documented());
}
