//! A small file system, unmounted with the value.

use std::path::PathBuf;
use std::process::Command;

/// A file system in memory.
pub(crate) struct Tmpfs(PathBuf);

impl Tmpfs {
    pub(crate) fn mount(place: PathBuf, size: &str) -> Self {
        let option = format!("size={size}");
        let mut command = Command::new("mount");
        super::succeed(
            command
                .args(["-t", "tmpfs", "-o", &option, "fleece"])
                .arg(&place),
        );
        Self(place)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
