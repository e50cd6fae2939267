//! `vma list` and `vma config` against what Proxmox's own printed for the same archives.

#[path = "support/vma.rs"]
mod support;

use std::fs;
use std::process::Command;

use support::{archive, fails, golden, manifest, ok, path, vma};
use tempfile::TempDir;

#[test]
fn list_prints_what_the_reference_prints() {
    for (name, golden) in manifest() {
        assert_eq!(
            ok(&["list", &archive(&name)]),
            golden["list"].as_str().unwrap(),
            "{name}"
        );
    }
}

#[test]
fn list_reads_every_container_from_a_file_and_from_standard_input() {
    let expected = ok(&["list", &archive("single.vma")]);
    for name in [
        "single.vma",
        "single.vma.zst",
        "single.vma.gz",
        "single.vma.lzo",
    ] {
        assert_eq!(ok(&["list", &archive(name)]), expected);
        let file = fs::File::open(golden(name)).unwrap();
        let output = vma().args(["list", "-"]).stdin(file).output().unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            expected,
            "{name}"
        );
    }
}

#[test]
fn config_prints_the_bytes_of_a_config() {
    let multi = archive("multi.vma");
    assert!(ok(&["config", &multi]).starts_with("boot: order=scsi0\n"));
    assert_eq!(
        ok(&["config", &multi, "-c", "qemu-server.fw"]),
        "[OPTIONS]\nenable: 1\n"
    );
    fails(
        &["config", &multi, "-c", "x"],
        1,
        "unable to find configuration data 'x'",
    );
}

#[test]
fn what_is_no_archive_is_called_so() {
    let dir = TempDir::new().unwrap();
    let file = path(&dir, "x");
    // What something else is, is no damage of an archive.
    for (contents, code, reason) in [
        (&b""[..], 1, "not a vma file: this is empty"),
        (b"hello world", 1, "not a vma file: this is a text"),
        (b"BZh91AY&SY", 1, "bunzip2 -c FILE | vma"),
        (b"\0\0\0\0", 4, "not a vma file - wrong magic number"),
        (b"VMA\0", 4, "not a vma file"),
        (b"\x28\xb5\x2f\xfd", 4, "damaged"),
    ] {
        fs::write(&file, contents).unwrap();
        for command in ["list", "config", "verify", "info"] {
            fails(&[command, &file], code, reason);
        }
    }
    fails(&["list", &path(&dir, "none")], 1, "cannot open the archive");
    fails(&["list", dir.path().to_str().unwrap()], 1, "is a directory");
    fails(&["list"], 2, "Usage");
    fails(&["nonsense"], 2, "Usage");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let script = format!(
        "({} list {}; echo $? >&2) | true",
        env!("CARGO_BIN_EXE_vma"),
        archive("multi.vma")
    );
    let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "0\n");
}
