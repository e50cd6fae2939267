//! The program that writes inside the guest, built for it.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::command;
use crate::error::Error;
use crate::place;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The writer's file, built anew if its source has changed.
pub(crate) fn current() -> Result<PathBuf, Error> {
    let program = place::writer_target().join(TARGET).join("release/writer");
    if is_newer(&program, newest_source()?) {
        return Ok(program);
    }
    let target = place::writer_target();
    fs::create_dir_all(&target).map_err(Error::io(format!("make {}", target.display())))?;
    // One builder at a time, and the ones that waited find the program built.
    let lock = target.join("lock");
    let lock = File::create(&lock).map_err(Error::io(format!("create {}", lock.display())))?;
    lock.lock().map_err(Error::io("wait for another build"))?;
    if !is_newer(&program, newest_source()?) {
        build(&target)?;
        touch(&program)?;
    }
    Ok(program)
}

/// Statically linked, since the guest has no libraries.
fn build(target: &Path) -> Result<(), Error> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "fleece-lab-guest",
        ])
        .args(["--target", TARGET])
        .current_dir(place::workspace())
        .env("CARGO_TARGET_DIR", target)
        .env(
            "RUSTFLAGS",
            "-C target-feature=+crt-static -C strip=symbols",
        )
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command::output(&mut build).map(|_| ())
}

/// Cargo leaves the program's time alone when nothing had to be compiled.
fn touch(program: &Path) -> Result<(), Error> {
    File::options()
        .append(true)
        .open(program)
        .and_then(|file| file.set_modified(SystemTime::now()))
        .map_err(Error::io(format!("touch {}", program.display())))
}

fn is_newer(program: &Path, source: SystemTime) -> bool {
    let built = program.metadata().and_then(|meta| meta.modified());
    built.is_ok_and(|built| built > source)
}

/// When the youngest of the writer's files was changed.
fn newest_source() -> Result<SystemTime, Error> {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest");
    let source = guest.join("src");
    let read = |error| Error::io(format!("read {}", source.display()))(error);
    let mut newest = modified(&guest.join("Cargo.toml"))?;
    for entry in fs::read_dir(&source).map_err(read)? {
        newest = newest.max(modified(&entry.map_err(read)?.path())?);
    }
    Ok(newest)
}

fn modified(path: &Path) -> Result<SystemTime, Error> {
    path.metadata()
        .and_then(|meta| meta.modified())
        .map_err(Error::io(format!("look at {}", path.display())))
}
