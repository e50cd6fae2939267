//! The same files as other programs take out of the same file systems.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "tests may panic"
)]

#[path = "support/mounted.rs"]
mod mounted;
mod support;
#[path = "support/tree.rs"]
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fleece_archive_files::{FileTree, Follow, resolve};
use mounted::{Mounted, opened};
use support::{can, image, run, text};
use tempfile::TempDir;
use tree::{Keeps, PLAIN, compare, fill};

const LINKS: Keeps = Keeps {
    links: true,
    ..PLAIN
};

/// What a program copies of times is not the same for all kinds of entries.
const NO_TIMES: Keeps = Keeps {
    time: i128::MAX,
    ..PLAIN
};

/// A directory with files, and one for what a program takes out of an image of them.
fn folders(keeps: Keeps) -> (TempDir, PathBuf, PathBuf) {
    let folder = TempDir::new().unwrap();
    let (source, out) = (folder.path().join("source"), folder.path().join("out"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&out).unwrap();
    fill(&source, keeps);
    (folder, source, out)
}

/// What `7z` takes out of an image, but what is no file in it.
fn unpacked(image: &Path, out: &Path) {
    run("7z", &["x", "-y", &format!("-o{}", text(out)), text(image)]);
    for name in ["[SYSTEM]", "[BOOT]"] {
        let _ = fs::remove_dir_all(out.join(name));
    }
}

fn output(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

/// The content of a file.
fn content(tree: &dyn FileTree, path: &str) -> Vec<u8> {
    let node = resolve(tree, path.as_bytes(), Follow::Links).unwrap();
    let size = tree.stat(node).unwrap().size;
    let mut content = vec![0; usize::try_from(size).unwrap()];
    assert_eq!(tree.read_at(node, 0, &mut content).unwrap(), content.len());
    content
}

#[test]
fn debugfs_and_7z_read_the_same_of_ext2_ext3_and_ext4() {
    if !can(&["debugfs", "mke2fs", "7z"]) {
        return;
    }
    for kind in ["ext2", "ext3", "ext4"] {
        let (folder, source, out) = folders(LINKS);
        let path = image(&folder, "image", 64);
        run(
            "mke2fs",
            &["-q", "-t", kind, "-d", text(&source), text(&path)],
        );
        let tree = opened(&path);
        let command = format!("rdump / {}", text(&out));
        run("debugfs", &["-R", &command, text(&path)]);
        // It copies files for each of their names.
        assert!(compare(&*tree, &out, PLAIN) > 400, "{kind}");
        let other = folder.path().join("other");
        unpacked(&path, &other);
        for name in ["noise", "text", "etc/hostname", "many/a file 0000"] {
            let read = fs::read(other.join(name)).unwrap();
            assert!(read == content(&*tree, name), "{kind}: {name}");
        }
    }
}

#[test]
fn btrfs_restore_reads_the_same_of_btrfs() {
    if !can(&["btrfs", "mkfs.btrfs"]) {
        return;
    }
    let (folder, source, out) = folders(LINKS);
    let path = image(&folder, "image", 256);
    run(
        "mkfs.btrfs",
        &["-q", "--rootdir", text(&source), text(&path)],
    );
    run("btrfs", &["restore", "-m", "-S", text(&path), text(&out)]);
    assert!(compare(&*opened(&path), &out, PLAIN) > 400);
}

#[test]
fn ntfscat_ntfsls_and_7z_read_the_same_of_ntfs() {
    if !can(&["mkntfs", "ntfs-3g", "ntfscat", "7z"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = image(&folder, "image", 64);
    run("mkntfs", &["-F", "-q", text(&path)]);
    let mounted = Mounted::new(&folder, &path, &["ntfs-3g"]);
    fill(&mounted.0, PLAIN);
    drop(mounted);
    let tree = opened(&path);
    let out = folder.path().join("out");
    unpacked(&path, &out);
    assert!(compare(&*tree, &out, NO_TIMES) > 400);
    for name in ["noise", "text", "etc/hostname", "ü-名前"] {
        let read = output("ntfscat", &["-q", text(&path), name]);
        assert!(read == content(&*tree, name), "{name}");
    }
    let listed = output("ntfsls", &["-p", "/many", text(&path)]);
    let listed = String::from_utf8(listed).unwrap();
    let names = listed.lines().filter(|name| name.contains(" file "));
    assert_eq!(names.count(), 400);
}

#[test]
fn mcopy_and_7z_read_the_same_of_fat() {
    if !can(&["mkfs.vfat", "mcopy", "7z"]) {
        return;
    }
    let (folder, source, out) = folders(PLAIN);
    let path = image(&folder, "image", 20);
    run("mkfs.vfat", &["-F", "16", "-s", "1", text(&path)]);
    for entry in fs::read_dir(&source).unwrap() {
        let entry = entry.unwrap().path();
        let from = ["-s", "-m", "-i", text(&path), text(&entry), "::"];
        run("mcopy", &from);
    }
    let tree = opened(&path);
    let to = ["-s", "-m", "-i", text(&path), "::/*", text(&out)];
    run("mcopy", &to);
    assert!(compare(&*tree, &out, NO_TIMES) > 400);
    let other = folder.path().join("other");
    unpacked(&path, &other);
    assert!(compare(&*tree, &other, NO_TIMES) > 400);
}

#[test]
fn isoinfo_and_7z_read_the_same_of_iso_9660() {
    if !can(&["genisoimage", "isoinfo", "7z"]) {
        return;
    }
    let (folder, source, out) = folders(PLAIN);
    let path = folder.path().join("image.iso");
    let rest = ["-quiet", "-R", "-J", "-o", text(&path), text(&source)];
    run("genisoimage", &rest);
    let tree = opened(&path);
    unpacked(&path, &out);
    assert!(compare(&*tree, &out, NO_TIMES) > 400);
    for name in ["/noise", "/text", "/etc/hostname"] {
        let read = output("isoinfo", &["-R", "-x", name, "-i", text(&path)]);
        assert!(read == content(&*tree, name), "{name}");
    }
}
