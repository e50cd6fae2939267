//! Programs that run on any Linux, since they need no library of the machine: for whoever holds an archive and
//! needs a disk out of it somewhere.

use crate::run::{Outcome, Run, has, workspace};

const TARGET: &str = "x86_64-unknown-linux-musl";

/// Builds them, and lets `vma` open an archive.
pub(crate) fn check() -> Outcome {
    if let Err(why) = add_target() {
        return Ok(format!("not checked: {why}"));
    }
    Run::cargo(&[
        "build",
        "--quiet",
        "--target",
        TARGET,
        "--package=fleece-bins",
    ])
    .quietly()?;
    let folder = workspace().join("target").join(TARGET).join("debug");
    for name in ["vma", "fleece"] {
        let program = folder.join(name).display().to_string();
        // A program with libraries names the loader that finds them.
        if Run::new("readelf", &["--program-headers", &program])
            .quietly()?
            .contains("INTERP")
        {
            return Err(format!("{program} needs libraries"));
        }
        Run::new(&program, &["--version"]).quietly()?;
    }
    let vma = folder.join("vma").display().to_string();
    let archive = "vma-format/tests/data/single.vma.lzo";
    Run::new(&vma, &["verify", archive]).quietly()?;
    Ok(String::new())
}

fn add_target() -> Outcome {
    if !has("rustup") {
        return Err(format!("no rustup that would add the target {TARGET}"));
    }
    Run::new("rustup", &["target", "add", TARGET]).quietly()
}
