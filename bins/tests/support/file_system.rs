//! An archive of a disk with a file system that has what trees have, and how trees are compared.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{SeekFrom, seek};
use tempfile::TempDir;

use super::support::{disk, ok, path};

/// A name that is no text, and would clear a terminal.
pub(crate) const ODD: &[u8] = b"no\xfftext\x1b[2J\n";

/// The size of a file of which almost nothing is stored.
pub(crate) const TERABYTE: u64 = 1 << 40;

/// What is in the middle of it.
pub(crate) static STORED: [u8; 100_000] = [7; 100_000];

pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What the system's own tool has filled; its disk is `a`. The same is in `tree`.
pub(crate) fn with_file_system(dir: &TempDir) -> String {
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("etc/deep")).unwrap();
    fs::create_dir(tree.join("many")).unwrap();
    for number in 0..2000 {
        fs::write(tree.join(format!("many/{number}")), "").unwrap();
    }
    fs::write(tree.join("etc/hostname"), "web\n").unwrap();
    fs::write(tree.join("etc/deep/data"), disk(300_000)).unwrap();
    fs::hard_link(tree.join("etc/hostname"), tree.join("etc/deep/other")).unwrap();
    symlink("hostname", tree.join("etc/link")).unwrap();
    symlink("/etc/shadow", tree.join("etc/elsewhere")).unwrap();
    fs::write(tree.join(OsStr::from_bytes(ODD)), "odd").unwrap();
    let secret = tree.join("etc/secret");
    fs::write(&secret, "for root only").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    sparse.set_len(TERABYTE).unwrap();
    sparse.write_all_at(&STORED, TERABYTE / 2).unwrap();
    succeeds("mkfifo", &[tree.join("fifo").to_str().unwrap()]);
    let image = path(dir, "ext4.raw");
    let of = tree.display().to_string();
    // mke2fs keeps no more of times than seconds.
    let touch = ["-exec", "touch", "-h", "-d", "@1700000000", "{}", "+"];
    succeeds("find", &[&[&*of][..], &touch].concat());
    succeeds(
        "mke2fs",
        &["-q", "-t", "ext4", "-L", "root", "-d", &of, &image, "24M"],
    );
    let to = path(dir, "ext4.vma");
    ok(&["create", &to, "-d", &format!("format=raw:a={image}")]);
    to
}

/// Everything below a directory but times of access: names, kinds, modes, owners, sizes, times, numbers of links, targets.
/// How large a directory is, and where its own file system keeps what it finds, are different in another one.
pub(crate) fn found(folder: &Path) -> Vec<String> {
    let format = "%P\\t%y %m %U %G %s %T@ %n %l\\0";
    let lost = ["-name", "lost+found", "-prune", "-o"];
    let directories = ["-type", "d", "-printf", "%P\\t%y %m %U %G %T@\\0", "-o"];
    let mut find = Command::new("find");
    find.arg(folder).args(lost).args(directories);
    let output = find.args(["-printf", format]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = output.stdout.split(|byte| *byte == 0);
    let mut lines: Vec<_> = lines.map(|line| line.escape_ascii().to_string()).collect();
    lines.sort();
    lines
}

/// Where bytes are stored in a file.
pub(crate) fn data(file: &Path) -> Vec<(u64, u64)> {
    let file = File::open(file).unwrap();
    let (mut ranges, mut at) = (Vec::new(), 0);
    while let Ok(start) = seek(&file, SeekFrom::Data(at)) {
        at = seek(&file, SeekFrom::Hole(start)).unwrap();
        ranges.push((start, at));
    }
    ranges
}
