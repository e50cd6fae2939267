//! `--reuse`: archives that share what has not changed, on file systems that can and on those that cannot.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fleece_lab::LoopMount;
use serde_json::Value;

/// The size of the disk: 24 MiB and a part of a cluster.
const SIZE: u64 = (24 << 20) + 5 * 512;

/// A directory of archives on some file system, and a disk that changes.
struct Bench {
    target: PathBuf,
    disk: PathBuf,
    state: tempfile::TempDir,
}

impl Bench {
    fn new(target: &Path) -> Self {
        let state = tempfile::tempdir().unwrap();
        let disk = state.path().join("disk.raw");
        support::noise(&disk, SIZE);
        let target = target.join("dump");
        fs::create_dir(&target).unwrap();
        Self {
            target,
            disk,
            state,
        }
    }

    /// Another backup of the disk; what the program says of it.
    fn backup(&self, options: &[&str]) -> (Value, Output) {
        let mut fleece = Command::new(env!("CARGO_BIN_EXE_fleece"));
        fleece.current_dir(self.state.path());
        fleece.args(["--json", "backup", "--state-dir", "state", "--vmid", "100"]);
        fleece
            .args(["--image", "disk.raw", "--to"])
            .arg(&self.target);
        if !options.contains(&"--compress") {
            fleece.args(["--compress", "none"]);
        }
        let output = fleece.args(options).output().unwrap();
        (support::result(&output), output)
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        let disk = File::options().write(true).open(&self.disk).unwrap();
        disk.write_all_at(bytes, offset).unwrap();
    }

    /// How many bytes of the target's file system are in use.
    fn used(&self) -> u64 {
        let directory = File::open(&self.target).unwrap();
        rustix::fs::syncfs(&directory).unwrap();
        let space = rustix::fs::statvfs(&self.target).unwrap();
        (space.f_blocks - space.f_bfree) * space.f_frsize
    }

    /// That an archive is sound and holds the disk as it is now.
    fn check(&self, archive: &Path) {
        let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
        support::succeed(vma.args(["verify", "--deep"]).arg(archive));
        let disks = support::restore(archive);
        let mut there = vec![0; SIZE as usize];
        disks[0].read_exact_at(&mut there, 0).unwrap();
        assert!(there == fs::read(&self.disk).unwrap(), "{archive:?}");
    }
}

fn archive(said: &Value) -> PathBuf {
    said["archive"].as_str().unwrap().into()
}

