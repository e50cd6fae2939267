//! File systems of a guest's disks, checked by their own programs on copies that the guest has written to.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use fleece_plain_text::message;
use serde_json::{Value, json};

use super::place::Place;
use crate::job::cancel::CancelToken;
use crate::report::Counting;
use crate::report::error::{Error, ErrorKind};
use crate::restore::behind::LiveRecord;

/// What was found out about one file system.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FileSystemCheck {
    /// The disk and, behind a colon, the number of its partition.
    pub place: String,
    /// Its type, such as `ext4`.
    pub kind: String,
    /// `None` if it was not checked.
    pub sound: Option<bool>,
    /// What was said of it: the last line, or why it was not checked.
    pub said: String,
}

impl FileSystemCheck {
    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "place": self.place, "type": self.kind, "sound": self.sound, "message": self.said })
    }
}

/// Checks all disks; a copy of one at a time is made.
pub(super) fn all(
    place: &Place,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<Vec<FileSystemCheck>, Error> {
    let record = LiveRecord::load(&place.guest())?;
    let mut checks = Vec::new();
    for disk in &record.disks {
        let whole = place.scratch("disk");
        let image = json!({ "driver": "file", "filename": disk.file });
        copy(place, &json!({ "driver": "qcow2", "file": image }), &whole)?;
        let parts = partitions(&whole);
        if parts.is_empty() {
            checks.extend(check(&whole, disk.device.clone()));
        }
        for (number, offset, size) in parts {
            if let Some(reason) = cancel.reason() {
                return Err(Error::cancelled(reason));
            }
            let part = place.scratch("part");
            let file = json!({ "driver": "file", "filename": whole });
            copy(
                place,
                &json!({ "driver": "raw", "offset": offset, "size": size, "file": file }),
                &part,
            )?;
            checks.extend(check(&part, format!("{}:{number}", disk.device)));
            let _ = fs::remove_file(part);
        }
        let _ = fs::remove_file(whole);
    }
    for check in &checks {
        let verdict = match check.sound {
            Some(true) => "sound",
            Some(false) => "damaged",
            None => "not checked",
        };
        let (at, kind, said) = (&check.place, &check.kind, &check.said);
        reporter.info(format!("{at} ({kind}): {verdict}, {said}"));
    }
    Ok(checks)
}

/// A sparse copy of a node of QEMU's.
fn copy(place: &Place, node: &Value, to: &Path) -> Result<(), Error> {
    let mut convert = Command::new("qemu-img");
    convert
        .args(["convert", "-O", "raw"])
        .current_dir(place.guest());
    let output = convert.arg(format!("json:{node}")).arg(to).output();
    let failed = |why: String| {
        let message = format!("a disk cannot be copied for its check: {why}");
        Err(Error::new(ErrorKind::Storage, message))
    };
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => failed(last_line(&output)),
        Err(error) => failed(format!("qemu-img: {error}")),
    }
}

/// Numbers, offsets and sizes of a disk's partitions, as `partx` of util-linux finds them.
fn partitions(disk: &Path) -> Vec<(u32, u64, u64)> {
    let mut partx = Command::new("partx");
    partx.args([
        "--show",
        "--bytes",
        "--noheadings",
        "--raw",
        "--output",
        "NR,START,SIZE",
    ]);
    let Ok(output) = partx.arg(disk).output() else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let start = words.next()?.parse::<u64>().ok()?.checked_mul(512)?;
        Some((number, start, words.next()?.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// What a file holds, by its own program; `None` if it holds no file system.
fn check(file: &Path, place: String) -> Option<FileSystemCheck> {
    let mut blkid = Command::new("blkid");
    blkid.args(["-p", "-o", "value", "-s", "TYPE"]).arg(file);
    let output = blkid.output().ok()?;
    let kind = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if kind.is_empty() {
        return None;
    }
    let run = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).arg(file).output()
    };
    let checked = match kind.as_str() {
        "ext2" | "ext3" | "ext4" => {
            // As when it is mounted next: what its journal has is done first.
            let _ = run("e2fsck", &["-p", "-E", "journal_only"]);
            run("e2fsck", &["-f", "-n"])
        }
        "xfs" => run("xfs_repair", &["-n", "-f"]),
        "vfat" => run("fsck.fat", &["-n"]),
        "btrfs" => run("btrfs", &["check", "--readonly"]),
        _ => {
            let said = "no program for it".to_owned();
            return Some(FileSystemCheck {
                place,
                kind,
                sound: None,
                said,
            });
        }
    };
    let (sound, said) = match checked {
        Ok(output) => match dirty_log(&output) {
            true => (
                None,
                "its log has what is not in its place yet, which is nothing wrong".to_owned(),
            ),
            false => (Some(output.status.success()), last_line(&output)),
        },
        Err(error) => (None, format!("its program is missing ({error})")),
    };
    Some(FileSystemCheck {
        place,
        kind,
        sound,
        said,
    })
}

/// `xfs_repair` changes nothing then, and can tell nothing.
fn dirty_log(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    said.contains("valuable metadata changes in a log")
}

fn last_line(output: &Output) -> String {
    let text = [&output.stdout[..], b"\n", &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    message(line.unwrap_or_default().trim()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_file_system_is_told_from_a_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("fs");
        fs::File::create(&file).unwrap().set_len(8 << 20).unwrap();
        assert!(check(&file, "a".into()).is_none());
        let made = Command::new("/sbin/mke2fs")
            .args(["-q", "-t", "ext4"])
            .arg(&file)
            .output();
        if !made.is_ok_and(|made| made.status.success()) {
            eprintln!("SKIP: mke2fs");
            return;
        }
        assert_eq!(check(&file, "a".into()).unwrap().sound, Some(true));
        // The bitmaps and tables behind the first superblock and the descriptors.
        let mut bytes = fs::read(&file).unwrap();
        bytes[5000..400_000].fill(0xff);
        fs::write(&file, bytes).unwrap();
        let found = check(&file, "a".into()).unwrap();
        assert_eq!((found.sound, found.kind.as_str()), (Some(false), "ext4"));
    }
}
