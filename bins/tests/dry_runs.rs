//! `--dry-run` tells all that would be done, ends as that would, and changes nothing.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fleece_lab::{Disk, StorageDaemon};
use fleece_qmp_client::Client;
use fleece_qmp_client::commands::QueryNamedBlockNodes;
use support::Bench;
use support::archived::Archived;
use support::ended::Ended;

const CONFIG: &str = "cores: 2\nscsi0: gone:vm-1-disk-0\nvirtio1: gone:vm-1-disk-1\n";

/// All that is below a directory: times of changes tell of what was there for a moment only.
fn tree(root: &Path) -> BTreeMap<PathBuf, (i64, i64, u32, u64, Vec<u8>)> {
    let mut tree = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let content = match metadata.is_file() {
            true => fs::read(&path).unwrap(),
            false => Vec::new(),
        };
        if metadata.is_dir() {
            left.extend(support::entries(&path));
        }
        let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
        tree.insert(
            path,
            (seconds, nanos, metadata.mode(), metadata.len(), content),
        );
    }
    tree
}

/// Runs it dry: it ends with `code`, says all of `words`, and the bench is as it was.
fn dry(bench: &Bench, command: &mut Command, code: i32, words: &[&str]) -> String {
    let before = tree(&bench.path(""));
    let said = Ended::of(command.arg("--dry-run")).expect(code, words);
    assert!(tree(&bench.path("")) == before, "{said}");
    said
}

#[test]
fn a_dry_restore_to_storages_tells_what_it_would_make_and_changes_nothing() {
    let bench = Bench::new();
    let rules = ("qemu-server.fw", "[OPTIONS]\nenable: 1\n");
    let archived = Archived::new(&bench, &[("qemu-server.conf", CONFIG), rules]);
    for folder in ["fast", "configs", "firewall"] {
        fs::create_dir(bench.path(folder)).unwrap();
    }
    let storages = format!(
        "dir: fast\n\tpath {0}\n\tcontent images\n\ndir: isos\n\tpath {0}\n\tcontent iso\n",
        bench.path("fast").display()
    );
    fs::write(bench.path("storage.cfg"), storages).unwrap();
    let restore = |options: &[&str]| {
        let mut command = bench.fleece("restore");
        for (option, name) in [
            ("--config-dir", "configs"),
            ("--storage-config", "storage.cfg"),
            ("--firewall-dir", "firewall"),
        ] {
            command.arg(option).arg(bench.path(name));
        }
        command.args(["--vmid", "9"]).arg(&archived.path);
        command.args(options);
        command
    };
    let fast = ["--storage", "fast:qcow2"].as_slice();
    let words = [
        "drive-scsi0 (3.00 MiB) to fast:9/vm-9-disk-0.qcow2 (format qcow2), as scsi0",
        "drive-virtio1 (1.00 MiB) to fast:9/vm-9-disk-1.qcow2",
        "are free",
        "write firewall rules",
        "write ",
        "dry run",
    ];
    let said = dry(&bench, &mut restore(fast), 0, &words);
    assert!(!said.contains("restored"), "{said}");
    for (options, code, words) in [
        (["--storage", "isos"].as_slice(), 6, "not for disks"),
        (&["--storage", "nowhere"], 6, "nowhere"),
        (&[], 1, "where does drive-scsi0 go"),
        (
            &["--storage", "fast", "--disk", "d0=skip"],
            1,
            "no disk 'd0'",
        ),
        (
            &["--storage", "fast", "--disk", "scsi0=skip"],
            3,
            "scsi0 (gone:vm-1-disk-0) is not restored",
        ),
        (
            &["--storage", "fast", "--rename", "scsi0=virtio1"],
            1,
            "already",
        ),
    ] {
        dry(&bench, &mut restore(options), code, &[words]);
    }
    // As it was told, it is done.
    Ended::of(&mut restore(fast)).expect_code(0);
    assert!(bench.path("fast/images/9/vm-9-disk-1.qcow2").exists());
    archived.assert_in_qcow2(0, &bench.path("fast/images/9/vm-9-disk-0.qcow2"));
    dry(&bench, &mut restore(fast), 6, &["a guest 9 already"]);
    let words = [
        "fast:9/vm-9-disk-2.qcow2",
        "would replace",
        "would free the old volume fast:9/vm-9-disk-0.qcow2 (scsi0)",
    ];
    let force = ["--storage", "fast:qcow2", "--force"];
    dry(&bench, &mut restore(&force), 0, &words);
    let skip = ["--storage", "fast", "--force", "--disk", "virtio1=skip"];
    let words = ["would keep the old volume fast:9/vm-9-disk-1.qcow2 (virtio1)"];
    dry(&bench, &mut restore(&skip), 3, &words);
    // What was told becomes so, and is told.
    let words = [
        "the old disk virtio1 is not in the archive",
        "is kept as unused",
    ];
    Ended::of(&mut restore(&skip)).expect(3, &words);
}

