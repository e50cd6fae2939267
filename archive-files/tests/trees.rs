//! File systems that Debian's own programs made, and the kernel or they have filled: every entry's content, link, mode and
//! time is read as it was written.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests may panic"
)]

#[path = "support/mounted.rs"]
mod mounted;
mod support;
#[path = "support/tree.rs"]
mod tree;

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fleece_archive_files::{Entry, Follow, Volumes, resolve};
use mounted::{Mounted, opened};
use support::{Loop, can, image, run, text};
use tempfile::TempDir;
use tree::{ALL, COPY, Keeps, PLAIN, compare, fill};

/// What a file system that is in use is read as.
#[derive(Clone, Copy, PartialEq)]
enum InUse {
    /// With all that was synced: its journal is replayed.
    Replayed,
    /// As it was at its last commit, without what its log has.
    WithoutLog,
    /// As it is in its place.
    InPlace,
}

/// A copy of an image while it is mounted, once nothing was written back meanwhile.
fn copy_in_use(folder: &TempDir, image: &Path) -> PathBuf {
    let copy = folder.path().join("in-use");
    let is_same = || {
        let mut compare = Command::new("cmp");
        compare.args(["-s", text(image), text(&copy)]);
        compare.status().unwrap().success()
    };
    loop {
        run("cp", &["--sparse=always", text(image), text(&copy)]);
        if is_same() {
            return copy;
        }
    }
}

