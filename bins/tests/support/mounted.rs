//! Small file systems, unmounted with the value.

use std::fs::File;
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

/// An ext4 on a loop device, whose writes can be made to hang.
pub(crate) struct Freezable(PathBuf);

impl Freezable {
    pub(crate) fn mount(place: PathBuf, image: &PathBuf) -> Self {
        File::create(image).unwrap().set_len(64 << 20).unwrap();
        super::succeed(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image));
        let mut mount = Command::new("mount");
        super::succeed(mount.args(["-o", "loop"]).arg(image).arg(&place));
        Self(place)
    }

    /// From now on whoever writes there waits.
    pub(crate) fn freeze(&self) {
        super::succeed(Command::new("fsfreeze").arg("-f").arg(&self.0));
    }

    /// Until now.
    pub(crate) fn thaw(&self) {
        super::succeed(Command::new("fsfreeze").arg("-u").arg(&self.0));
    }
}

impl Drop for Freezable {
    fn drop(&mut self) {
        // Thawed already, unless the test has failed.
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0).output();
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
