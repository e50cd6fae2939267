//! Readers that others have written read our archives: `cargo test --test peers -- --ignored`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

mod support;

use std::process::Command;

use support::{archive, disk, sha256};

/// Prints name and SHA-256 of each device and config, with dissect.archive's reader.
const DISSECT: &str = "
import hashlib, sys
from dissect.archive import vma
archive = vma.VMA(open(sys.argv[1], 'rb'))
for name in archive.configs():
    print(name, hashlib.sha256(archive.config(name)).hexdigest())
for device in archive.devices():
    stream, digest = device.open(), hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    print(device.name, digest.hexdigest())
";

#[test]
#[ignore = "needs Python with dissect.archive: pip install dissect.archive"]
fn dissect_archive_reads_our_archives() {
    let disks = [disk(20_000_000, 1), disk(1 << 20, 2), disk(5_000_192, 3)];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ours.vma");
    std::fs::write(&path, archive(&disks)).unwrap();
    let mut python = Command::new("python3");
    let output = python.args(["-c", DISSECT]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut expected = format!("qemu-server.conf {}\n", sha256(b"memory: 512\n"));
    for (number, disk) in disks.iter().enumerate() {
        expected.push_str(&format!("drive-scsi{number} {}\n", sha256(disk)));
    }
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}
