//! A file system in FUSE.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// An ext2 that `fuse2fs` mounts, unmounted with the value.
pub(super) struct Ext2 {
    _directory: TempDir,
    point: PathBuf,
}

impl Ext2 {
    /// `None`, said loudly, where there can be none.
    pub(super) fn mount() -> Option<Self> {
        let program = fleece_lab::require("fuse2fs")?;
        let mkfs = fleece_lab::require("mke2fs")?;
        if !Path::new("/dev/fuse").exists() || !rustix::process::geteuid().is_root() {
            fleece_lab::skip("mounting with FUSE needs root and a kernel that has it");
            return None;
        }
        let directory = TempDir::new().unwrap();
        let (image, point) = (
            directory.path().join("image"),
            directory.path().join("here"),
        );
        File::create(&image).unwrap().set_len(16 << 20).unwrap();
        std::fs::create_dir(&point).unwrap();
        run(Command::new(mkfs).args(["-q", "-F"]).arg(&image));
        run(Command::new(program)
            .arg(&image)
            .arg(&point)
            .args(["-o", "fakeroot"]));
        Some(Self {
            _directory: directory,
            point,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.point
    }
}

impl Drop for Ext2 {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.point));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
