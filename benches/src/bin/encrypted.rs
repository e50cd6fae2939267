//! Archives that are encrypted beside the same in clear, in one run:
//!
//!     cargo build --release -p fleece-bins --bin vma
//!     cargo run --release -p fleece-benches --bin encrypted -- [MiB [ROUNDS]]
//!
//! Disks of MiB (default 1024) are in the page cache: one of holes, noise and text, as in `archive`, and one of noise, of which nothing
//! is compressed. The two of each row run in turns, and neither waits for the disk; how many times as fast as the one in clear the
//! encrypted one is, by their medians. Needs `age-keygen`.

#![expect(clippy::unwrap_used, reason = "a measurement that fails ends")]

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fleece_benches::{fleece, make_disk, median, run};

fn main() {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().map_or(default, |text| text.parse().unwrap());
    let (mib, rounds) = (number(1024), number(5));
    let bench = Bench::new(mib);
    println!("{mib} MiB, medians of {rounds} alternating rounds:\n");
    println!("| what | encrypted / in clear | aim | MiB/s encrypted |");
    println!("|---|---|---|---|");
    let encrypt = ["--recipients", "key.pub"];
    let identity = ["--identity", "key"];
    for (what, command, options, clear, aim) in [
        (
            "`vma create --compress zstd=1`",
            "create zstd=1 disk",
            encrypt,
            "new.vma.zst",
            ">= 0.9",
        ),
        (
            "the same of noise",
            "create zstd=1 noise",
            encrypt,
            "new.vma.zst",
            "",
        ),
        (
            "`vma create --no-index`",
            "create none disk",
            encrypt,
            "new.vma",
            "",
        ),
        (
            "`vma extract` of a `.vma.zst`",
            "extract",
            identity,
            "old.vma.zst",
            "",
        ),
        (
            "`vma extract` of a `.vma`",
            "extract",
            identity,
            "old.vma",
            "",
        ),
    ] {
        let (mut times, name) = ([Vec::new(), Vec::new()], format!("{clear}.age"));
        for _ in 0..rounds {
            times[0].push(bench.time(command, clear, &[]));
            times[1].push(bench.time(command, &name, &options));
        }
        let [clear, encrypted] = times.map(|times| median(&times).as_secs_f64());
        let ratio = clear / encrypted;
        #[expect(clippy::cast_precision_loss, reason = "some GiB")]
        let rate = mib as f64 / encrypted;
        println!("| {what} | {ratio:.2} | {aim} | {rate:.0} |");
    }
}

/// A directory with a disk, a key, and archives of the disk.
struct Bench {
    dir: tempfile::TempDir,
    vma: PathBuf,
}

impl Bench {
    fn new(mib: u64) -> Self {
        let vma = fleece().with_file_name("vma");
        let dir = tempfile::tempdir_in(vma.parent().unwrap()).unwrap();
        make_disk(&dir.path().join("disk"), mib).unwrap();
        let mut noise = File::open("/dev/urandom").unwrap().take(mib << 20);
        let mut disk = File::create(dir.path().join("noise")).unwrap();
        std::io::copy(&mut noise, &mut disk).unwrap();
        let bench = Self { dir, vma };
        let mut generate = bench.command(Path::new("age-keygen"));
        run(generate.args(["-o", "key"]));
        let mut public = bench.command(Path::new("age-keygen"));
        run(public.args(["-y", "-o", "key.pub", "key"]));
        for (command, archive) in [
            ("create zstd=1 disk", "old.vma.zst"),
            ("create none disk", "old.vma"),
        ] {
            bench.time(command, archive, &[]);
            let encrypt = ["--recipients", "key.pub"];
            bench.time(command, &format!("{archive}.age"), &encrypt);
        }
        bench
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path());
        command
    }

    /// How long a command takes that makes or reads this archive.
    fn time(&self, command: &str, archive: &str, options: &[&str]) -> Duration {
        let mut vma = self.command(&self.vma);
        let mut words = command.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let (what, compress, disk) = (word(), word(), format!("format=raw:a={}", word()));
        vma.args([what, "--no-sync", archive]).args(options);
        let new = self.dir.path().join(match what {
            "create" => archive,
            _ => "out",
        });
        match what {
            // There is no index of an encrypted archive that is not compressed.
            "create" if compress == "none" => vma.args(["-d", &disk, "--no-index"]),
            "create" => vma.args(["-d", &disk, "--compress", compress]),
            _ => vma.arg("out"),
        };
        // What is still being written back would slow the next down.
        run(Command::new("sync").arg("-f").arg(self.dir.path()));
        let (time, _) = run(&mut vma);
        let _ = std::fs::remove_dir_all(&new);
        if archive.starts_with("new") {
            std::fs::remove_file(&new).unwrap();
            // An index beside it.
            let _ = std::fs::remove_file(format!("{}.idx", new.display()));
        }
        time
    }
}
