//! The files of one guest or daemon.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::{Mode, OFlags};
use tempfile::{Builder, TempDir};

use crate::disk::Cache;
use crate::error::Error;
use crate::place;

/// What the names of both kinds of folders begin with; the id of the test's process follows.
const PREFIX: &str = "fleece-lab-";

/// A folder for files and one for sockets, whose paths must fit into 108 bytes (unix(7)).
///
/// Both go with the value.
#[derive(Debug)]
pub(crate) struct Scratch {
    files: TempDir,
    sockets: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Result<Self, Error> {
        let run = place::run();
        fs::create_dir_all(&run).map_err(Error::io(format!("make {}", run.display())))?;
        Ok(Self {
            files: folder(&run)?,
            sockets: folder(&env::temp_dir())?,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.files.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.sockets.path().join(name)
    }

    /// Proxmox's default, no host cache, where the file system has direct I/O.
    pub(crate) fn cache(&self) -> Cache {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::DIRECT;
        match rustix::fs::open(self.file("direct"), flags, Mode::RUSR | Mode::WUSR) {
            Ok(_) => Cache::None,
            Err(_) => Cache::Writeback,
        }
    }
}

/// Removes what tests have left that were killed.
pub(crate) fn sweep() {
    for parent in [place::run(), env::temp_dir()] {
        let entries = fs::read_dir(parent).into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let owner = name.to_str().and_then(owner);
            if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
                // Another user's stays.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn folder(parent: &Path) -> Result<TempDir, Error> {
    Builder::new()
        .prefix(&format!("{PREFIX}{}-", process::id()))
        .tempdir_in(parent)
        .map_err(Error::io(format!("make a folder in {}", parent.display())))
}

/// The process that a folder belongs to, by the folder's name.
fn owner(name: &str) -> Option<&str> {
    let (owner, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    owner
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_names_its_process() {
        let scratch = Scratch::new().unwrap();
        let name = scratch.folder().file_name().unwrap();
        let id = process::id().to_string();
        assert_eq!(owner(name.to_str().unwrap()), Some(id.as_str()));
        assert_eq!(owner("fleece-lab-"), None);
        assert_eq!(owner("fleece-lab-x-1"), None);
        assert_eq!(owner("something-1-2"), None);
    }

    #[test]
    fn only_folders_of_processes_that_are_gone_are_swept() {
        let kept = Scratch::new().unwrap();
        // No process has this id: it is above the kernel's limit of 2^22 (proc(5)).
        let left = env::temp_dir().join("fleece-lab-99999999-test");
        fs::create_dir_all(&left).unwrap();
        sweep();
        assert!(kept.folder().exists());
        assert!(!left.exists());
    }
}
