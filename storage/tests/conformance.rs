//! The conformance suite on every storage that this machine has.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::fs;
use std::path::Path;

use fleece_lab::LoopMount;
use fleece_storage::{StorageConfig, Storages, testing};

const VMID: u32 = 999_999_001;

#[test]
fn a_plain_directory_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    conforms(&Storages::none(), path);
    assert_eq!(
        fs::read_dir(path).unwrap().count(),
        0,
        "something was left behind"
    );
}

#[test]
fn a_configured_directory_conforms() {
    let directory = tempfile::tempdir().unwrap();
    conforms(&configured("dir", directory.path(), ""), "test");
}

#[test]
fn a_directory_on_tmpfs_conforms() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    conforms(&configured("dir", directory.path(), ""), "test");
}

#[test]
fn a_directory_on_ext4_conforms() {
    let Some(mount) = LoopMount::new("ext4") else {
        return;
    };
    conforms(
        &configured("dir", mount.path(), "is_mountpoint yes"),
        "test",
    );
}

#[test]
fn a_directory_on_xfs_conforms() {
    let Some(mount) = LoopMount::new("xfs") else {
        return;
    };
    conforms(
        &configured("dir", mount.path(), "is_mountpoint yes"),
        "test",
    );
}

#[test]
fn a_directory_on_btrfs_conforms() {
    let Some(mount) = LoopMount::new("btrfs") else {
        return;
    };
    conforms(&configured("dir", mount.path(), ""), "test");
}

#[test]
fn btrfs_subvolumes_conform() {
    let Some(mount) = LoopMount::new("btrfs") else {
        return;
    };
    conforms(&configured("btrfs", mount.path(), ""), "test");
    conforms(&configured("btrfs", mount.path(), "nocow"), "test");
}

#[test]
fn the_example_of_an_external_plugin_conforms() {
    if !Path::new("/usr/bin/python3").exists() {
        eprintln!("SKIP: python3 is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plugins");
    let storages = configured("example", directory.path(), "").with_plugin_directory(&plugins);
    conforms(&storages, "test");
}

fn configured(kind: &str, path: &Path, properties: &str) -> Storages {
    let text = format!("{kind}: test\n\tpath {}\n\t{properties}\n", path.display());
    Storages::new(StorageConfig::parse(&text).unwrap())
}

fn conforms(storages: &Storages, name: &str) {
    let storage = storages.open(name).unwrap();
    let report = testing::conformance(storage.as_ref(), VMID);
    println!("{report}");
    assert!(report.passed(), "{report}");
    if report.to_string().contains("not installed") {
        fleece_lab::skip("qemu-io is not installed");
    }
}