/// Fills a file system through the kernel, and reads it while it is in use, and when it was unmounted.
fn by_the_kernel(make: &[&str], mount: &[&str], in_use: InUse) {
    if !can(&[make[0]]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = image(&folder, "image", 320);
    run(make[0], &[&make[1..], &[text(&path)]].concat());
    let mounted = Mounted::new(&folder, &path, mount);
    let at = |name: &str| mounted.0.join(name);
    fill(&mounted.0, ALL);
    run("sync", &["-f", text(&mounted.0)]);
    let sync = |name: &str| File::open(at(name)).unwrap().sync_all().unwrap();
    let told = match in_use {
        InUse::Replayed => {
            // What comes now is in the journal, and much of it in no other place yet.
            fs::write(at("more"), "and more").unwrap();
            fs::create_dir(at("new")).unwrap();
            fs::rename(at("ü-名前"), at("new/name")).unwrap();
            fs::remove_file(at("etc/empty")).unwrap();
            sync("new");
            sync("more");
            "replayed in memory"
        }
        InUse::WithoutLog => {
            let before = fs::metadata(&mounted.0).unwrap().modified().unwrap();
            fs::write(at("more"), "and more").unwrap();
            sync("more");
            fs::remove_file(at("more")).unwrap();
            let times = FileTimes::new().set_modified(before);
            File::open(&mounted.0).unwrap().set_times(times).unwrap();
            "its log is not replayed"
        }
        InUse::InPlace => "it was not unmounted",
    };
    let copy = copy_in_use(&folder, &path);
    let tree = opened(&copy);
    let notes = tree.notes();
    assert!(notes.concat().contains(told), "{notes:?}");
    // When the top directory was changed last is not what it was.
    let keeps = match in_use {
        InUse::WithoutLog => COPY,
        _ => ALL,
    };
    assert!(compare(&*tree, &mounted.0, keeps) > 450);
    drop(mounted);
    let tree = opened(&path);
    assert!(tree.notes().is_empty(), "{:?}", tree.notes());
    let mounted = Mounted::new(&folder, &path, &["mount", "-o", "loop,ro"]);
    assert!(compare(&*tree, &mounted.0, ALL) > 450);
}

const LOOP: [&str; 3] = ["mount", "-o", "loop"];

#[test]
fn ext4_is_read_and_its_journal_replayed() {
    by_the_kernel(&["mkfs.ext4", "-q", "-F"], &LOOP, InUse::Replayed);
    let features = "inline_data,meta_bg,^resize_inode,bigalloc,ea_inode";
    let make = ["mkfs.ext4", "-q", "-F", "-O", features];
    by_the_kernel(&make, &LOOP, InUse::Replayed);
}

#[test]
fn ext3_is_read_with_its_holes_and_its_journal_replayed() {
    let make = ["mkfs.ext3", "-q", "-F", "-I", "256", "-b", "1024"];
    by_the_kernel(&make, &LOOP, InUse::Replayed);
}

#[test]
fn ext2_is_read_with_its_holes() {
    let make = ["mkfs.ext2", "-q", "-F", "-I", "256", "-b", "1024"];
    by_the_kernel(&make, &LOOP, InUse::InPlace);
}

#[test]
fn xfs_is_read_and_its_log_replayed() {
    by_the_kernel(&["mkfs.xfs", "-q"], &LOOP, InUse::Replayed);
    let make = ["mkfs.xfs", "-q", "-n", "size=8192", "-i", "size=1024"];
    by_the_kernel(&make, &LOOP, InUse::Replayed);
    // With links and attributes that are longer than a block.
    let make = ["mkfs.xfs", "-q", "-b", "size=1024"];
    by_the_kernel(&make, &LOOP, InUse::Replayed);
}

#[test]
fn btrfs_is_read_however_it_is_compressed() {
    for compression in ["none", "zlib", "lzo", "zstd"] {
        let option = format!("loop,compress-force={compression}");
        let mount = ["mount", "-o", &option];
        by_the_kernel(&["mkfs.btrfs", "-q"], &mount, InUse::WithoutLog);
    }
}

#[test]
fn subvolumes_and_snapshots_of_btrfs_are_directories_with_what_they_had() {
    if !can(&["mkfs.btrfs", "btrfs"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = image(&folder, "image", 320);
    run("mkfs.btrfs", &["-q", text(&path)]);
    let mounted = Mounted::new(&folder, &path, &LOOP);
    let at = |name: &str| mounted.0.join(name);
    let subvolume = |arguments: &[&str]| {
        run("btrfs", &[&["-q", "subvolume"], arguments].concat());
    };
    subvolume(&["create", text(&at("@"))]);
    fill(&at("@"), ALL);
    fs::create_dir(at("snapshots")).unwrap();
    subvolume(&["snapshot", "-r", text(&at("@")), text(&at("snapshots/1"))]);
    fs::write(at("@/etc/hostname"), "other\n").unwrap();
    fs::remove_file(at("@/text")).unwrap();
    subvolume(&["create", text(&at("@/var"))]);
    fs::write(at("@/var/log"), "a line\n").unwrap();
    // Numbers of inodes repeat: these are others of the same number.
    fs::write(at("first"), "not in a subvolume").unwrap();
    let reference = folder.path().join("reference");
    run(
        "cp",
        &["-a", "--sparse=always", text(&mounted.0), text(&reference)],
    );
    drop(mounted);
    let tree = opened(&path);
    assert!(compare(&*tree, &reference, COPY) > 900);
    let content = |path: &[u8]| {
        let node = resolve(&*tree, path, Follow::Links).unwrap();
        let mut buffer = [0; 16];
        let read = tree.read_at(node, 0, &mut buffer).unwrap();
        buffer[..read].to_vec()
    };
    assert_eq!(content(b"/@/etc/hostname"), b"other\n");
    assert_eq!(content(b"/snapshots/1/etc/hostname"), b"web\n");
    assert_eq!(content(b"/@/var/log"), b"a line\n");
}

#[test]
fn a_directory_of_100_000_entries_is_listed_whole() {
    for make in [
        ["mkfs.ext4", "-F"],
        ["mkfs.xfs", "-f"],
        ["mkfs.btrfs", "-f"],
    ] {
        if !can(&[make[0]]) {
            return;
        }
        let folder = TempDir::new().unwrap();
        let path = image(&folder, "image", 320);
        run(make[0], &[make[1], "-q", text(&path)]);
        let mounted = Mounted::new(&folder, &path, &LOOP);
        let many = mounted.0.join("many");
        fs::create_dir(&many).unwrap();
        let name = |number: usize| format!("entry {number}");
        for number in 0..100_000 {
            let new = many.join(name(number));
            // Names of few files are made soonest; one file has room for less than 65,000.
            match number {
                0..4 => fs::write(new, number.to_string()).unwrap(),
                _ => fs::hard_link(many.join(name(number % 4)), new).unwrap(),
            }
        }
        let is_gone = |number: usize| number % 1000 == 999;
        for number in (0..100_000).filter(|number| is_gone(*number)) {
            fs::remove_file(many.join(name(number))).unwrap();
        }
        drop(mounted);
        let tree = opened(&path);
        let directory = resolve(&*tree, b"/many", Follow::Links).unwrap();
        let mut listed = BTreeSet::new();
        let each = &mut |entry: Entry| {
            assert!(listed.insert(entry.name));
            ControlFlow::Continue(())
        };
        tree.list(directory, each).unwrap();
        let left = (0..100_000).filter(|number| !is_gone(*number));
        let left: BTreeSet<_> = left.map(|number| name(number).into_bytes()).collect();
        assert!(listed == left, "{make:?}: {}", listed.len());
        let last = tree.find(directory, name(99_998).as_bytes()).unwrap();
        let mut content = [0; 4];
        assert_eq!(tree.read_at(last.unwrap(), 0, &mut content).unwrap(), 1);
        assert_eq!(content[0], b'2');
        let gone = tree.find(directory, name(99_999).as_bytes()).unwrap();
        assert_eq!(gone, None);
    }
}

#[test]
fn exfat_is_read() {
    if !can(&["mkfs.exfat", "mount.exfat-fuse"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = image(&folder, "image", 64);
    run("mkfs.exfat", &["-L", "a label", text(&path)]);
    let device = Loop::new(&path);
    let mounted = Mounted::new(&folder, Path::new(&device.0), &["mount.exfat-fuse"]);
    let keeps = Keeps {
        time: i128::MAX,
        ..PLAIN
    };
    fill(&mounted.0, keeps);
    // In pieces all over the disk.
    let pieces = ["one", "other"].map(|name| File::create(mounted.0.join(name)).unwrap());
    for round in 0..40_u8 {
        for (file, at) in pieces.iter().zip(0..) {
            let place = u64::from(round) * 5000;
            file.write_all_at(&[round * 2 + at; 5000], place).unwrap();
        }
    }
    drop(pieces);
    let reference = folder.path().join("reference");
    run("cp", &["-a", text(&mounted.0), text(&reference)]);
    run("sync", &["-f", text(&mounted.0)]);
    let tree = opened(&copy_in_use(&folder, &path));
    assert!(tree.notes().concat().contains("it was not unmounted"));
    assert!(compare(&*tree, &reference, keeps) > 400);
    drop(mounted);
    drop(device);
    let tree = opened(&path);
    assert!(tree.notes().is_empty(), "{:?}", tree.notes());
    assert!(compare(&*tree, &reference, keeps) > 400);
}

#[test]
fn ntfs_is_read_with_what_it_compresses() {
    if !can(&["mkntfs", "ntfs-3g", "setfattr"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = image(&folder, "image", 64);
    run("mkntfs", &["-F", "-q", "-L", "a label", text(&path)]);
    let how = ["ntfs-3g", "-o", "compression,streams_interface=windows"];
    let mounted = Mounted::new(&folder, &path, &how);
    let keeps = Keeps {
        links: true,
        time: 100,
        ..PLAIN
    };
    fill(&mounted.0, keeps);
    let packed = mounted.0.join("packed");
    fs::create_dir(&packed).unwrap();
    // The attribute by which what is made in it is compressed.
    let attribute = ["-h", "-n", "system.ntfs_attrib_be", "-v", "0x00000810"];
    run("setfattr", &[&attribute[..], &[text(&packed)]].concat());
    for name in ["text", "noise"] {
        fs::copy(mounted.0.join(name), packed.join(name)).unwrap();
    }
    let stored = fs::metadata(packed.join("text")).unwrap().blocks();
    assert!(stored < 500, "it is not compressed: {stored}");
    let reference = folder.path().join("reference");
    run("cp", &["-a", text(&mounted.0), text(&reference)]);
    let loose = Keeps {
        time: i128::MAX,
        ..keeps
    };
    run("sync", &["-f", text(&mounted.0)]);
    let in_use = opened(&copy_in_use(&folder, &path));
    assert!(compare(&*in_use, &reference, loose) > 400);
    fs::write(packed.join("text:more"), "a stream").unwrap();
    drop(mounted);
    let tree = opened(&path);
    assert!(compare(&*tree, &reference, loose) > 400);
    let node = resolve(&*tree, b"/Packed/TEXT", Follow::Links).unwrap();
    assert_eq!(tree.streams(node).unwrap(), [(b"more".to_vec(), 8)]);
}

#[test]
fn fat_is_read_in_all_widths() {
    if !can(&["mkfs.vfat", "mcopy"]) {
        return;
    }
    for (width, size) in [("12", 2), ("16", 20), ("32", 80)] {
        let folder = TempDir::new().unwrap();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        fill(&source, PLAIN);
        let path = image(&folder, "image", size);
        run(
            "mkfs.vfat",
            &["-F", width, "-s", "1", "-n", "LABEL", text(&path)],
        );
        for entry in fs::read_dir(&source).unwrap() {
            let entry = entry.unwrap().path();
            run(
                "mcopy",
                &["-s", "-m", "-i", text(&path), text(&entry), "::"],
            );
        }
        let tree = opened(&path);
        assert!(tree.notes().is_empty(), "{:?}", tree.notes());
        assert!(compare(&*tree, &source, PLAIN) > 400);
        // As Linux notes that it is mounted; nothing here can.
        let disk = File::options().write(true).open(&path).unwrap();
        let place = if width == "32" { 65 } else { 37 };
        disk.write_all_at(&[1], place).unwrap();
        let tree = opened(&path);
        assert!(tree.notes().concat().contains("it was not unmounted"));
        assert!(compare(&*tree, &source, PLAIN) > 400);
    }
}

#[test]
fn iso_9660_is_read_with_rock_ridge_and_joliet() {
    if !can(&["genisoimage"]) {
        return;
    }
    for options in [&["-R"][..], &["-R", "-J"], &["-J"]] {
        let folder = TempDir::new().unwrap();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        let links = options[0] == "-R";
        fill(&source, Keeps { links, ..PLAIN });
        let path = folder.path().join("image");
        let rest = ["-o", text(&path), text(&source)];
        run(
            "genisoimage",
            &[&["-quiet", "-V", "LABEL"], options, &rest].concat(),
        );
        assert!(compare(&*opened(&path), &source, PLAIN) > 400);
    }
}

#[test]
fn partitions_are_found_by_the_copy_of_their_table_and_in_extended_ones() {
    if !can(&["sfdisk"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = image(&folder, "image", 64);
    let table = |script: &str| {
        let input = folder.path().join("script");
        fs::write(&input, script).unwrap();
        let mut command = Command::new("sfdisk");
        let command = command
            .arg("-q")
            .arg(&path)
            .stdin(File::open(&input).unwrap());
        assert!(command.status().unwrap().success());
    };
    let found = || {
        let disk = Arc::new(File::open(&path).unwrap());
        Volumes::find(vec![("scsi0".to_owned(), disk)])
    };
    let names = || -> Vec<String> {
        let name = |volume: &fleece_archive_files::Volume| {
            format!("{} {}", volume.name, volume.size >> 20)
        };
        found().volumes.iter().map(name).collect()
    };
    table("label: gpt\nstart=2048, size=20480\nstart=40960, size=40960\n");
    let all = ["scsi0 64", "scsi0:1 10", "scsi0:2 20"];
    assert_eq!(names(), all);
    // Without the first one.
    let disk = File::options().read(true).write(true).open(&path).unwrap();
    disk.write_all_at(&[0; 512], 512).unwrap();
    assert_eq!(names(), all);
    assert!(
        found().warnings[0].contains("copy"),
        "{:?}",
        found().warnings
    );
    disk.write_all_at(&vec![0; 64 << 20], 0).unwrap();
    table(
        "label: dos\nstart=2048, size=20480, type=83\nstart=22528, size=100000, type=5\n\
         start=24576, size=20480, type=83\nstart=47104, size=10240, type=83\n",
    );
    assert_eq!(
        names(),
        ["scsi0 64", "scsi0:1 10", "scsi0:5 10", "scsi0:6 5"]
    );
    // A chain that goes round in a circle: behind the second comes the first.
    let mut sector = [0; 512];
    disk.read_exact_at(&mut sector, 22528 * 512).unwrap();
    let next = u32::from_le_bytes(sector[470..474].try_into().unwrap());
    let mut entry = [0; 16];
    (entry[4], entry[12]) = (5, 1);
    let place = (22528 + u64::from(next)) * 512 + 462;
    disk.write_all_at(&entry, place).unwrap();
    assert_eq!(names().len(), 4);
    assert!(
        found().warnings[0].contains("circle"),
        "{:?}",
        found().warnings
    );
}