#[test]
fn what_has_not_changed_is_shared_and_takes_no_space() {
    for fstype in ["xfs", "btrfs"] {
        let Some(mounted) = LoopMount::new(fstype) else {
            return;
        };
        let bench = Bench::new(mounted.path());
        let (first, output) = bench.backup(&["--reuse"]);
        assert!(output.status.success(), "{}", support::text(&output));
        assert_eq!(first["shared"], Value::Null);
        let mut archives = vec![(archive(&first), fs::read(&bench.disk).unwrap())];
        let mut used = bench.used();
        for generation in 1..4_u8 {
            // A cluster here and there, one of them zero, and the last.
            for cluster in [3, 100, 101, 300] {
                let bytes = vec![generation % 3 * 7; 65536];
                bench.write(65536 * (cluster + u64::from(generation)), &bytes);
            }
            bench.write(SIZE - 512, &[generation; 512]);
            let (next, output) = bench.backup(&["--reuse"]);
            assert!(output.status.success(), "{}", support::text(&output));
            let shared = next["shared"].as_u64().unwrap();
            assert!(shared > SIZE - 7 * 65536, "{fstype}: {shared}");
            let now = bench.used();
            assert!(
                now.saturating_sub(used) < SIZE / 6,
                "{fstype}: {used} to {now}"
            );
            used = now;
            bench.check(&archive(&next));
            archives.push((archive(&next), fs::read(&bench.disk).unwrap()));
        }
        // What is its own, and what is freed when the older ones go, which share with each other, too.
        let mut list = Command::new(env!("CARGO_BIN_EXE_fleece"));
        let listed = support::succeed(list.args(["--json", "list"]).arg(&bench.target));
        let listed = support::text(&listed);
        let objects = listed
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let own: Vec<u64> = objects
            .filter_map(|object| object["own"].as_u64())
            .collect();
        assert_eq!(own.len(), 4, "{fstype}: {listed}");
        assert!(own.iter().all(|own| *own < SIZE / 4), "{fstype}: {own:?}");
        let mut prune = Command::new(env!("CARGO_BIN_EXE_fleece"));
        prune.args(["prune", "--dry-run", "--keep", "keep-last=1"]);
        let said = support::text(&support::succeed(prune.arg(&bench.target)));
        let frees = said
            .lines()
            .find_map(|line| line.split_once("of which "))
            .unwrap()
            .1;
        let (number, unit) = frees.split_once(' ').unwrap();
        assert!(
            unit.starts_with("KiB") || number.parse::<f64>().unwrap() < 6.0,
            "{fstype}: {said}"
        );
        // None needs another: each is restored when it is the only one.
        while let Some((path, disk)) = archives.pop() {
            fs::write(&bench.disk, &disk).unwrap();
            bench.check(&path);
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn where_nothing_can_be_shared_all_is_written() {
    let Some(mounted) = LoopMount::new("ext4") else {
        return;
    };
    let bench = Bench::new(mounted.path());
    // One of an older version has an index whose checksums say too little.
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vma-format/tests/data");
    for (from, to) in [
        ("single.vma", ".vma"),
        ("index-1/single.vma.idx", ".vma.idx"),
    ] {
        let to = format!("vzdump-qemu-100-2020_01_01-02_00_00{to}");
        fs::copy(golden.join(from), bench.target.join(to)).unwrap();
    }
    let (first, output) = bench.backup(&["--reuse"]);
    let said = support::text(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(first["shared"], Value::Null);
    assert!(
        said.contains("02_00_00.vma has no index, or one of an older version")
            && said.contains("`vma reframe`"),
        "{said}"
    );
    let (next, output) = bench.backup(&["--reuse"]);
    assert!(output.status.success(), "{}", support::text(&output));
    assert_eq!(next["shared"], 0);
    bench.check(&archive(&next));
}

#[test]
fn archives_that_were_not_made_to_be_shared_with_become_so_by_reframing() {
    let Some(mounted) = LoopMount::new("xfs") else {
        return;
    };
    let bench = Bench::new(mounted.path());
    let old = archive(&bench.backup(&[]).0);
    let (next, output) = bench.backup(&["--reuse"]);
    let said = support::text(&output);
    assert!(output.status.success(), "{said}");
    assert!(next["shared"].as_u64().unwrap() < SIZE / 4, "{said}");
    assert!(said.contains("is not aligned"), "{said}");
    fs::remove_file(archive(&next)).unwrap();
    // As other programs make them: without an index.
    fs::remove_file(format!("{}.idx", old.display())).unwrap();
    let packed = format!("{}.zst", old.display());
    support::succeed(Command::new("zstd").arg("-q").arg(&old));
    for (compress, old) in [("none", old.as_path()), ("zstd", Path::new(&packed))] {
        let options = ["--reuse", "--compress", compress];
        let (next, output) = bench.backup(&options);
        let said = support::text(&output);
        assert!(output.status.success(), "{said}");
        let told = format!("{} has no index", old.display());
        assert!(
            said.contains(&told) && said.contains("`vma reframe`"),
            "{said}"
        );
        fs::remove_file(archive(&next)).unwrap();
        let aligned = bench.state.path().join("aligned");
        let reframe = |options: &[&str], old: &Path, new: &Path| {
            let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
            support::succeed(vma.arg("reframe").args(options).arg(old).arg(new));
        };
        let seekable = bench.state.path().join("seekable");
        let from = match compress {
            // zstd's own has no places to begin at.
            "zstd" => {
                reframe(&[], old, &seekable);
                seekable.as_path()
            }
            _ => old,
        };
        reframe(&["--align", "--compress", compress], from, &aligned);
        let index = |path: &Path| format!("{}.idx", path.display());
        fs::copy(&aligned, old).unwrap();
        if compress == "none" {
            fs::copy(index(&aligned), index(old)).unwrap();
        }
        fs::remove_file(aligned).unwrap();
        let (next, output) = bench.backup(&options);
        let said = support::text(&output);
        assert!(output.status.success(), "{said}");
        assert!(
            next["shared"].as_u64().unwrap() > SIZE - (1 << 20),
            "{said}"
        );
        bench.check(&archive(&next));
        fs::remove_file(archive(&next)).unwrap();
    }
}

#[test]
fn of_a_damaged_base_nothing_wrong_is_taken_over() {
    let Some(mounted) = LoopMount::new("xfs") else {
        return;
    };
    let bench = Bench::new(mounted.path());
    let (first, _) = bench.backup(&["--reuse"]);
    let base = archive(&first);
    let index = PathBuf::from(format!("{}.idx", base.display()));
    let file = File::options().write(true).open(&base).unwrap();
    file.write_all_at(b"rotten", 10 << 20).unwrap();
    let (next, output) = bench.backup(&["--reuse"]);
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("it is damaged") && said.contains("fleece verify"),
        "{said}"
    );
    assert!(next["shared"].as_u64().unwrap() > SIZE / 2);
    bench.check(&archive(&next));
    // An index that says otherwise, belongs to another archive, or is none.
    fs::remove_file(archive(&next)).unwrap();
    let good = fs::read(&index).unwrap();
    let other = fs::read(format!("{}.idx", archive(&next).display())).unwrap();
    fs::remove_file(format!("{}.idx", archive(&next).display())).unwrap();
    for bad in [&good[..good.len() - 1], &other, b"VIX2"] {
        fs::write(&index, bad).unwrap();
        let (next, output) = bench.backup(&["--reuse"]);
        let said = support::text(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("cannot be a base"), "{said}");
        assert_eq!(next["shared"], Value::Null);
        bench.check(&archive(&next));
        fs::remove_file(archive(&next)).unwrap();
    }
}

#[test]
fn images_and_archives_are_packed_on_a_base_of_any_name() {
    let Some(mounted) = LoopMount::new("btrfs") else {
        return;
    };
    let bench = Bench::new(mounted.path());
    let (one, two) = (bench.target.join("one.vma"), bench.target.join("two.vma"));
    let disk = format!("format=raw:a={}", bench.disk.display());
    let vma = |arguments: &[&str]| {
        let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
        vma.args(arguments).output().unwrap()
    };
    let (base, new) = (one.to_str().unwrap(), two.to_str().unwrap());
    assert!(
        vma(&["create", "--align", base, "-d", &disk])
            .status
            .success()
    );
    let used = bench.used();
    let output = vma(&["create", "--reuse", base, new, "-d", &disk]);
    assert!(output.status.success(), "{output:?}");
    assert!(bench.used() - used < SIZE / 6);
    bench.check(&two);
    let output = vma(&[
        "create",
        "--reuse",
        base,
        "--compress",
        "zstd",
        "x",
        "-d",
        &disk,
    ]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = vma(&["create", "--reuse", "/nowhere", "x", "-d", &disk]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn extracting_or_restoring_an_aligned_archive_beside_it_takes_no_space() {
    for fstype in ["xfs", "btrfs"] {
        let Some(mounted) = LoopMount::new(fstype) else {
            return;
        };
        let bench = Bench::new(mounted.path());
        let (first, _) = bench.backup(&["--align"]);
        let archive = archive(&first);
        let used = bench.used();
        let extract = |target: &Path| {
            let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
            support::succeed(vma.arg("extract").arg(&archive).arg(target));
            let images = fs::read_dir(target)
                .unwrap()
                .map(|entry| entry.unwrap().path());
            let image = images.into_iter().find(|path| path.extension().is_some());
            assert!(fs::read(image.unwrap()).unwrap() == fs::read(&bench.disk).unwrap());
        };
        extract(&bench.target.join("there"));
        let more = bench.used().saturating_sub(used);
        assert!(more < SIZE / 6, "{fstype}: {more}");
        let used = bench.used();
        let restore = |target: &Path| {
            let mut fleece = Command::new(env!("CARGO_BIN_EXE_fleece"));
            fleece.arg("restore").arg(&archive).arg("--to").arg(target);
            // The guest has no configuration.
            let output = fleece.output().unwrap();
            assert_eq!(output.status.code(), Some(3), "{output:?}");
            let image = target.join("disk-drive-disk.raw");
            assert!(fs::read(image).unwrap() == fs::read(&bench.disk).unwrap());
        };
        restore(&bench.target.join("restored"));
        let more = bench.used().saturating_sub(used);
        assert!(more < SIZE / 6, "{fstype}: {more}");
        // Elsewhere it is copied.
        restore(&bench.state.path().join("restored"));
        extract(&bench.state.path().join("elsewhere"));
    }
}

#[test]
fn an_archive_that_is_the_base_of_a_backup_under_way_is_not_pruned() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::new(directory.path());
    let (first, _) = bench.backup(&["--reuse"]);
    bench.backup(&["--reuse"]);
    let held = fleece_backup_core::BaseArchive::open(&archive(&first)).unwrap();
    let prune = || {
        let mut fleece = Command::new(env!("CARGO_BIN_EXE_fleece"));
        fleece
            .args(["prune", "--keep", "keep-last=1"])
            .arg(&bench.target)
            .output()
            .unwrap()
    };
    let output = prune();
    let said = support::text(&output);
    assert!(
        !output.status.success() && said.contains("under way"),
        "{said}"
    );
    assert!(archive(&first).exists());
    drop(held);
    assert!(prune().status.success());
    assert!(!archive(&first).exists());
}
