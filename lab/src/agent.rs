//! QEMU's guest agent, for the guest.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::error::Error;
use crate::place;

/// The name of the agent's port, the same everywhere (`qemu-ga(8)`).
pub(crate) const PORT: &str = "org.qemu.guest_agent.0";

const LINKER: &str = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";

/// The agent and its libraries: names in the guest, and the files.
pub(crate) fn files() -> Result<Vec<(String, PathBuf)>, Error> {
    let folder = place::agent();
    let program = folder.join("usr/sbin/qemu-ga");
    let linker = folder.join(LINKER);
    let library_path = ["lib", "usr/lib"].map(|lib| folder.join(lib).join("x86_64-linux-gnu"));
    let library_path = library_path
        .map(|path| path.display().to_string())
        .join(":");
    let mut list = Command::new(&linker);
    list.args(["--library-path", &library_path, "--list"])
        .arg(&program);
    // Lines such as `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f…)`.
    let list = command::output(&mut list)?;
    let libraries = list.lines().filter_map(|line| {
        let (name, path) = line.trim().split_once(" => ")?;
        let path = path.split(" (").next()?;
        let file = Path::new(name).file_name()?;
        Some((format!("lib64/{}", file.display()), PathBuf::from(path)))
    });
    let mut files: Vec<_> = libraries
        .filter(|(name, _)| !name.contains("ld-linux"))
        .collect();
    files.push(("lib64/ld-linux-x86-64.so.2".to_owned(), linker));
    files.push(("bin/qemu-ga".to_owned(), program));
    Ok(files)
}
