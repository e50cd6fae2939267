//! The tests, and the examples in the documentation.

use std::env;
use std::ffi::OsString;
use std::fs;

use crate::run::{Outcome, Run, has};
use crate::{peers, skips};

/// Runs all tests with `cargo nextest`, or else with cargo itself.
pub(crate) fn all() -> Outcome {
    let path = path_with_lab()?;
    let skips::Report { skipped, flaky, .. } = if has("cargo-nextest") {
        // A report of a former run would tell of its skips.
        let _ = fs::remove_file(skips::report());
        let run = Run::cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--all-features",
            "--profile=ci",
        ]);
        let run = run
            .env("PATH", path)
            .env("PYTHONPATH", peers::folder())
            .openly(|_| false);
        if let Err(why) = run {
            // Without a report, not even the tests were built.
            let failed = skips::in_report().map_or_else(|_| Vec::new(), |report| report.failed);
            return Err([&[why], &failed[..]].concat().join("\n"));
        }
        skips::in_report()?
    } else {
        // Tests run them.
        Run::cargo(&["build", "--workspace", "--all-features", "--examples"]).openly(|_| false)?;
        let options = [
            "--workspace",
            "--all-features",
            "--lib",
            "--bins",
            "--examples",
            "--tests",
        ];
        // Live tests share two cores; skips are shown only without capture.
        let harness = ["--", "--test-threads=1", "--nocapture"];
        let run = Run::cargo(&[&["test", "--no-fail-fast"], &options[..], &harness[..]].concat());
        let lines = run
            .env("PATH", path)
            .env("PYTHONPATH", peers::folder())
            .openly(skips::is_skip)?;
        skips::Report {
            skipped: skips::reasons(lines.iter().map(String::as_str)),
            flaky: Vec::new(),
            failed: Vec::new(),
        }
    };
    let flaky = if flaky.is_empty() {
        String::new()
    } else {
        format!("; passed at the second try only: {}", flaky.join(", "))
    };
    let list = skipped.join("; ");
    if skipped.is_empty() {
        Ok(format!("nothing skipped{flaky}"))
    } else if env::var("CI").is_ok_and(|ci| ci == "true") {
        Err(format!("some tests were skipped: {list}{flaky}"))
    } else {
        Ok(format!("SKIPPED: {list}{flaky}"))
    }
}

/// Tests that run `qemu-img` and the like get those of the lab, whatever the host has.
pub(crate) fn path_with_lab() -> Result<OsString, String> {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return Err("the lab is not prepared: cargo xtask lab".to_owned());
    };
    let host = env::var_os("PATH").unwrap_or_default();
    env::join_paths([qemu.programs()].into_iter().chain(env::split_paths(&host)))
        .map_err(|error| error.to_string())
}

/// Runs the examples in the documentation.
pub(crate) fn doctest() -> Outcome {
    Run::cargo(&["test", "--workspace", "--all-features", "--doc"]).openly(|_| false)?;
    Ok(String::new())
}
