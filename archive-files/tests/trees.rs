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

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, FileTimes, Permissions};
use std::ops::ControlFlow;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fleece_archive_files::{
    Cached, Entry, FileTree, Follow, Kind, Limits, NodeId, Volumes, Walk, resolve,
};
use support::{Loop, can, image, run, text};
use tempfile::TempDir;

/// What a file system keeps.
#[derive(Clone, Copy)]
struct Keeps {
    /// Modes, owners, any names, holes, attributes.
    all: bool,
    links: bool,
    /// Of a time, in nanoseconds.
    time: i128,
}

const ALL: Keeps = Keeps {
    all: true,
    links: true,
    time: 1,
};

const PLAIN: Keeps = Keeps {
    all: false,
    links: false,
    time: 4_000_000_000,
};

/// A tree of files that has what trees have.
fn fill(root: &Path, keeps: Keeps) {
    for directory in ["etc", "many", "with space/sub"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::write(root.join("etc/hostname"), "web\n").unwrap();
    fs::write(root.join("etc/empty"), "").unwrap();
    for number in 0..400 {
        let name = format!("many/a{} file {number:04}", "x".repeat(number % 50));
        fs::write(root.join(name), format!("{number}\n").repeat(number % 4)).unwrap();
    }
    let noise = |at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51) as u8;
    let noise: Vec<u8> = (0..700_001).map(noise).collect();
    fs::write(root.join("noise"), &noise).unwrap();
    fs::write(root.join("text"), "the quick brown fox\n".repeat(20_000)).unwrap();
    fs::write(root.join("ü-名前"), "a name").unwrap();
    if keeps.all {
        let within = |path: PathBuf, number| path.join(format!("d{number}"));
        let deep = (0..40).fold(root.join("deep"), within);
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("end"), "deep").unwrap();
        for name in [&b"n\xe4me"[..], b"\x1b[2J\n", &[b'n'; 250]] {
            fs::write(root.join(std::ffi::OsStr::from_bytes(name)), "odd").unwrap();
        }
        let sparse = File::create(root.join("sparse")).unwrap();
        for at in [0, 5 << 20, 3 << 30, (15 << 30) - 4096] {
            sparse.write_all_at(&noise[..4096], at).unwrap();
        }
        let owned = root.join("text");
        std::os::unix::fs::chown(&owned, Some(70_000), Some(80_000)).unwrap();
        fs::set_permissions(&owned, Permissions::from_mode(0o4750)).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&owned, "user.note", b"a note", flags).unwrap();
    }
    if keeps.links {
        symlink("etc/hostname", root.join("short")).unwrap();
        symlink(format!("{}end", "long/".repeat(40)), root.join("long")).unwrap();
        symlink("/etc/passwd", root.join("absolute")).unwrap();
        fs::hard_link(root.join("noise"), root.join("hard")).unwrap();
    }
    let nanoseconds = if keeps.time == 1 { 123_456_789 } else { 0 };
    let time = SystemTime::UNIX_EPOCH + Duration::new(981_173_106, nanoseconds);
    for name in ["text", "many"] {
        let times = FileTimes::new().set_modified(time);
        File::open(root.join(name))
            .unwrap()
            .set_times(times)
            .unwrap();
    }
}

fn below(root: &Path, within: &Path, found: &mut BTreeMap<Vec<u8>, PathBuf>) {
    for entry in fs::read_dir(root.join(within)).unwrap() {
        let entry = entry.unwrap();
        let path = within.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            below(root, &path, found);
        }
        found.insert(path.clone().into_os_string().into_vec(), root.join(path));
    }
}

/// That a tree has exactly what is below a directory, and an attribute; how many entries.
fn compare(tree: &dyn FileTree, root: &Path, keeps: Keeps) -> usize {
    if keeps.all {
        let text = resolve(tree, b"/text", Follow::Links).unwrap();
        let note = (b"user.note".to_vec(), b"a note".to_vec());
        assert!(tree.attributes(text).unwrap().contains(&note));
    }
    compare_content(tree, root, keeps)
}

