//! Programs that run on any Linux, since they need no library of the machine: for whoever holds an archive and
//! needs a disk out of it somewhere.

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
    if let Err(why) = add_target(TARGET) {
        return Ok(format!("not checked: {why}"));
    }
    let build = [
        "build",
        "--bins",
        "--package=fleece-bins",
        "--target",
        TARGET,
    ];
    Run::cargo(&[&build[..], &QUICKLY[..]].concat()).quietly()?;
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
