//! Files out of an archive: `vma files` and `vma mount` against the kernel's own driver on what `vma serve` serves.
//!
//! ```text
//! cargo build --release -p fleece-bins
//! cargo run --release -p fleece-benches --bin files [MiB [ROUNDS]]
//! ```
//!
//! As root: an ext4 with half of so many MiB (default 512) in files of 64 MiB, half in files of 32 KiB, is copied as a whole. The
//! kernel reads it through a loop device on `nbdfuse`, which needs no NBD driver of the kernel. The archive is in the page cache,
//! and nothing of the mounts, which are new each time.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a measurement that fails says so and ends"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_benches::{fleece, make_disk, median};

/// What is done, in a shell; VMA, ARCHIVE, OUT and MOUNTED are variables.
const WAYS: [(&str, &str); 4] = [
    (
        "the kernel, `cp -r`",
        "cp -r \"$MOUNTED/kernel/.\" \"$OUT\"",
    ),
    (
        "`vma files … cp -r`",
        "\"$VMA\" files \"$ARCHIVE\" a cp -r / \"$OUT\"",
    ),
    (
        "`vma files … tar`",
        "\"$VMA\" files \"$ARCHIVE\" a tar / > \"$OUT/tar\"",
    ),
    (
        "`vma mount`, `cp -r`",
        "cp -r \"$MOUNTED/ours/files/a/.\" \"$OUT\"",
    ),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |or: u64| arguments.next().map_or(or, |text| text.parse().unwrap());
    let (mib, rounds) = (number(512), number(5));
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    let vma = fleece().with_file_name("vma");
    let archive = archive(dir, &vma, mib);
    let mut times: [Vec<Duration>; WAYS.len()] = std::array::from_fn(|_| Vec::new());
    for _ in 0..rounds {
        for (times, (_, script)) in times.iter_mut().zip(WAYS) {
            times.push(once(dir, &vma, &archive, script));
        }
    }
    println!("{mib} MiB, medians of {rounds} alternating rounds:\n");
    println!("| the way | seconds | / the kernel |\n|---|---|---|");
    let kernel = median(times.first().unwrap());
    for (times, (name, _)) in times.iter().zip(WAYS) {
        let time = median(times);
        println!(
            "| {name} | {:.2} | {:.2} |",
            time.as_secs_f64(),
            time.as_secs_f64() / kernel.as_secs_f64()
        );
    }
}

/// An archive of a file system with large and small files.
fn archive(dir: &Path, vma: &Path, mib: u64) -> PathBuf {
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("small")).unwrap();
    let half = mib / 2;
    for number in 0..half.div_ceil(64) {
        make_disk(&tree.join(format!("large{number}")), half.min(64)).unwrap();
    }
    let source = fs::read(tree.join("large0")).unwrap();
    for number in 0..half * 32 {
        let at = usize::try_from(number % 1024).unwrap() * 1000;
        let content = source.get(at..at + (32 << 10)).unwrap();
        let folder = tree.join(format!("small/{}", number % 100));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(number.to_string()), content).unwrap();
    }
    let image = dir.join("image");
    let size = format!("{}M", mib * 3 / 2 + 64);
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-t", "ext4", "-d"]).arg(&tree).arg(&image);
    run(make.arg(size));
    fs::remove_dir_all(&tree).unwrap();
    let archive = dir.join("archive.vma");
    let disk = format!("format=raw:a={}", image.display());
    run(Command::new(vma)
        .arg("create")
        .arg(&archive)
        .args(["-d", &disk]));
    fs::remove_file(&image).unwrap();
    archive
}

/// One copy; everything is mounted anew for it.
fn once(dir: &Path, vma: &Path, archive: &Path, script: &str) -> Duration {
    let (out, mounted) = (dir.join("out"), dir.join("mounted"));
    let at = |name: &str| mounted.join(name);
    for folder in [&out, &at("kernel"), &at("ours"), &at("nbd")] {
        fs::create_dir_all(folder).unwrap();
    }
    let socket = dir.join("socket");
    let mut serving = Vec::new();
    if script.contains("kernel") {
        let mut serve = Command::new(vma);
        serve.arg("serve").arg(archive).arg(&socket);
        serving.push(serve.stdout(Stdio::null()).spawn().unwrap());
        until(|| socket.exists());
        let uri = format!("nbd+unix:///a?socket={}", socket.display());
        let mut fuse = Command::new("nbdfuse");
        serving.push(fuse.arg("-r").arg(at("nbd")).arg(uri).spawn().unwrap());
        let image = at("nbd/nbd");
        until(|| image.exists());
        let mut mount = Command::new("mount");
        run(mount.args(["-o", "loop,ro"]).arg(&image).arg(at("kernel")));
    } else if script.contains("MOUNTED") {
        run(Command::new(vma).arg("mount").arg(archive).arg(at("ours")));
    }
    let mut copy = Command::new("sh");
    copy.args(["-c", script])
        .env("VMA", vma)
        .env("ARCHIVE", archive)
        .env("OUT", &out)
        .env("MOUNTED", &mounted);
    let start = Instant::now();
    run(&mut copy);
    let time = start.elapsed();
    for name in ["kernel", "ours", "nbd"] {
        let _ = Command::new("umount")
            .arg(at(name))
            .stderr(Stdio::null())
            .status();
    }
    for child in &mut serving {
        end(child);
    }
    fs::remove_dir_all(&out).unwrap();
    time
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn until(done: impl Fn() -> bool) {
    while !done() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