/// The same without the attribute.
fn compare_content(tree: &dyn FileTree, root: &Path, keeps: Keeps) -> usize {
    let mut expected = BTreeMap::new();
    below(root, Path::new(""), &mut expected);
    expected.remove(&b"lost+found"[..]);
    let all = expected.len();
    let mut walk = Walk::new(tree, tree.root(), Limits::default());
    while let Some(found) = walk.next() {
        if matches!(&found.path[..], b"lost+found") {
            walk.leave();
            continue;
        }
        if found.path.is_empty() {
            continue;
        }
        let name = String::from_utf8_lossy(&found.path).into_owned();
        assert!(found.unread.is_none(), "{name}: {:?}", found.unread);
        let stat = found.stat.unwrap();
        let path = expected.remove(&found.path);
        let path = path.unwrap_or_else(|| panic!("{name} is too much"));
        let real = fs::symlink_metadata(&path).unwrap();
        let time = i128::from(real.mtime()) * 1_000_000_000 + i128::from(real.mtime_nsec());
        let told = i128::from(stat.modified.seconds) * 1_000_000_000
            + i128::from(stat.modified.nanoseconds);
        assert!(
            (time - told).abs() < keeps.time,
            "{name}: {told}, not {time}"
        );
        if keeps.all {
            assert_eq!(stat.permissions, real.mode() & 0o7777, "{name}");
            assert_eq!((stat.uid, stat.gid), (real.uid(), real.gid()), "{name}");
        }
        match stat.kind {
            Kind::File => {
                assert_eq!((true, stat.size), (real.is_file(), real.len()), "{name}");
                if keeps.links {
                    assert_eq!(u64::from(stat.links), real.nlink(), "{name}");
                }
                same(
                    tree,
                    found.node,
                    &File::open(&path).unwrap(),
                    stat.size,
                    &name,
                );
            }
            Kind::Link => {
                let target = fs::read_link(&path).unwrap();
                assert_eq!(
                    tree.link(found.node).unwrap(),
                    target.as_os_str().as_bytes()
                );
            }
            _ => assert!(real.is_dir(), "{name}"),
        }
    }
    assert!(
        expected.is_empty(),
        "missing: {:?}",
        expected.values().next()
    );
    all
}

/// That a file has the content that it should have, and only that is stored.
fn same(tree: &dyn FileTree, node: NodeId, real: &File, size: u64, name: &str) {
    let (mut next, mut stored) = (0, 0);
    let (mut is, mut should) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut equal = |at: u64, end: u64| {
        let len = (end - at).min(1 << 20) as usize;
        let read = tree.read_at(node, at, &mut is[..len]).unwrap();
        real.read_exact_at(&mut should[..len], at).unwrap();
        assert!(read == len && is[..len] == should[..len], "{name} at {at}");
        at + len as u64
    };
    while let Some(range) = tree.data_at(node, next).unwrap() {
        assert!(range.start >= next && range.end > range.start && range.end <= size);
        let mut at = range.start;
        while at < range.end {
            at = equal(at, range.end);
        }
        stored += range.end - range.start;
        next = range.end;
    }
    if size < 1 << 30 {
        // What is not told to be stored is zeroes, there and here.
        let mut at = 0;
        while at < size {
            at = equal(at, size);
        }
    } else {
        assert!(stored < 1 << 20, "{name}: {stored} bytes are stored");
        equal(1 << 33, (1 << 33) + 4096);
    }
}

/// A mounted file system.
struct Mounted(PathBuf);

