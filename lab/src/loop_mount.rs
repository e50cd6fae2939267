//! File systems on loop devices.

#![expect(
    clippy::unwrap_used,
    reason = "only tests use it, and may fail by a panic"
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::tool::{require, skip};

/// A file system on a loop device, mounted for a test, and gone after it.
#[derive(Debug)]
pub struct LoopMount {
    directory: TempDir,
    point: PathBuf,
}

impl LoopMount {
    /// A new file system of this type, or `None`, said loudly, where there can be none.
    pub fn new(fstype: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip(&format!("mounting {fstype} needs root"));
            return None;
        }
        let mkfs = format!("mkfs.{fstype}");
        require(&mkfs)?;
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        let point = directory.path().join("mounted here");
        // The smallest size that all of them accept.
        File::create(&image).unwrap().set_len(512 << 20).unwrap();
        std::fs::create_dir(&point).unwrap();
        run(Command::new(&mkfs).arg("-q").arg(&image));
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(&point));
        Some(Self { directory, point })
    }

    /// The root of the file system.
    pub fn path(&self) -> &Path {
        &self.point
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.point));
        let _ = &self.directory;
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
