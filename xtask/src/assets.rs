//! Completions and man pages, made from the programs' own definitions of their command lines.

use std::fs;
use std::io;
use std::path::Path;

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::run::{Outcome, workspace};

#[path = "../../bins/src/bin/fleece/cli.rs"]
#[expect(dead_code, reason = "only the definition is used")]
mod fleece;
#[path = "../../bins/src/bin/vma/cli.rs"]
#[expect(dead_code, reason = "only the definition is used")]
mod vma;

/// Writes everything to `target/assets`.
pub(crate) fn write() -> Outcome {
    let dir = workspace().join("target/assets");
    let failed = |error: io::Error| format!("{}: {error}", dir.display());
    for (name, command) in [
        ("vma", vma::Cli::command()),
        ("fleece", fleece::Cli::command()),
    ] {
        program(&dir, name, command).map_err(failed)?;
    }
    Ok(format!("written to {}", dir.display()))
}

fn program(dir: &Path, name: &str, mut command: clap::Command) -> io::Result<()> {
    let (completions, man) = (dir.join("completions"), dir.join("man"));
    fs::create_dir_all(&completions)?;
    fs::create_dir_all(&man)?;
    for &shell in Shell::value_variants() {
        clap_complete::generate_to(shell, &mut command, name, &completions)?;
    }
    clap_mangen::generate_to(command, &man)
}
