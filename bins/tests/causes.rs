//! Whatever fails, the message says nothing twice.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by a panic"
)]

#[path = "support/vma.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::archive;
use tempfile::TempDir;

/// Words that mean the same: ours for a kind of error, and the system's.
const SAME: [(&str, &str); 6] = [
    ("not found", "no such file"),
    (": denied", "permission denied"),
    ("no space left:", "no space left on device"),
    ("read-only", "read-only file system"),
    ("i/o error:", "input/output error"),
    (": in use", "resource temporarily unavailable"),
];

/// What is said twice in a line.
fn repeated(line: &str) -> Option<String> {
    let line = line.to_lowercase();
    if let Some((ours, theirs)) = SAME
        .iter()
        .find(|(ours, theirs)| line.replace(theirs, "").contains(ours) && line.contains(theirs))
    {
        return Some(format!("{ours} / {theirs}"));
    }
    let mut seen = BTreeSet::new();
    let bare = |part: &str| {
        let part = part.split(" (at byte").next().unwrap_or_default();
        part.split(" (os error")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    line.split([':', ';'])
        .map(bare)
        // Short ones are names.
        .filter(|part| part.contains(' ') && part.len() > 8)
        .find(|part| !seen.insert(part.clone()))
}

/// Files to fail with.
fn prepare(dir: &Path) {
    fs::write(dir.join("text"), "hello world").unwrap();
    fs::write(dir.join("short.qcow2"), b"QFI\xfb\0\0\0\x03").unwrap();
    fs::write(dir.join("raw"), vec![7; 1 << 20]).unwrap();
    fs::create_dir(dir.join("directory")).unwrap();
    let single = fs::read(archive("single.vma")).unwrap();
    fs::write(dir.join("single.vma"), &single).unwrap();
    fs::write(dir.join("cut.vma"), &single[..single.len() - 5000]).unwrap();
    for name in ["single.vma.zst", "single.vma.gz", "single.vma.lzo"] {
        let mut bytes = fs::read(archive(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..][..32].fill(0xff);
        fs::write(dir.join(format!("damaged-{name}")), bytes).unwrap();
    }
    fs::copy(
        dir.join("damaged-single.vma.zst"),
        dir.join("vzdump-qemu-100-2026_01_02-03_04_05.vma.zst"),
    )
    .unwrap();
    let secret = "secret,id=s,data=abc";
    let encrypt = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    for create in [
        &["-u", "-b", "nowhere", "-F", "raw", "orphan.qcow2", "1M"][..],
        &[
            "-u",
            "-b",
            "./loop.qcow2",
            "-F",
            "qcow2",
            "pool.qcow2",
            "1M",
        ],
        &["-o", "data_file=gone", "no-data.qcow2", "1M"],
        &["--object", secret, "-o", encrypt, "encrypted.qcow2", "1M"],
    ] {
        let mut qemu_img = Command::new("qemu-img");
        qemu_img
            .args(["create", "-q", "-f", "qcow2"])
            .args(create)
            .current_dir(dir);
        assert!(qemu_img.status().unwrap().success(), "{create:?}");
    }
    fs::rename(dir.join("pool.qcow2"), dir.join("loop.qcow2")).unwrap();
    fs::remove_file(dir.join("gone")).unwrap();
    fs::write(
        dir.join("storage.cfg"),
        "dir: s\n\tpath /nonexistent\n\tcontent images,backup\n",
    )
    .unwrap();
}

#[test]
fn no_message_says_anything_twice() {
    let dir = TempDir::new().unwrap();
    prepare(dir.path());
    let commands = "
        vma list nowhere
        vma list directory
        vma list text
        vma list cut.vma/x
        vma info damaged-single.vma.zst
        vma verify cut.vma
        vma verify damaged-single.vma.zst
        vma verify damaged-single.vma.gz
        vma verify damaged-single.vma.lzo
        vma verify --deep single.vma
        vma verify --deep --index nowhere single.vma
        vma verify --deep --index text single.vma
        vma extract cut.vma out
        vma extract damaged-single.vma.zst out
        vma extract damaged-single.vma.gz out
        vma extract damaged-single.vma.lzo out
        vma extract single.vma directory
        vma extract single.vma nowhere/out
        vma extract single.vma text/out
        vma extract single.vma out -d x
        vma extract single.vma out -r nowhere
        vma extract single.vma out -r text
        vma extract damaged-single.vma.zst - -d drive-scsi0 --cache text/x
        vma extract damaged-single.vma.zst - -d drive-scsi0 --reframe-to directory
        vma extract damaged-single.vma.zst - -d drive-scsi0 --reframe-to nowhere/x
        vma recover single.vma directory
        vma recover text out
        vma create new.vma -d format=raw:nowhere
        vma create new.vma -d format=raw:directory
        vma create new.vma -d format=qcow2:nowhere
        vma create new.vma -d format=qcow2:text
        vma create new.vma -d format=qcow2:short.qcow2
        vma create new.vma -d format=qcow2:orphan.qcow2
        vma create new.vma -d format=qcow2:loop.qcow2
        vma create new.vma -d format=qcow2:no-data.qcow2
        vma create new.vma -d format=qcow2:encrypted.qcow2
        vma create new.vma -d short.qcow2
        vma create new.vma -c nowhere
        vma create new.vma -c directory
        vma create nowhere/new.vma -d format=raw:raw
        vma create text/new.vma -d format=raw:raw
        vma create single.vma -d format=raw:raw
        vma create /dev/full -d format=raw:raw
        vma serve single.vma nowhere/socket
        vma serve single.vma text/socket
        vma serve damaged-single.vma.gz socket --cache text
        vma index nowhere
        vma index cut.vma
        vma index single.vma -o nowhere/x
        vma reframe single.vma nowhere/x
        vma reframe cut.vma new
        vma optimize single.vma nowhere/x
        vma optimize damaged-single.vma.zst new
        vma diff single.vma nowhere
        vma diff single.vma cut.vma
        fleece list nowhere
        fleece list text
        fleece verify nowhere
        fleece verify .
        fleece verify cut.vma
        fleece prune nowhere --keep keep-last=1
        fleece note nowhere.vma
        fleece delete nowhere.vma
        fleece protect text
        fleece backup --image nowhere --to directory --vmid 9
        fleece backup --image directory --to directory --vmid 9
        fleece backup --image format=qcow2:text --to directory --vmid 9
        fleece backup --image orphan.qcow2 --to directory --vmid 9
        fleece backup --image loop.qcow2 --to directory --vmid 9
        fleece backup --image encrypted.qcow2 --to directory --vmid 9
        fleece backup --image short.qcow2 --to directory --vmid 9
        fleece backup --image raw --to nowhere/x --vmid 9
        fleece backup --image raw --to text --vmid 9
        fleece backup --image raw --to single.vma --vmid 9
        fleece backup --image raw --to s --vmid 9
        fleece backup --image raw --to directory --vmid 9 --state-dir text
        fleece backup --image raw --to directory --vmid 9 --storage-config directory
        fleece backup --qmp nowhere --to directory --vmid 9
        fleece backup --qmp text --to directory --vmid 9
        fleece backup --native nowhere --to directory --vmid 9
        fleece restore nowhere --to out
        fleece restore text --to out
        fleece restore cut.vma --to out
        fleece restore damaged-single.vma.zst --to out
        fleece restore single.vma --to text
        fleece restore single.vma --vmid 9 --storage nowhere --config-out 9.conf
        fleece restore single.vma --vmid 9 --storage s --config-out 9.conf
        fleece restore single.vma --vmid 9 --storage text --config-out 9.conf
        fleece cleanup 7
        fleece storage remove y
        fleece serve x=nowhere --socket socket --fleecing directory
    ";
    let mut wrong = Vec::new();
    for line in commands
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = match words[0] {
            "vma" => Command::new(env!("CARGO_BIN_EXE_vma")),
            _ => Command::new(env!("CARGO_BIN_EXE_fleece")),
        };
        command.args(&words[1..]).current_dir(dir.path());
        command.env_remove("HOME").env_remove("XDG_CACHE_HOME");
        if words[0] == "fleece" {
            for (option, value) in [
                ("--state-dir", "state"),
                ("--storage-config", "storage.cfg"),
            ] {
                if !words.contains(&option) {
                    command.args([option, value]);
                }
            }
        }
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.success() || said.is_empty() {
            wrong.push(format!("{line}: it should fail, and say why: {said}"));
        }
        for message in said.lines() {
            if let Some(twice) = repeated(message) {
                wrong.push(format!("{line}:\n    {message}\n    twice: {twice}"));
            }
        }
        let _ = fs::remove_dir_all(dir.path().join("out"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
