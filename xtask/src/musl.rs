//! Programs that run on any Linux, since they need no library of the machine: for whoever holds an archive and
//! needs a disk out of it somewhere.

use std::path::PathBuf;

use crate::run::{Outcome, Run, add_target, workspace};

const TARGET: &str = "x86_64-unknown-linux-musl";

/// Everything is compiled for the target anew, so without what costs time: what is fast enough for a test's archive.
const QUICKLY: [&str; 4] = [
    "--config=profile.dev.debug=false",
    "--config=profile.dev.package.\"*\".opt-level=0",
    "--config=profile.dev.package.fleece-vma-format.opt-level=0",
    "--quiet",
];

/// Builds them, and lets `vma` open an archive.
pub(crate) fn check() -> Outcome {
    let folder = match quickly()? {
        Ok(folder) => folder,
        Err(why) => return Ok(format!("not checked: {why}")),
    };
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

/// As they are released: the folder in which they are.
pub(crate) fn release() -> Result<PathBuf, String> {
    let _added = add_target(TARGET)?;
    build(&["--release", "--locked"], "release")
}

/// As they are soonest built: the folder, or why this machine cannot.
pub(crate) fn quickly() -> Result<Result<PathBuf, String>, String> {
    match add_target(TARGET) {
        Ok(_) => build(&QUICKLY, "debug").map(Ok),
        Err(why) => Ok(Err(why)),
    }
}

fn build(options: &[&str], folder: &str) -> Result<PathBuf, String> {
    let build = [
        "build",
        "--bins",
        "--package=fleece-bins",
        "--target",
        TARGET,
    ];
    Run::cargo(&[&build[..], options].concat()).quietly()?;
    Ok(workspace().join("target").join(TARGET).join(folder))
}
