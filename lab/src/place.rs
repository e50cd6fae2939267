//! Where things lie in the lab's folder.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The environment variable that moves the lab elsewhere, say to share it between checkouts.
const ROOT_VARIABLE: &str = "FLEECE_LAB_DIR";

/// The lab's folder: `$FLEECE_LAB_DIR`, or `target/lab` in the workspace.
pub fn root() -> PathBuf {
    match env::var_os(ROOT_VARIABLE) {
        Some(root) if !root.is_empty() => PathBuf::from(root),
        _ => workspace().join("target/lab"),
    }
}

/// The workspace's folder.
pub(crate) fn workspace() -> &'static Path {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR"));
    lab.parent().unwrap_or(lab)
}

/// One version of QEMU, as unpacked from a Debian suite.
pub(crate) fn qemu(suite: &str) -> PathBuf {
    root().join("qemu").join(suite)
}

/// The guest's kernel with its modules, and busybox, unpacked into one folder.
pub(crate) fn guest() -> PathBuf {
    root().join("guest")
}

/// QEMU's guest agent with its libraries.
pub(crate) fn agent() -> PathBuf {
    root().join("agent")
}

/// Cargo's folder for the writer, which is built apart since it is linked statically.
pub(crate) fn writer_target() -> PathBuf {
    root().join("writer")
}

/// What libvirt has found out about the QEMUs, which takes it two seconds for each.
pub(crate) fn libvirt_cache() -> PathBuf {
    root().join("libvirt")
}

/// How guests run here: `kvm` or `tcg`, found out by a trial.
pub(crate) fn accelerator() -> PathBuf {
    root().join("accelerator")
}

/// What `cargo xtask lab` found to work here.
pub(crate) fn known_accelerator() -> String {
    fs::read_to_string(accelerator())
        .map_or_else(|_| "tcg".to_owned(), |name| name.trim().to_owned())
}

/// Disks and logs of running tests.
pub(crate) fn run() -> PathBuf {
    root().join("run")
}

/// Fills `folder` by `fill` unless it is there; half a folder never appears, whatever happens.
pub(crate) fn make(
    folder: &Path,
    fill: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    if folder.exists() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(Error::io(format!("make {}", parent.display())))?;
    let partial = tempfile::Builder::new()
        .prefix(".partial-")
        .tempdir_in(parent)
        .map_err(Error::io(format!("make a folder in {}", parent.display())))?;
    let filling = partial.path().join("filling");
    fs::create_dir(&filling).map_err(Error::io(format!("make {}", filling.display())))?;
    fill(&filling)?;
    fs::rename(&filling, folder).map_err(Error::io(format!("make {}", folder.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_folder_that_could_not_be_filled_does_not_appear() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("qemu");
        let broken = make(&folder, |filling| {
            fs::write(filling.join("half"), "").map_err(Error::io("write"))?;
            Err(Error::new(ErrorKind::Command, "the network is gone"))
        });
        assert_eq!(broken.unwrap_err().kind(), ErrorKind::Command);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);

        make(&folder, |filling| {
            fs::write(filling.join("all"), "").map_err(Error::io("write"))
        })
        .unwrap();
        assert!(folder.join("all").exists());
    }

    #[test]
    fn a_folder_that_is_there_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), |_| {
            Err(Error::new(ErrorKind::Command, "called"))
        })
        .unwrap();
    }
}
