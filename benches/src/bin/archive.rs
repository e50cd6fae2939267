//! `vma` and its peers side by side, in one run:
//!
//!     cargo build --release -p fleece-bins --bin vma
//!     cargo run --release -p fleece-benches --bin archive -- [DIR [MiB [ROUNDS]]]
//!
//! A disk of MiB (default 4096) is made in DIR (default: a temporary directory): a third holes, a
//! third incompressible, a third text. Everything is in the page cache. Of each pair, the two are
//! run in turns; the ratio of their medians is printed, what `vma` does of the disk in a second, holes included, and the
//! most memory that it had. Both sides wait for the disk, or neither does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fleece_benches::make_disk;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let given = args.next().map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let dir = given.as_deref().unwrap_or_else(|| temporary.path());
    let mib = args
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(4096);
    let rounds = args.next().and_then(|text| text.parse().ok()).unwrap_or(5);
    let bench = Bench::new(dir, mib, rounds)?;
    bench.run()
}

/// A pair of commands and what their ratio should be.
struct Pair {
    what: &'static str,
    ours: String,
    theirs: String,
    /// What the time of the second is divided by: the number of processors it could use.
    spread: f64,
    aim: &'static str,
}

struct Bench {
    dir: PathBuf,
    vma: PathBuf,
    rounds: usize,
    mib: u64,
}

impl Bench {
    fn new(dir: &Path, mib: u64, rounds: usize) -> io::Result<Self> {
        let vma = std::env::current_exe()?.with_file_name("vma");
        if !vma.exists() {
            return Err(io::Error::other(
                "first: cargo build --release -p fleece-bins --bin vma",
            ));
        }
        let dir = dir.join("vma-bench");
        fs::create_dir_all(&dir)?;
        make_disk(&dir.join("disk"), mib)?;
        make_disk(&dir.join("small"), mib / 9)?;
        let bench = Self {
            dir,
            vma,
            rounds,
            mib,
        };
        bench.shell("rm -rf a.vma* a.zst ten.vma*; $VMA create a.vma -d format=raw:a=disk")?;
        bench.shell("$VMA reframe a.vma a.zst; $VMA create ten.vma -d format=raw:b=disk -d format=raw:s=small")?;
        Ok(bench)
    }

    fn run(&self) -> io::Result<()> {
        let cores = std::thread::available_parallelism()?.get();
        #[expect(clippy::cast_precision_loss, reason = "a number of processors")]
        let spread = cores as f64;
        println!(
            "{} MiB, medians of {} alternating rounds.\n",
            self.mib, self.rounds
        );
        println!("| what | ratio | aim | MiB/s | RSS MiB |");
        println!("|---|---|---|---|---|");
        for pair in pairs(spread) {
            let (mut ours, mut theirs, mut memory) = (Vec::new(), Vec::new(), 0);
            for _ in 0..self.rounds {
                let (time, rss) = self.time(&pair.ours)?;
                ours.push(time);
                memory = memory.max(rss);
                theirs.push(self.time(&pair.theirs)?.0);
            }
            let (ours, theirs) = (median(ours), median(theirs).div_f64(pair.spread));
            #[expect(clippy::cast_precision_loss, reason = "some GiB")]
            let rate = self.mib as f64 / ours.as_secs_f64();
            println!(
                "| {} | {:.2} | {} | {rate:.0} | {} |",
                pair.what,
                ours.as_secs_f64() / theirs.as_secs_f64(),
                pair.aim,
                memory / 1024
            );
        }
        fs::remove_dir_all(&self.dir)
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .arg("-ec")
            .arg(script)
            .current_dir(&self.dir)
            .env("VMA", &self.vma);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn shell(&self, script: &str) -> io::Result<()> {
        if self.command(script).status()?.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("failed: {script}")))
    }

    /// How long a script takes, and the most memory in KiB that a `vma` in it had.
    fn time(&self, script: &str) -> io::Result<(Duration, u64)> {
        // What is still being written back would slow the next down; and a virtual machine that gives
        // free memory back to its host gets it again at a price, which neither side should pay.
        let mib = self.mib.saturating_mul(3) / 2;
        self.shell(&format!(
            "rm -rf out out.idx; sync; head -c {mib}M /dev/zero > /dev/shm/vma-bench; rm /dev/shm/vma-bench"
        ))?;
        let begun = Instant::now();
        let mut child = self.command(script).spawn()?;
        let mut memory = 0;
        loop {
            if let Some(status) = child.try_wait()? {
                let took = begun.elapsed();
                if status.success() {
                    return Ok((took, memory));
                }
                return Err(io::Error::other(format!("failed: {script}")));
            }
            memory = memory.max(peak_memory(child.id()));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn pairs(spread: f64) -> Vec<Pair> {
    let pair = |what, ours: &str, theirs: &str, aim| Pair {
        what,
        ours: ours.to_owned(),
        theirs: theirs.to_owned(),
        spread: 1.0,
        aim,
    };
    let deep = Pair {
        spread,
        ..pair(
            "verify `--deep` / `sha256sum` over all cores",
            "exec $VMA verify --deep a.vma",
            "sha256sum a.vma",
            "<= 1.2",
        )
    };
    vec![
        pair(
            "create / `cp --sparse=always`",
            "exec $VMA create out -d format=raw:a=disk",
            "cp --sparse=always disk out; sync out",
            "<= 0.9",
        ),
        pair(
            "create `--no-index` / `cp --sparse=always`",
            "exec $VMA create out -d format=raw:a=disk --no-index",
            "cp --sparse=always disk out; sync out",
            "<= 0.75",
        ),
        pair(
            "extract / `cp --sparse=always`",
            "exec $VMA extract a.vma out",
            "cp --sparse=always disk out; sync out",
            "<= 1.0",
        ),
        pair(
            "create `--no-sync` / `cp`, no sync",
            "exec $VMA create out -d format=raw:a=disk --no-sync",
            "cp --sparse=always disk out",
            "",
        ),
        pair(
            "extract `--no-sync` / `cp`, no sync",
            "exec $VMA extract --no-sync a.vma out",
            "cp --sparse=always disk out",
            "<= 1.0",
        ),
        pair(
            "extract `--no-sync` / `qemu-img convert -W`",
            "exec $VMA extract --no-sync a.vma out",
            "qemu-img convert -W -f raw -O raw disk out",
            "<= 1.0",
        ),
        pair(
            "verify / reading the file",
            "exec $VMA verify a.vma",
            "cat a.vma > /dev/null",
            "<= 0.1",
        ),
        deep,
        pair(
            "create zstd=1 / `create -` piped to `zstd -1 -T2`",
            "exec $VMA create out -d format=raw:a=disk --compress zstd=1",
            "$VMA create - -d format=raw:a=disk | zstd -q -1 -T2 -o out; sync out",
            "<= 0.77",
        ),
        pair(
            "extract `--no-sync` of our `.vma.zst` / `zstd -d`",
            "exec $VMA extract --no-sync a.zst out",
            "zstd -q -d a.zst -o out",
            "<= 0.57",
        ),
        pair(
            "extract `-d` of a tenth / of the whole",
            "exec $VMA extract -d s ten.vma out",
            "$VMA extract ten.vma out",
            "<= 0.15",
        ),
    ]
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// `VmHWM` of a process in KiB; 0 if it has ended.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok())
        .unwrap_or(0)
}
