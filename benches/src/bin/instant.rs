//! Seconds from an archive to a guest's prompt: `fleece restore --live`, which starts the guest on its archive, against a
//! whole restore that starts it then.
//!
//! ```text
//! cargo build --release -p fleece-bins && cargo xtask lab
//! cargo run --release -p fleece-benches --bin instant [MiB] [rounds]
//! ```
//!
//! The disk holds an ext4 file system, two thirds full of noise and text. The guest, whose kernel QEMU is given, mounts it,
//! reads 64 MiB of it, writes to it, and prompts for a login on its serial port. All of it stays in the page cache.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that fails says so and ends"
)]

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_benches::{fleece, make_disk, median};
use fleece_lab::Linux;

/// What the guest does from its start to its prompt.
const BOOT: &str = r"
mount -t ext4 /dev/vda /mnt || echo 'no file system'
cat /mnt/system/* >/dev/null
date >/mnt/booted
sync
echo 'lab login: ' >/dev/ttyS0
while :; do sleep 60; done
";

const PROMPT: &str = "lab login: ";

/// With one processor, TCG now and then loses an interrupt of a virtio device.
const CONFIG: &str = "memory: 256\ncores: 2\nvirtio0: l:vm-1-disk-0\n";

/// What the guest reads, in files of 1 MiB.
const READ: usize = 64;

/// On a busy host one boot in some fifty hangs under TCG: it is begun again.
const HANGS: Duration = Duration::from_secs(120);

const LOOK: Duration = Duration::from_millis(5);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mib: u64 = arguments
        .next()
        .map_or(3072, |text| text.parse().expect("a size in MiB"));
    let rounds: usize = arguments
        .next()
        .map_or(5, |text| text.parse().expect("a number"));
    let host = Host::new(mib);
    println!(
        "{mib} MiB, medians of {rounds} alternating rounds.\n\n\
         | from | `--live`, s to the prompt | whole restore, s to the prompt | ratio | `--live`, s until complete |\n\
         |---|---|---|---|---|"
    );
    for (kind, archive) in host.archives() {
        let (mut live, mut whole, mut complete) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let begun = host.restore(&archive, "--live");
            live.push(begun.prompt);
            complete.push(begun.end);
            whole.push(host.restore(&archive, "--start").prompt);
        }
        let [live, whole, complete] =
            [live, whole, complete].map(|times| median(&times).as_secs_f64());
        println!(
            "| {kind} | {live:.1} | {whole:.1} | {:.2} | {complete:.1} |",
            live / whole
        );
    }
}

/// What a restore took.
struct Took {
    prompt: Duration,
    end: Duration,
}

struct Host {
    dir: tempfile::TempDir,
    /// Where QEMU is the one that starts the guest's kernel.
    path: OsString,
}

impl Host {
    fn new(mib: u64) -> Self {
        let qemu = fleece_lab::qemu("10.0").expect("the lab; prepare it with `cargo xtask lab`");
        // The lab's folder is on a disk, where the system's temporary one may be memory.
        let dir = tempfile::tempdir_in(fleece_lab::root()).unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let [console, pid] = ["console", "pid"].map(|name| dir.path().join(name));
        let linux = Linux::new(BOOT).arguments(&format!(
            "-serial 'file:{}' -pidfile '{}'",
            console.display(),
            pid.display()
        ));
        linux.install(&qemu, &bin).unwrap();
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = [bin].into_iter().chain(std::env::split_paths(&others));
        let path = std::env::join_paths(path).unwrap();
        let host = Self { dir, path };
        host.make_disk(mib);
        host
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file system of that size, and as much in it as fits well.
    fn make_disk(&self, mib: u64) {
        let tree = self.file("tree");
        fs::create_dir_all(tree.join("system")).unwrap();
        let data = tree.join("data");
        make_disk(&data, mib.saturating_sub(mib / 8)).unwrap();
        let content = fs::read(&data).unwrap();
        // What is no hole.
        let pieces = content
            .chunks(1 << 20)
            .filter(|piece| piece.iter().any(|byte| *byte != 0));
        for (number, piece) in pieces.take(READ).enumerate() {
            fs::write(tree.join("system").join(number.to_string()), piece).unwrap();
        }
        drop(content);
        let disk = self.file("disk");
        File::create(&disk).unwrap().set_len(mib << 20).unwrap();
        run(Command::new("mkfs.ext4")
            .args(["-q", "-d"])
            .arg(&tree)
            .arg(&disk));
        fs::remove_dir_all(&tree).unwrap();
    }

    /// Archives as `fleece` makes them, and as Proxmox does, which can only be read from front to back.
    fn archives(&self) -> [(&'static str, PathBuf); 2] {
        let config = self.file("qemu-server.conf");
        fs::write(&config, CONFIG).unwrap();
        let drive = format!("drive-virtio0={}", self.file("disk").display());
        let vma = fleece().with_file_name("vma");
        let [ours, plain, theirs] =
            ["ours.vma.zst", "plain.vma", "theirs.vma.zst"].map(|name| self.file(name));
        for (compress, archive) in [("--compress=zstd", &ours), ("--compress=none", &plain)] {
            let mut create = Command::new(&vma);
            create.args(["create", compress, "-c"]).arg(&config);
            run(create.arg(archive).arg(&drive));
        }
        run(Command::new("zstd")
            .args(["-q", "-1"])
            .arg(&plain)
            .arg("-o")
            .arg(&theirs));
        fs::remove_file(&plain).unwrap();
        [("our `.vma.zst`", ours), ("Proxmox's `.vma.zst`", theirs)]
    }

    /// Restores the archive and starts its guest, in that or the other order, until the restore has ended.
    fn restore(&self, archive: &Path, how: &str) -> Took {
        loop {
            let folder = self.file("guest");
            let mut restore = Command::new(fleece());
            restore.env("PATH", &self.path).arg("restore").arg(archive);
            restore
                .args([how, "--format", "qcow2", "--to"])
                .arg(&folder);
            restore.stdout(Stdio::null()).stderr(Stdio::null());
            let begun = Instant::now();
            let mut restore = restore.spawn().unwrap();
            let took = self.follow(&mut restore, begun);
            if took.is_none() {
                let _ = restore.kill();
                let _ = restore.wait();
            }
            self.kill_guest();
            fs::remove_dir_all(&folder).unwrap();
            if let Some(took) = took {
                return took;
            }
        }
    }

    /// Waits for the prompt and for the end of the restore, whichever comes first; `None` if the guest hangs.
    fn follow(&self, restore: &mut Child, begun: Instant) -> Option<Took> {
        let console = self.file("console");
        let (mut prompt, mut end) = (None, None);
        loop {
            let said = fs::read(&console).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            assert!(!said.contains("no file system"), "{said}");
            let now = begun.elapsed();
            if said.contains(PROMPT) {
                prompt.get_or_insert(now);
            }
            if let Some(status) = restore.try_wait().unwrap() {
                // 3: with warnings.
                assert!(matches!(status.code(), Some(0 | 3)), "{status}");
                end.get_or_insert(now);
            }
            if let (Some(prompt), Some(end)) = (prompt, end) {
                return Some(Took { prompt, end });
            }
            if prompt.is_none() && now > HANGS {
                return None;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Kills QEMU, and waits until it has let go of its images.
    fn kill_guest(&self) {
        let pid = fs::read_to_string(self.file("pid")).unwrap();
        let pid = pid.trim();
        run(Command::new("kill").args(["-KILL", pid]));
        let killed = Instant::now();
        let is_there = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ")
                .is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
        };
        while is_there() {
            assert!(killed.elapsed() < HANGS, "QEMU does not end");
            std::thread::sleep(LOOK);
        }
        for name in ["pid", "console"] {
            let _ = fs::remove_file(self.file(name));
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    // 3: with warnings.
    if !matches!(output.status.code(), Some(0 | 3)) {
        panic!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
