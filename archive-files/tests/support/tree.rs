//! A tree of files that has what trees have, and how one that was read is compared with what there is.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{
    FileExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fleece_archive_files::{FileTree, Kind, Limits, NodeId, Walk};

/// What a file system keeps.
#[derive(Clone, Copy)]
pub(crate) struct Keeps {
    /// Modes, owners, any names, holes, attributes.
    pub(crate) all: bool,
    pub(crate) links: bool,
    /// Of a time, in nanoseconds.
    pub(crate) time: i128,
    /// Also what a copy elsewhere does not have: when inodes were changed, how many names directories have.
    pub(crate) exact: bool,
}

pub(crate) const ALL: Keeps = Keeps {
    all: true,
    links: true,
    time: 1,
    exact: true,
};

/// What a copy on another file system has of that.
pub(crate) const COPY: Keeps = Keeps {
    exact: false,
    ..ALL
};

pub(crate) const PLAIN: Keeps = Keeps {
    all: false,
    links: false,
    time: 4_000_000_000,
    exact: false,
};

/// A tree of files that has what trees have.
pub(crate) fn fill(root: &Path, keeps: Keeps) {
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
        special(root);
        attributes(root);
    }
    if keeps.links {
        symlink("etc/hostname", root.join("short")).unwrap();
        symlink(format!("{}end", "long/".repeat(40)), root.join("long")).unwrap();
        symlink("/etc/passwd", root.join("absolute")).unwrap();
        fs::hard_link(root.join("noise"), root.join("hard")).unwrap();
    }
    let nanoseconds = if keeps.time == 1 { 123_456_789 } else { 0 };
    let time = SystemTime::UNIX_EPOCH + Duration::new(981_173_106, nanoseconds);
    let set = |name: &str, time: SystemTime| {
        let times = FileTimes::new().set_modified(time);
        let file = File::open(root.join(name)).unwrap();
        file.set_times(times).unwrap();
    };
    set("text", time);
    set("many", time);
    if keeps.all {
        set(
            "deep/d0",
            SystemTime::UNIX_EPOCH - Duration::new(1_500_000_000, 1),
        );
        set("deep/d0/d1", SystemTime::UNIX_EPOCH - Duration::new(0, 5));
        set(
            "etc",
            SystemTime::UNIX_EPOCH + Duration::new(4_294_967_301, 77),
        );
    }
}

/// What is no file, a link as long as a block, room for what was never written, and a hole that was made.
fn special(root: &Path) {
    use rustix::fs::{CWD, FallocateFlags, FileType, Mode, fallocate, makedev, mknodat};
    for (name, kind, device) in [
        ("fifo", FileType::Fifo, 0),
        ("character", FileType::CharacterDevice, makedev(4, 65)),
        ("block", FileType::BlockDevice, makedev(259, 70_000)),
    ] {
        mknodat(CWD, root.join(name), kind, Mode::from(0o640), device).unwrap();
    }
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    symlink("a-link/".repeat(146) + "e", root.join("longest")).unwrap();
    let room = File::create(root.join("room")).unwrap();
    room.write_all_at(b"what is there", 0).unwrap();
    // ext2 and ext3 cannot.
    let _ = fallocate(&room, FallocateFlags::empty(), 0, 300_000);
    let _ = fallocate(&room, FallocateFlags::KEEP_SIZE, 0, 600_000);
    let _ = room.write_all_at(&[7; 5000], 100_000);
    let holed = File::create(root.join("holed")).unwrap();
    holed.write_all_at(&[9; 200_000], 0).unwrap();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let _ = fallocate(&holed, punch, 50_000, 100_000);
}

/// Extended attributes in the inode and elsewhere, and access control lists.
fn attributes(root: &Path) {
    let set = |name: &str, key: &str, value: &[u8]| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(root.join(name), key, value, flags)
    };
    set("text", "user.note", b"a note").unwrap();
    for number in 0..12_u8 {
        let name = format!("user.{}{number}", "n".repeat(usize::from(number) * 3));
        set("noise", &name, &[number; 40]).unwrap();
    }
    set("etc/hostname", "trusted.it", b"\0\xff").unwrap();
    // Not everywhere there is room for these.
    let _ = set("etc/empty", "user.long", &[3; 2500]);
    let _ = set("holed", "user.longest", &[4; 14_000]);
    for number in 0..60 {
        let _ = set("holed", &format!("user.{number}"), &[5; 150]);
    }
    let list = |rules: &[(u16, u16, u32)]| {
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, allowed, id) in rules {
            list.extend([tag.to_le_bytes(), allowed.to_le_bytes()].concat());
            list.extend(id.to_le_bytes());
        }
        list
    };
    let none = u32::MAX;
    let named = [(1, 7, none), (2, 5, 1000), (2, 4, 70_000), (4, 5, none)];
    let rest = [(8, 4, 2000), (16, 7, none), (32, 0, none)];
    let access = list(&[&named[..], &rest].concat());
    set("etc/hostname", "system.posix_acl_access", &access).unwrap();
    set("etc", "system.posix_acl_default", &access).unwrap();
}

/// The attributes that the kernel shows of a file or directory, but those that XFS shows a second time.
fn of_the_kernel(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 64 << 10];
    let len = rustix::fs::llistxattr(path, &mut names).unwrap();
    let names = names[..len].split(|byte| *byte == 0);
    let names = names.filter(|name| !name.is_empty() && !name.starts_with(b"trusted.SGI_ACL_"));
    let mut all: Vec<_> = names
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let len = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
            value.truncate(len);
            (name.to_vec(), value)
        })
        .collect();
    all.sort();
    all
}

pub(crate) fn below(root: &Path, within: &Path, found: &mut BTreeMap<Vec<u8>, PathBuf>) {
    for entry in fs::read_dir(root.join(within)).unwrap() {
        let entry = entry.unwrap();
        let path = within.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            below(root, &path, found);
        }
        found.insert(path.clone().into_os_string().into_vec(), root.join(path));
    }
}

/// That a tree has exactly what is below a directory; how many entries.
pub(crate) fn compare(tree: &dyn FileTree, root: &Path, keeps: Keeps) -> usize {
    let mut expected = BTreeMap::new();
    below(root, Path::new(""), &mut expected);
    expected.remove(&b"lost+found"[..]);
    let all = expected.len();
    let mut names = HashMap::new();
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
            let device = rustix::fs::makedev(stat.device.0, stat.device.1);
            assert_eq!(device, real.rdev(), "{name}");
        }
        if keeps.exact {
            let mut told = tree.attributes(found.node).unwrap();
            told.sort();
            assert!(told == of_the_kernel(&path), "{name}: {told:?}");
            let changed = (stat.changed.seconds, i64::from(stat.changed.nanoseconds));
            assert_eq!(changed, (real.ctime(), real.ctime_nsec()), "{name}");
            assert_eq!(u64::from(stat.links), real.nlink(), "{name}");
        }
        if keeps.links && !real.is_dir() {
            let known = names.entry((real.dev(), real.ino())).or_insert(found.node);
            assert_eq!(*known, found.node, "{name}");
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
            kind => {
                let real = real.file_type();
                let is_same = match kind {
                    Kind::Fifo => real.is_fifo(),
                    Kind::Socket => real.is_socket(),
                    Kind::Character => real.is_char_device(),
                    Kind::Block => real.is_block_device(),
                    _ => real.is_dir(),
                };
                assert!(is_same, "{name}: {kind:?}");
            }
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
pub(crate) fn same(tree: &dyn FileTree, node: NodeId, real: &File, size: u64, name: &str) {
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
