//! What the tests of `vma` share: running it, and what Proxmox's own printed and wrote.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

#[path = "fuse.rs"]
pub(crate) mod fuse;

use std::fs::{self, File, OpenOptions};
use std::io::PipeWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) fn signal(process: u32, signal: &str) {
    let kill = Command::new("kill")
        .args([signal, &process.to_string()])
        .status();
    assert!(kill.unwrap().success());
}

pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../vma-format/tests/data")
        .join(name)
}

pub(crate) fn archive(name: &str) -> String {
    golden(name).into_os_string().into_string().unwrap()
}

pub(crate) fn manifest() -> Map<String, Value> {
    serde_json::from_slice(&fs::read(golden("manifest.json")).unwrap()).unwrap()
}

pub(crate) fn vma() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vma"));
    command.env("TZ", "UTC");
    // Copies of archives are made only where a test wants them.
    command.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    vma().args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs and expects success; gives standard output.
pub(crate) fn ok(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn fails(args: &[&str], code: i32, reason: &str) {
    let output = run(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(said.contains(reason), "{args:?}: {said}");
}

pub(crate) fn path(dir: &TempDir, name: &str) -> String {
    dir.path()
        .join(name)
        .into_os_string()
        .into_string()
        .unwrap()
}

/// A named pipe.
pub(crate) fn fifo(dir: &TempDir) -> String {
    let fifo = path(dir, "fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    fifo
}

/// What takes no output: nobody reads it.
pub(crate) fn closed() -> PipeWriter {
    std::io::pipe().unwrap().1
}

/// What takes no output: it has no room.
pub(crate) fn full() -> File {
    let mut options = OpenOptions::new();
    options.write(true).open("/dev/full").unwrap()
}

/// A copy of an archive, of which the last bytes are missing.
pub(crate) fn cut(dir: &TempDir, archive: impl AsRef<Path>, missing: usize) -> String {
    let (cut, whole) = (path(dir, "cut.vma"), fs::read(archive).unwrap());
    fs::write(&cut, &whole[..whole.len() - missing]).unwrap();
    cut
}

/// How many files there are in a folder.
pub(crate) fn count(folder: impl AsRef<Path>) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// The hash of a disk that Proxmox's own extracted from that archive.
pub(crate) fn expected(archive: &str, file: &str) -> String {
    let hash = &manifest()[archive]["files"][file]["sha256"];
    hash.as_str().unwrap().to_owned()
}

pub(crate) fn sha256(path: impl AsRef<Path>) -> String {
    Sha256::digest(fs::read(path).unwrap())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A disk with holes, zeroes and data.
pub(crate) fn disk(size: usize) -> Vec<u8> {
    let value = |i: usize| match i / 65536 % 3 {
        0 => 0,
        1 => (i * 31 % 251) as u8,
        _ => u8::from((i / 4096).is_multiple_of(2)) * 9,
    };
    (0..size).map(value).collect()
}

/// Puts a disk into a file, and says so to `vma create`: the disk's name is `a`.
pub(crate) fn drive(dir: &TempDir, disk: &[u8]) -> String {
    let raw = path(dir, "a.raw");
    fs::write(&raw, disk).unwrap();
    format!("format=raw:a={raw}")
}

/// An archive of that disk.
pub(crate) fn made(dir: &TempDir, name: &str, disk: &[u8], compress: &str) -> String {
    let to = path(dir, name);
    let drive = drive(dir, disk);
    ok(&["create", &to, "-d", &drive, "--compress", compress]);
    to
}
