//! `vma files`: the command itself. What is in file systems is compared in `archive-files/tests`.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[path = "support/file_system.rs"]
mod file_system;
#[path = "support/vma.rs"]
mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;

use file_system::{ODD, TERABYTE, data, found, succeeds, with_file_system};
use serde_json::{Value, json};
use support::{fails, ok, path, run, vma};
use tempfile::TempDir;

/// Whether files can have the owners that they had.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        fleece_lab::skip("only root gives files to others");
    }
    root
}

/// That two trees are one, and that files have the same content and holes.
fn same(one: &Path, other: &Path) {
    let (wanted, there) = (found(one), found(other));
    for (wanted, there) in wanted.iter().zip(&there) {
        assert_eq!(wanted, there);
    }
    assert_eq!(wanted.len(), there.len());
    for name in ["etc", "many"] {
        let (one, other) = (one.join(name), other.join(name));
        let both = [one.to_str().unwrap(), other.to_str().unwrap()];
        succeeds("diff", &[&["-r", "--no-dereference"][..], &both].concat());
    }
    assert_eq!(
        fs::read(other.join(OsStr::from_bytes(ODD))).unwrap(),
        b"odd"
    );
    assert_eq!(data(&one.join("sparse")), data(&other.join("sparse")));
    assert!(fs::metadata(other.join("sparse")).unwrap().blocks() < 1000);
    let inode = |name: &str| fs::metadata(other.join(name)).unwrap().ino();
    assert_eq!(inode("etc/hostname"), inode("etc/deep/other"));
}

#[test]
fn what_is_on_a_disk_is_listed_printed_copied_and_packed_as_it_was() {
    if !is_root() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let archive = with_file_system(&dir);
    let tree = dir.path().join("tree");
    let said = ok(&["files", &archive]);
    let line: Vec<&str> = said.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((line[0], line[5], line[6]), ("a", "ext4", "root"), "{said}");
    // Names are told apart by NUL, whatever is in them.
    let output = run(&["files", &archive, "a", "find", "--print0", "/"]);
    let mut paths: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
    paths.retain(|path| !path.is_empty() && !path.ends_with(b"lost+found"));
    let mut find = Command::new("find");
    let output = find
        .arg(&tree)
        .args(["-printf", "/%P\\0"])
        .output()
        .unwrap();
    let mut wanted: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
    wanted.retain(|path| !path.is_empty());
    paths.sort();
    wanted.sort();
    assert!(paths == wanted && paths.len() > 2010, "{}", paths.len());
    let said = ok(&["files", &archive, "a", "ls", "-l", "/etc"]);
    assert!(said.contains(" link -> hostname\n"), "{said}");
    assert!(
        said.lines()
            .any(|line| line.starts_with("-rw------- ") && line.ends_with(" secret"))
    );
    let said = ok(&["files", &archive, "a", "ls", "/"]);
    assert!(said.contains(r"$'no\xfftext\x1b[2J\x0a'"), "{said}");
    let said = ok(&["--json", "files", &archive, "a", "ls", "-d", "/sparse"]);
    let told: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&told["kind"], &told["size"]),
        (&json!("file"), &json!(TERABYTE))
    );
    let said = ok(&["files", &archive, "a", "cat", "/etc/link", "etc/secret"]);
    assert_eq!(said, "web\nfor root only");
    fails(
        &["files", &archive, "a", "cat", "/etc/elsewhere"],
        1,
        "there is no",
    );
    fails(&["files", &archive, "b", "ls"], 1, "those with files are a");
    // All of it by cp; what is no file, it leaves out.
    let copy = dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    let all = [
        "files", &archive, "a", "cp", "-r", "--links", "--owners", "/",
    ];
    let to = copy.to_str().unwrap();
    ok(&[&all[..], &[to]].concat());
    assert!(!copy.join("fifo").exists());
    let fifo = tree.join("fifo");
    succeeds("cp", &["-a", fifo.to_str().unwrap(), to]);
    let top = [tree.to_str().unwrap(), to];
    succeeds("touch", &["-r", top[0], top[1]]);
    same(&tree, &copy);
    // Nothing is overwritten.
    fails(
        &[
            "files",
            &archive,
            "a",
            "cp",
            "/etc/hostname",
            &format!("{to}/etc"),
        ],
        3,
        "exists",
    );
    // All of it by tar, which GNU's unpacks.
    let unpacked = dir.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let packed = File::create(dir.path().join("tar")).unwrap();
    let mut tar = vma();
    tar.args(["files", &archive, "a", "tar", "/"])
        .stdout(packed);
    assert!(tar.status().unwrap().success());
    let tar = path(&dir, "tar");
    assert!(fs::metadata(&tar).unwrap().len() < 8 << 20);
    let at = unpacked.to_str().unwrap();
    succeeds("tar", &["-C", at, "--numeric-owner", "-xpf", &tar]);
    succeeds("touch", &["-r", top[0], at]);
    same(&tree, &unpacked);
}

/// Replaces each of these bytes on a disk that is being made.
fn forge(image: &mut [u8], from: &[u8], to: &[u8]) {
    let there = image.windows(from.len()).enumerate();
    let places: Vec<usize> = there
        .filter_map(|(at, bytes)| (bytes == from).then_some(at))
        .collect();
    assert!(!places.is_empty(), "{}", from.escape_ascii());
    for at in places {
        let bytes = image.get_mut(at..).unwrap();
        bytes.get_mut(..to.len()).unwrap().copy_from_slice(to);
    }
}