impl Mounted {
    fn new(folder: &TempDir, image: &Path, program: &[&str]) -> Self {
        let place = folder.path().join("mounted");
        fs::create_dir_all(&place).unwrap();
        run(
            program[0],
            &[&program[1..], &[text(image), text(&place)]].concat(),
        );
        Self(place)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn opened(image: &Path) -> Box<dyn FileTree> {
    let disk = Arc::new(Cached::new(Arc::new(File::open(image).unwrap()), 1 << 24));
    let found = Volumes::find(vec![("disk".to_owned(), disk)]);
    found.named("disk").unwrap().open().unwrap()
}

/// Fills a file system through the kernel, and reads it clean, and not unmounted if its journal is replayed.
fn by_the_kernel(make: &[&str], mount: &[&str], replays: bool) {
    if !can(&[make[0]]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = image(&folder, "image", 320);
    run(make[0], &[&make[1..], &[text(&path)]].concat());
    let mounted = Mounted::new(&folder, &path, mount);
    fill(&mounted.0, ALL);
    run("sync", &[]);
    if replays {
        // What comes now is in the journal, and much of it in no other place yet.
        fs::write(mounted.0.join("more"), "and more").unwrap();
        fs::create_dir(mounted.0.join("new")).unwrap();
        fs::rename(mounted.0.join("ü-名前"), mounted.0.join("new/name")).unwrap();
        fs::remove_file(mounted.0.join("etc/empty")).unwrap();
        for name in ["new", "more"] {
            File::open(mounted.0.join(name))
                .unwrap()
                .sync_all()
                .unwrap();
        }
        let dirty = folder.path().join("dirty");
        // Once nothing was written back meanwhile.
        let is_same = || {
            let mut compare = Command::new("cmp");
            compare
                .args(["-s", text(&path), text(&dirty)])
                .status()
                .unwrap()
                .success()
        };
        loop {
            run("cp", &["--sparse=always", text(&path), text(&dirty)]);
            if is_same() {
                break;
            }
        }
        let tree = opened(&dirty);
        let notes = tree.notes();
        assert!(
            notes.iter().any(|note| note.contains("replayed in memory")),
            "{notes:?}"
        );
        assert!(compare(&*tree, &mounted.0, ALL) > 450);
    }
    let reference = folder.path().join("reference");
    run(
        "cp",
        &["-a", "--sparse=always", text(&mounted.0), text(&reference)],
    );
    drop(mounted);
    let tree = opened(&path);
    assert!(compare(&*tree, &reference, ALL) > 450);
    assert!(tree.notes().is_empty(), "{:?}", tree.notes());
}

const LOOP: [&str; 3] = ["mount", "-o", "loop"];

#[test]
fn ext4_is_read_and_its_journal_replayed() {
    by_the_kernel(&["mkfs.ext4", "-q", "-F"], &LOOP, true);
    let features = "inline_data,meta_bg,^resize_inode,bigalloc";
    by_the_kernel(&["mkfs.ext4", "-q", "-F", "-O", features], &LOOP, false);
}

#[test]
fn ext2_and_ext3_are_read_with_their_holes() {
    for make in ["mkfs.ext2", "mkfs.ext3"] {
        by_the_kernel(&[make, "-q", "-F", "-I", "256", "-b", "1024"], &LOOP, false);
    }
}

#[test]
fn xfs_is_read_and_its_log_replayed() {
    by_the_kernel(&["mkfs.xfs", "-q"], &LOOP, true);
    by_the_kernel(
        &["mkfs.xfs", "-q", "-n", "size=8192", "-i", "size=1024"],
        &LOOP,
        false,
    );
}

#[test]
fn btrfs_is_read_however_it_is_compressed() {
    for compression in ["none", "zlib", "lzo", "zstd"] {
        let option = format!("loop,compress-force={compression}");
        by_the_kernel(&["mkfs.btrfs", "-q"], &["mount", "-o", &option], false);
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
    assert!(compare_content(&*tree, &reference, ALL) > 900);
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
    drop(mounted);
    drop(device);
    assert!(compare(&*opened(&path), &reference, keeps) > 400);
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
    fs::write(packed.join("text:more"), "a stream").unwrap();
    drop(mounted);
    let tree = opened(&path);
    let loose = Keeps {
        time: i128::MAX,
        ..keeps
    };
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
        assert!(compare(&*opened(&path), &source, PLAIN) > 400);
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
