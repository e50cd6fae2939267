//! How many system calls each command makes for a MiB of disk, on four kinds of disks:
//!
//!     cargo build --release -p fleece-bins
//!     cargo run --release -p fleece-benches --bin syscalls -- [DIR]
//!
//! Needs strace and nbdcopy.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "a measurement that fails says so and ends"
)]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_benches::fleece;

const MIB: u64 = 1 << 20;

/// Disks of a guest.
struct Guest {
    name: &'static str,
    disks: Vec<PathBuf>,
    mib: u64,
}

const COMMANDS: [&str; 7] = [
    "vma create",
    "vma extract",
    "vma verify",
    "vma verify --deep",
    "vma serve",
    "fleece backup --image",
    "fleece restore --to",
];

fn main() {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let temporary = match &given {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let dir = temporary.path();
    println!("| disks | {} | most in all |", COMMANDS.join(" | "));
    println!("|---|{}---|", "---|".repeat(COMMANDS.len()));
    for guest in guests(dir) {
        let counted: Vec<Calls> = COMMANDS.map(|command| count(dir, &guest, command)).into();
        let cells = counted
            .iter()
            .map(|calls| format!("{:.1}", calls.sum() as f64 / guest.mib as f64));
        let mut all = Calls::default();
        for (name, count) in counted.iter().flat_map(|calls| &calls.0) {
            all.add(name, *count);
        }
        let cells: Vec<_> = cells.collect();
        println!(
            "| {} | {} | {} |",
            guest.name,
            cells.join(" | "),
            all.most()
        );
    }
}

/// Files whose contents are the same in each run.
fn guests(dir: &Path) -> [Guest; 4] {
    let disk = |name: &str, mib: u64| {
        let path = dir.join(name);
        let file = File::create(&path).unwrap();
        file.set_len(mib * MIB).unwrap();
        (path, file)
    };
    let mut state = 88_172_645_463_325_252_u64;
    let mut noise = |bytes: u64| -> Vec<u8> {
        let words = (0..bytes / 8).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        words.collect()
    };
    let (empty, _) = disk("empty", 4096);
    let (full, mut file) = disk("full", 256);
    (0..256).for_each(|_| file.write_all(&noise(MIB)).unwrap());
    let (scattered, file) = disk("scattered", 1024);
    for place in 0..4096 {
        let block = place * 64 + place * 7 % 64;
        file.write_all_at(&noise(4096), block * 4096).unwrap();
    }
    let small = (0..30).map(|number| {
        let (path, mut file) = disk(&format!("small{number}"), 4);
        file.write_all(&noise(MIB)).unwrap();
        path
    });
    let small = small.collect();
    let guest = |name, disks, mib| Guest { name, disks, mib };
    [
        guest("4 GiB, empty", vec![empty], 4096),
        guest("256 MiB, full", vec![full], 256),
        guest("1 GiB, 4 KiB in each 256 KiB", vec![scattered], 1024),
        guest("30 of 4 MiB, a quarter full", small, 120),
    ]
}

/// The system calls of one command.
fn count(dir: &Path, guest: &Guest, command: &str) -> Calls {
    let (archive, out) = (dir.join("archive.vma"), dir.join("out"));
    let vma = fleece().with_file_name("vma");
    let is_new = matches!(command, "vma create" | "fleece backup --image");
    if is_new {
        let _ = fs::remove_file(&archive);
        let _ = fs::remove_file(dir.join("archive.vma.idx"));
    }
    let log = dir.join("calls");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-c", "-o"]).arg(&log);
    strace.stdout(Stdio::null()).stderr(Stdio::null());
    let words: Vec<&str> = command.split(' ').collect();
    strace.arg(if words[0] == "vma" { vma } else { fleece() });
    strace.arg(words[1]);
    match words[1] {
        "create" => {
            strace.arg("--no-sync").arg(&archive);
            for (number, disk) in guest.disks.iter().enumerate() {
                strace.arg("-d");
                strace.arg(format!("format=raw:d{number}={}", disk.display()));
            }
        }
        "extract" => {
            strace.arg("--no-sync").args([&archive, &out]);
        }
        "verify" => {
            strace.args(&words[2..]).arg(&archive);
        }
        "serve" => {
            strace.args([&archive, &dir.join("socket")]);
            serve(strace, dir, guest);
            return Calls::read(&log);
        }
        "backup" => {
            for disk in &guest.disks {
                strace.arg("--image").arg(disk);
            }
            strace.args(["--vmid=1", "--compress=none", "--to"]);
            strace
                .arg(&archive)
                .arg("--state-dir")
                .arg(dir.join("state"));
        }
        _ => {
            strace.arg(&archive).arg("--to").arg(&out);
        }
    }
    let status = strace.status().unwrap();
    // 3: done with warnings; there is no configuration in the archives.
    assert!(matches!(status.code(), Some(0 | 3)), "{strace:?}: {status}");
    if out.exists() {
        fs::remove_dir_all(&out).unwrap();
    }
    Calls::read(&log)
}

/// Reads all that is served.
fn serve(mut strace: Command, dir: &Path, guest: &Guest) {
    let mut child = strace.spawn().unwrap();
    let socket = dir.join("socket");
    wait_for(&socket, &mut child);
    for number in 0..guest.disks.len() {
        let uri = format!("nbd+unix:///d{number}?socket={}", socket.display());
        let status = Command::new("nbdcopy").args([&uri, "null:"]).status();
        assert!(status.unwrap().success(), "nbdcopy {uri}");
    }
    // strace passes no signals on to what it traces.
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let children = fs::read_to_string(children).unwrap();
    let status = Command::new("kill")
        .args(children.split_whitespace())
        .status();
    assert!(status.unwrap().success());
    child.wait().unwrap();
}

fn wait_for(socket: &Path, child: &mut Child) {
    let start = Instant::now();
    while !socket.exists() {
        assert!(child.try_wait().unwrap().is_none(), "vma serve has ended");
        assert!(start.elapsed() < Duration::from_secs(60), "no {socket:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Names and counts.
#[derive(Default)]
struct Calls(Vec<(String, u64)>);

impl Calls {
    /// Of the table that strace writes.
    fn read(log: &Path) -> Self {
        let mut calls = Self::default();
        for line in fs::read_to_string(log).unwrap().lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(count), Some(name)) = (fields.get(3), fields.last()) else {
                continue;
            };
            if let (Ok(count), true) = (count.parse(), *name != "total") {
                calls.add(name, count);
            }
        }
        calls
    }

    fn add(&mut self, name: &str, count: u64) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += count,
            None => self.0.push((name.to_owned(), count)),
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The three that there are most of.
    fn most(&self) -> String {
        let mut calls: Vec<_> = self.0.iter().collect();
        calls.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let names = calls.iter().take(3).map(|(name, _)| format!("`{name}`"));
        names.collect::<Vec<_>>().join(", ")
    }
}
