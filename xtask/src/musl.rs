//! Programs that run on any Linux, since they need no library of the machine: for whoever holds an archive and
//! needs a disk out of it somewhere.

use crate::foreign::Foreign;
use crate::run::{Outcome, Run};

pub(crate) const PROGRAMS: Foreign = Foreign {
    target: "x86_64-unknown-linux-musl",
    programs: "--bins",
    environment: &[],
};

/// Builds them, and lets `vma` open an archive.
pub(crate) fn check() -> Outcome {
    let folder = match PROGRAMS.quickly()? {
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
