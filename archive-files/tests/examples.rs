//! The program in `examples/` does what it says.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::fs::{self, File};
use std::process::Command;

use fleece_lab::{example, require};

#[test]
fn the_files_of_an_image_are_listed() {
    let Some(mke2fs) = require("mke2fs") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (image, tree) = (folder.path().join("image"), folder.path().join("tree"));
    fs::create_dir_all(tree.join("etc")).unwrap();
    fs::write(tree.join("etc/hostname"), "web\n").unwrap();
    File::create(&image).unwrap().set_len(8 << 20).unwrap();
    let made = Command::new(mke2fs)
        .args(["-q", "-t", "ext4", "-d"])
        .args([&tree, &image])
        .status();
    assert!(made.unwrap().success());
    let output = example("read_files").arg(&image).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(output.stdout).unwrap();
    let line = listed.lines().find(|line| line.ends_with("/etc/hostname"));
    let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
    assert_eq!(words, ["disk", "4", "/etc/hostname"], "{listed}");
}
