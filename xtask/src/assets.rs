//! Completions and man pages, made from the programs' own definitions of their command lines. They are kept in `docs/`, so that
//! they can be read, and installed, where nothing is built.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::run::{Outcome, workspace};

#[path = "../../bins/src/bin/fleece/cli.rs"]
#[expect(dead_code, reason = "only the definition is used")]
mod fleece;
#[path = "../../bins/src/bin/vma/cli.rs"]
#[expect(dead_code, reason = "only the definition is used")]
mod vma;

const FOLDERS: [&str; 2] = ["completions", "man"];

/// Puts them into `docs/`, or only `check`s that those there are what would be put.
pub(crate) fn write(check: bool) -> Outcome {
    let made = workspace().join("target/assets");
    let failed = |error: io::Error| format!("{}: {error}", made.display());
    if made.exists() {
        fs::remove_dir_all(&made).map_err(failed)?;
    }
    for (name, command) in [
        ("vma", vma::Cli::command()),
        ("fleece", fleece::Cli::command()),
    ] {
        program(&made, name, command).map_err(failed)?;
    }
    let mut old = Vec::new();
    for folder in FOLDERS {
        let (from, to) = (made.join(folder), workspace().join("docs").join(folder));
        let (new, there) = (files(&from).map_err(failed)?, files(&to).map_err(failed)?);
        if new == there {
            continue;
        }
        if check {
            let differs = |name: &&PathBuf| new.get(*name) != there.get(*name);
            let names = new.keys().chain(there.keys()).filter(differs);
            old.extend(names.map(|name| format!("docs/{folder}/{}", name.display())));
            continue;
        }
        if to.exists() {
            fs::remove_dir_all(&to).map_err(failed)?;
        }
        fs::create_dir_all(&to).map_err(failed)?;
        for (name, content) in new {
            fs::write(to.join(name), content).map_err(failed)?;
        }
    }
    old.sort();
    old.dedup();
    if old.is_empty() {
        return Ok("docs/man and docs/completions are those of the programs".to_owned());
    }
    Err(format!(
        "not as the programs have it: {}; make them anew by `cargo run --package xtask --features assets -- assets`",
        old.join(", ")
    ))
}

/// The contents of a folder's files; of one that is not there, none.
fn files(folder: &Path) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    if folder.exists() {
        for entry in folder.read_dir()? {
            let entry = entry?;
            files.insert(entry.file_name().into(), fs::read(entry.path())?);
        }
    }
    Ok(files)
}

fn program(dir: &Path, name: &str, command: clap::Command) -> io::Result<()> {
    let [completions, man] = FOLDERS.map(|folder| dir.join(folder));
    fs::create_dir_all(&completions)?;
    fs::create_dir_all(&man)?;
    for &shell in Shell::value_variants() {
        clap_complete::generate_to(shell, &mut command.clone(), name, &completions)?;
    }
    clap_mangen::generate_to(without_help(command), &man)
}

/// What `help` says of each command is that command's page.
fn without_help(command: clap::Command) -> clap::Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}
