//! Where the archive format is of use without the rest: each of its features alone, and other systems.

use crate::run::{Outcome, Run, add_target};

const PACKAGE: &str = "--package=fleece-vma-format";

/// What a user may choose; each must do without the others.
const FEATURES: [&str; 4] = ["gzip", "lzop", "zstd", "index"];

const TARGETS: [&str; 2] = ["x86_64-pc-windows-gnu", "wasm32-unknown-unknown"];

/// What is pure Rust: `zstd` needs a compiler of C for the target.
const PURE: &str = "gzip,index,lzop";

pub(crate) fn check() -> Outcome {
    let check = [
        "check",
        "--quiet",
        "--lib",
        "--no-default-features",
        PACKAGE,
    ];
    let with = |more: &[&str]| Run::cargo(&[&check[..], more].concat()).quietly();
    with(&[])?;
    for feature in FEATURES {
        with(&["--features", feature])?;
    }
    let mut missing = Vec::new();
    for target in TARGETS {
        match add_target(target) {
            Ok(_) => with(&["--features", PURE, "--target", target]).map(|_| ())?,
            Err(why) => missing.push(format!("; not checked: {why}")),
        }
    }
    Ok(format!("{} features{}", FEATURES.len(), missing.concat()))
}
