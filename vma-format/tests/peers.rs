//! Readers that others have written read our archives.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

mod support;

use std::process::{Command, Output};

use support::{aligned_header, archive, disk, sha256, sizes, written};

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
fn dissect_archive_reads_our_archives() {
    if !python(&["-c", "import dissect.archive.vma"])
        .status
        .success()
    {
        eprintln!(
            "SKIP: Python has no dissect.archive: PYTHONPATH=target/peers/python after cargo ci --only packages"
        );
        return;
    }
    let disks = [disk(20_000_000, 1), disk(1 << 20, 2), disk(5_000_192, 3)];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ours.vma");
    let mut expected = format!("qemu-server.conf {}\n", sha256(b"memory: 512\n"));
    for (number, disk) in disks.iter().enumerate() {
        expected.push_str(&format!("drive-scsi{number} {}\n", sha256(disk)));
    }
    let aligned = written(&aligned_header(&sizes(&disks)), &disks);
    for bytes in [archive(&disks), aligned] {
        std::fs::write(&path, bytes).unwrap();
        let output = python(&["-c", DISSECT, path.to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}

fn python(args: &[&str]) -> Output {
    Command::new("python3").args(args).output().unwrap()
}
