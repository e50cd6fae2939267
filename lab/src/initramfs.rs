//! The guest's only file system: busybox, the writer, a few modules and an `init`.

use std::fs;
use std::path::Path;

use crate::agent;
use crate::cpio::Archive;
use crate::error::Error;
use crate::kernel::Module;
use crate::place;
use crate::writer;

/// Does what a channel says.
pub(crate) const SHELL: &str = include_str!("shell.sh");

/// The initramfs with `modules`, which are loaded in their order, and with the guest agent if wanted; when the system
/// is set up, it runs `script`.
pub(crate) fn pack(modules: &[Module], with_agent: bool, script: &str) -> Result<Vec<u8>, Error> {
    let mut archive = Archive::default();
    for folder in [
        "bin", "dev", "etc", "mnt", "modules", "proc", "run", "sys", "tmp",
    ] {
        archive.directory(folder);
    }
    let init = format!("{}{script}", include_str!("init.sh"));
    archive.program("init", init.as_bytes());
    archive.program("bin/busybox", &read(&place::guest().join("bin/busybox"))?);
    archive.program("bin/writer", &read(&writer::current()?)?);
    archive.symlink("bin/sh", "busybox");
    for ((name, contents), index) in modules.iter().zip(0..) {
        archive.file(&format!("modules/{index:02}-{name}.ko"), contents);
    }
    if with_agent {
        archive.directory("lib64");
        for (name, path) in agent::files()? {
            archive.program(&name, &read(&path)?);
        }
    }
    Ok(archive.finish())
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(Error::io(format!("read {}", path.display())))
}
