//! File systems that the kernel, or a program, has mounted, and how they are read without that.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fleece_archive_files::{Cached, FileTree, Volumes};
use tempfile::TempDir;

use super::support::{run, text};

/// A mounted file system.
pub(crate) struct Mounted(pub(crate) PathBuf);

impl Mounted {
    pub(crate) fn new(folder: &TempDir, image: &Path, program: &[&str]) -> Self {
        let place = folder.path().join("mounted");
        fs::create_dir_all(&place).unwrap();
        run(
            program[0],
            &[&program[1..], &[text(image), text(&place)]].concat(),
        );
        Self(place)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

pub(crate) fn opened(image: &Path) -> Box<dyn FileTree> {
    let disk = Arc::new(Cached::new(Arc::new(File::open(image).unwrap()), 1 << 24));
    let found = Volumes::find(vec![("disk".to_owned(), disk)]);
    found.named("disk").unwrap().open().unwrap()
}