#[test]
fn a_dry_restore_to_a_folder_tells_what_it_would_write_and_changes_nothing() {
    let bench = Bench::new();
    let archived = Archived::new(&bench, &[("qemu-server.conf", CONFIG)]);
    let restore = |folder: &str, options: &[&str]| {
        let mut command = bench.fleece("restore");
        command.arg(&archived.path).args(options);
        command.arg("--to").arg(bench.path(folder));
        command
    };
    let words = [
        "new/folder/disk-drive-scsi0.qcow2 (format qcow2), as scsi0",
        "are free",
        "would write",
        "start.sh",
        "domain.xml",
        "qemu-server.conf",
    ];
    let qcow2 = ["--format", "qcow2"].as_slice();
    dry(&bench, &mut restore("new/folder", qcow2), 0, &words);
    dry(&bench, &mut restore("storage.cfg/x", &[]), 0, &[]);
    fs::write(bench.path("file"), "").unwrap();
    dry(&bench, &mut restore("file/x", &[]), 6, &["file"]);
    Ended::of(&mut restore("new/folder", qcow2)).expect_code(0);
    dry(
        &bench,
        &mut restore("new/folder", qcow2),
        6,
        &["is there already"],
    );
    let force = ["--format", "qcow2", "--force"];
    dry(
        &bench,
        &mut restore("new/folder", &force),
        0,
        &["would replace"],
    );
}

#[test]
fn a_dry_backup_of_images_tells_what_it_would_archive_and_changes_nothing() {
    let bench = Bench::new();
    let image = bench.path("disk.raw");
    fs::write(&image, [7; 8192]).unwrap();
    fs::write(bench.path("note"), "x").unwrap();
    let storages = format!(
        "dir: new\n\tpath {}\n\tcontent backup\n",
        bench.path("fleecing").display()
    );
    fs::write(bench.path("storage.cfg"), storages).unwrap();
    let backup = |options: &[&str]| {
        let mut command = bench.fleece("backup");
        command
            .arg("--storage-config")
            .arg(bench.path("storage.cfg"));
        command.arg("--image").arg(&image).args(options);
        command
    };
    let note = format!("extra.txt={}", bench.path("note").display());
    let to = ["--to", "new", "--rename", "disk=scsi0", "--config", &note];
    let words = [
        "would include disk 'drive-scsi0'",
        "8.00 KiB",
        "would include the configuration 'extra.txt'",
        "would create vzdump archive",
        "/dump/vzdump-qemu-",
        "are free",
        "dry run",
    ];
    dry(&bench, &mut backup(&to), 0, &words);
    for (options, code, words) in [
        (["--to", "nowhere"].as_slice(), 6, "neither"),
        (
            &["--to", "new", "--rename", "disk7=scsi0"],
            1,
            "no disk 'disk7'",
        ),
        (&["--to", "new", "--config", "/dev/zero"], 1, "65535"),
    ] {
        dry(&bench, &mut backup(options), code, &[words]);
    }
    // As it was told, it is done.
    Ended::of(&mut backup(&to)).expect_code(0);
    let mut archives = support::entries(&bench.path("fleecing/dump"));
    archives.retain(|path| path.to_string_lossy().ends_with(".vma.zst"));
    let mut list = Command::new(env!("CARGO_BIN_EXE_vma"));
    list.arg("list").args(&archives);
    Ended::of(&mut list).expect(0, &["drive-scsi0", "extra.txt"]);
}

#[test]
fn a_dry_backup_of_a_qemu_only_asks_it() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let disk = || Disk::raw(1 << 20).throttled();
    let daemon = StorageDaemon::builder(&qemu).disk(disk()).disk(disk());
    let daemon = daemon.export().start().unwrap();
    let bench = Bench::new();
    let nodes = || -> Vec<String> {
        let client = Client::connect_unix(daemon.qmp_socket()).unwrap();
        let nodes = client.execute(&QueryNamedBlockNodes { flat: Some(true) });
        nodes
            .unwrap()
            .iter()
            .map(|node| format!("{node:?}"))
            .collect()
    };
    let before = nodes();
    let backup = |options: &[&str]| {
        let mut command = support::daemon::backup(&bench, &daemon);
        command.args(options);
        command
    };
    let rename = ["--rename", "disk0=drive-scsi0"].as_slice();
    let words = [
        "would include disk 'drive-scsi0'",
        "would include disk 'disk1'",
        "copy-before-write by the method",
        "fleecing images need at most 2.00 MiB",
        "would create vzdump archive",
        "vzdump-qemu-7-",
    ];
    dry(&bench, &mut backup(rename), 0, &words);
    dry(
        &bench,
        &mut backup(&["--exclude", "disk0,disk1"]),
        1,
        &["all disks are excluded"],
    );
    dry(&bench, &mut backup(&["--fleecing-format", "vmdk"]), 2, &[]);
    assert_eq!(nodes(), before);
    Ended::of(&mut backup(rename)).expect_code(0);
    let mut list = Command::new(env!("CARGO_BIN_EXE_vma"));
    list.arg("list").arg(bench.archive());
    Ended::of(&mut list).expect(0, &["drive-scsi0", "disk1"]);
}