#[test]
fn nothing_that_a_disk_says_is_written_outside_of_the_target() {
    let dir = TempDir::new().unwrap();
    let (tree, outside) = (dir.path().join("tree"), dir.path().join("outside"));
    fs::create_dir_all(tree.join("way1")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(tree.join("way1/evil"), "evil").unwrap();
    fs::write(tree.join("name-of-a-file"), "evil").unwrap();
    fs::write(tree.join("..-"), "evil").unwrap();
    symlink(&outside, tree.join("way0")).unwrap();
    symlink("..", tree.join("up")).unwrap();
    let image = path(&dir, "image.raw");
    let of = tree.to_str().unwrap();
    succeeds("mke2fs", &["-q", "-t", "ext2", "-d", of, &image, "4M"]);
    let mut bytes = fs::read(&image).unwrap();
    // A directory of the name of a link that leads outside, and names that are paths.
    forge(&mut bytes, b"way1", b"way0");
    forge(&mut bytes, b"name-of-a-file", b"../../out/evil");
    fs::write(&image, &bytes).unwrap();
    let inner = dir.path().join("deep/target");
    fs::create_dir_all(&inner).unwrap();
    let to = inner.to_str().unwrap();
    let output = run(&["files", &image, "disk", "cp", "-r", "--links", "/", to]);
    // What could not be made is told.
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("way0"), "{said}");
    assert!(inner.join("..?..?out?evil").is_file());
    assert!(inner.join("..-").is_file());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    for (folder, names) in [
        ("deep", vec!["target"]),
        ("", vec!["deep", "image.raw", "outside", "tree"]),
    ] {
        let entries = fs::read_dir(dir.path().join(folder)).unwrap();
        let mut found: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        found.sort();
        assert_eq!(found, names);
    }
    // A link that was there is not gone through, either.
    let trap = dir.path().join("trap");
    fs::create_dir(&trap).unwrap();
    symlink(&outside, trap.join("way0")).unwrap();
    fails(
        &[
            "files",
            &image,
            "disk",
            "cp",
            "-r",
            "/",
            trap.to_str().unwrap(),
        ],
        3,
        "way0",
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

/// Times with their nanoseconds, attributes and access control lists of everything below a directory, in text.
fn exact(folder: &Path) -> String {
    let times = ["-exec", "stat", "-c", "%n %y %F %t %T", "{}", "+"];
    let find = |rest: &[&str]| {
        let mut find = Command::new("find");
        find.current_dir(folder).args([".", "-mindepth", "1"]);
        let output = find.arg("!").args(["-type", "s"]).args(rest).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    };
    let attributes = ["-d", "-m", "^(user|system)", "-e", "hex", "-h"];
    let attributes = [&["-exec", "getfattr"][..], &attributes, &["{}", ";"]].concat();
    [find(&times), find(&attributes)].concat()
}

#[test]
fn a_tar_has_times_to_the_nanosecond_attributes_and_access_control_lists() {
    if !is_root() || fleece_lab::require("getfattr").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let image = path(&dir, "image.raw");
    File::create(&image).unwrap().set_len(300 << 20).unwrap();
    succeeds("mkfs.xfs", &["-q", &image]);
    let place = dir.path().join("mounted");
    fs::create_dir(&place).unwrap();
    let at = place.to_str().unwrap();
    succeeds("mount", &["-o", "loop", &image, at]);
    // In the words of a shell, as in a guest.
    let made = Command::new("sh")
        .args(["-c", MAKE])
        .current_dir(&place)
        .status();
    let wanted = exact(&place);
    succeeds("umount", &[at]);
    assert!(made.unwrap().success());
    let packed = path(&dir, "tar");
    let mut tar = vma();
    tar.args(["files", &image, "disk", "tar", "/"])
        .stdout(File::create(&packed).unwrap());
    let output = tar.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("/socket is left out: it is a socket"),
        "{said}"
    );
    let out = dir.path().join("unpacked");
    fs::create_dir(&out).unwrap();
    let how = ["-xpf", &packed, "--xattrs", "--xattrs-include=*", "--acls"];
    let to = ["-C", out.to_str().unwrap()];
    succeeds("tar", &[&how[..], &to].concat());
    assert_eq!(exact(&out), wanted);
    assert!(wanted.contains("posix_acl_default") && wanted.contains("user.long"));
}

const MAKE: &str = r#"
set -e
mkdir d; echo text > d/file; mkfifo fifo; mknod device b 8 70000
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
truncate -s 1G sparse; echo end >> sparse
for file in d/file sparse d; do
    setfattr -n user.note -v "$file" "$file"
    setfattr -n user.long -v "$(printf '%01500d' 0)" "$file"
done
setfattr -n system.posix_acl_access -v 0x0200000001000700ffffffff02000500e803000004000500ffffffff10000700ffffffff20000000ffffffff d/file
setfattr -n system.posix_acl_default -v 0x0200000001000700ffffffff04000500ffffffff08000400d007000010000700ffffffff20000000ffffffff d
touch -d '1931-02-03 04:05:06.123456789 UTC' d/file
touch -d '2107-01-01 00:00:00.000000001 UTC' sparse
touch -d '1969-12-31 23:59:59.5 UTC' d
"#;
