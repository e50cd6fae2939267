//! Fuzz targets: every one runs for some seconds.

use std::fs;
use std::iter;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};

use crate::run::{Outcome, Run, has, workspace};

/// How long each target runs.
const SECONDS: u32 = 5;

/// Builds all targets and runs each.
pub(crate) fn check() -> Outcome {
    if !has_targets() {
        return Ok("there are no targets".to_owned());
    }
    build()?;
    let targets = Run::cargo(&["fuzz", "list"]).quietly()?;
    let left = Mutex::new(targets.lines());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    // Each takes one processor.
    let run = || iter::from_fn(next).try_for_each(run_target);
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(run)).collect();
        let mut outcomes = threads.into_iter().map(ScopedJoinHandle::join);
        outcomes.try_for_each(|outcome| outcome.map_err(|_| "a thread panicked")?)
    })?;
    Ok(format!("{} targets", targets.lines().count()))
}

/// Builds all targets.
pub(crate) fn build() -> Result<(), String> {
    if !has_targets() {
        return Ok(());
    }
    if !has("cargo-fuzz") {
        Run::cargo(&["install", "--quiet", "--locked", "cargo-fuzz"]).quietly()?;
    }
    // Without a sanitizer, targets build on the stable compiler; ours are safe Rust anyway.
    Run::cargo(&["fuzz", "build", "--sanitizer=none"]).quietly()?;
    Ok(())
}

fn run_target(target: &str) -> Result<(), String> {
    // What is found goes to the first folder; the seeds in the second stay as they are.
    let found = format!("target/fuzz-corpus/{target}");
    let seeds = format!("fuzz/corpus/{target}");
    let folder = workspace().join(&found);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let time = format!("-max_total_time={SECONDS}");
    let mut arguments = vec!["fuzz", "run", "--sanitizer=none", target, &found];
    if workspace().join(&seeds).exists() {
        arguments.push(&seeds);
    }
    arguments.extend(["--", &time]);
    Run::cargo(&arguments).quietly().map(|_| ())
}

pub(crate) fn has_targets() -> bool {
    workspace().join("fuzz/Cargo.toml").exists()
}
