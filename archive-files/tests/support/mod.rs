//! What tests of file systems have in common.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use fleece_lab::{require, skip};
use tempfile::TempDir;

pub(crate) fn run(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let output = command.args(arguments).env("TZ", "UTC").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
}

/// Whether these programs are there, and file systems can be mounted.
pub(crate) fn can(programs: &[&str]) -> bool {
    if !rustix::process::geteuid().is_root() {
        skip("only root mounts file systems");
        return false;
    }
    programs.iter().all(|program| require(program).is_some())
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An image of so many MiB.
pub(crate) fn image(folder: &TempDir, name: &str, size: u64) -> PathBuf {
    let path = folder.path().join(name);
    File::create(&path).unwrap().set_len(size << 20).unwrap();
    path
}

/// A loop device; detached with the value.
pub(crate) struct Loop(pub(crate) String);

impl Loop {
    pub(crate) fn new(path: &Path) -> Self {
        let mut command = Command::new("losetup");
        let output = command.args(["-f", "--show", text(path)]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Self(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}
