//! `vma` for Linux on AArch64: built, and tried by QEMU's user mode on the archives that every `vma` can read.

use crate::foreign::Foreign;
use crate::foreign::trial::{Shell, Trial};
use crate::run::{Outcome, Run, has};

const VMA: Foreign = Foreign {
    target: "aarch64-unknown-linux-musl",
    programs: "--bin=vma",
    environment: &[
        (
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER",
            "aarch64-linux-gnu-gcc",
        ),
        ("CC_aarch64_unknown_linux_musl", "aarch64-linux-gnu-gcc"),
    ],
};

const RUNNER: &str = "qemu-aarch64-static";

/// Builds it, and tries it.
pub(crate) fn check() -> Outcome {
    let folder = match VMA.quickly()? {
        Ok(folder) => folder,
        Err(why) => return Ok(format!("not checked: {why}")),
    };
    if !has(RUNNER) {
        return Ok(format!("built, not run: there is no {RUNNER}"));
    }
    let trial = Trial::prepare("aarch64")?;
    let program = folder.join("vma").display().to_string();
    let line = format!("{RUNNER} {program}");
    let script = trial.script(Shell::Unix, &line)?;
    trial.compare(Shell::Unix, &Run::new("sh", &[&script]).quietly()?)?;
    trial.serve(Run::new(RUNNER, &[&program]))?;
    Ok(trial.note("in QEMU's user mode"))
}
