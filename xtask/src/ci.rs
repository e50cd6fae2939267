//! `cargo ci`: everything that must hold before a change is accepted.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::iter;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::run::{Outcome, Run, has, workspace};
use crate::{commits, deny, layers, metadata, musl, packages, peers, skips};

/// A part of the check, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// What tests need of others: Debian packages, installed by root and named to others, and readers
    /// from PyPI below `target`
    Packages,
    /// Stock QEMUs and a guest for live tests
    Lab,
    /// Dependencies between our crates go down only
    Layers,
    /// Subjects of commits
    Commits,
    /// Formatting
    Fmt,
    /// Lints, with every warning an error
    Clippy,
    /// Unit, golden, peer and live tests
    Test,
    /// Examples in the documentation
    Doctest,
    /// The documentation of the libraries, with every warning an error
    Doc,
    /// Licences, sources and duplicates of the crates of others
    Deny,
    /// Every benchmark runs once
    Bench,
    /// Programs that need no libraries, where Rust has the target for them
    Musl,
    /// Every fuzz target runs for some seconds
    Fuzz,
}

/// How long each fuzz target runs.
const FUZZ_SECONDS: u32 = 10;

impl Step {
    fn run(self) -> Outcome {
        match self {
            Self::Packages => packages::install(),
            Self::Lab => lab(),
            Self::Layers => layers::check(),
            Self::Commits => commits::check(),
            Self::Fmt => fmt(),
            Self::Clippy => clippy(),
            Self::Test => test(),
            Self::Doctest => doctest(),
            Self::Doc => doc(),
            Self::Deny => deny::check(),
            Self::Bench => bench(),
            Self::Musl => musl::check(),
            Self::Fuzz => fuzz(),
        }
    }

    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Runs the steps, all if `only` names none, to the last even when one fails; ends with a table.
pub(crate) fn run(only: &[Step]) -> Outcome {
    let mut table = Vec::new();
    let mut failed = Vec::new();
    for step in Step::value_variants() {
        if !only.is_empty() && !only.contains(step) {
            continue;
        }
        println!("==> {}", step.name());
        let start = Instant::now();
        let outcome = step.run();
        let time = start.elapsed();
        match &outcome {
            Ok(note) if note.is_empty() => {}
            Ok(note) => println!("    {note}"),
            Err(message) => {
                println!("{message}");
                failed.push(step.name());
            }
        }
        table.push((*step, outcome, time));
    }
    print_table(&table);
    if failed.is_empty() {
        Ok("all is well".to_owned())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

fn print_table(table: &[(Step, Outcome, Duration)]) {
    println!();
    for (step, outcome, time) in table {
        let (mark, note) = match outcome {
            Ok(note) => ("ok", note.lines().next().unwrap_or_default()),
            Err(_) => ("FAILED", ""),
        };
        let seconds = time.as_secs_f64();
        println!("{:10} {mark:6} {seconds:7.1} s  {note}", step.name());
    }
    let total: Duration = table.iter().map(|row| row.2).sum();
    println!("{:10} {:6} {:7.1} s", "total", "", total.as_secs_f64());
}

/// Prepares the lab and says what it has.
pub(crate) fn lab() -> Outcome {
    let lab = fleece_lab::prepare().map_err(|error| format!("{error:?}"))?;
    for note in &lab.notes {
        println!("    {note}");
    }
    let versions: Vec<String> = lab
        .qemus
        .iter()
        .map(|qemu| qemu.version().to_string())
        .collect();
    let (versions, accelerator) = (versions.join(", "), lab.accelerator);
    Ok(format!("QEMU {versions}; guests on {accelerator}"))
}

pub(crate) fn fmt() -> Outcome {
    Run::cargo(&["fmt", "--all", "--", "--check"]).quietly()?;
    if has_fuzz_targets() {
        Run::cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--", "--check"]).quietly()?;
    }
    Ok(String::new())
}

fn clippy() -> Outcome {
    let options = ["--workspace", "--all-targets", "--all-features"];
    Run::cargo(
        &[
            &["clippy", "--quiet"],
            &options[..],
            &["--", "-D", "warnings"],
        ]
        .concat(),
    )
    .quietly()?;
    Ok(String::new())
}

fn test() -> Outcome {
    let path = path_with_lab()?;
    let skips::Report { skipped, flaky } = if has("cargo-nextest") {
        // A report of a former run would tell of its skips.
        let _ = fs::remove_file(skips::report());
        let run = Run::cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--all-features",
            "--profile=ci",
        ]);
        run.env("PATH", path)
            .env("PYTHONPATH", peers::folder())
            .openly(|_| false)?;
        skips::in_report()?
    } else {
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

fn doctest() -> Outcome {
    Run::cargo(&["test", "--workspace", "--all-features", "--doc"]).openly(|_| false)?;
    Ok(String::new())
}

/// Of libraries only: in programs, `///` is what `--help` shows, and no Markdown.
fn doc() -> Outcome {
    let options = ["--workspace", "--no-deps", "--all-features", "--lib"];
    Run::cargo(&[&["doc", "--quiet"], &options[..]].concat())
        .env("RUSTDOCFLAGS", "-D warnings")
        .quietly()?;
    Ok(String::new())
}

/// Without `--bench`, criterion runs each benchmark once and measures nothing.
fn bench() -> Outcome {
    if !metadata::has_benchmarks(&metadata::read()?) {
        return Ok("there are no benchmarks".to_owned());
    }
    // Of the whole workspace, as in the other steps, lest crates be built anew with other features.
    let options = ["--workspace", "--all-features", "--bench=*"];
    Run::cargo(&[&["test", "--quiet"], &options[..]].concat()).quietly()?;
    Ok(String::new())
}

fn fuzz() -> Outcome {
    if !has_fuzz_targets() {
        return Ok("there are no targets".to_owned());
    }
    if !has("cargo-fuzz") {
        Run::cargo(&["install", "--quiet", "--locked", "cargo-fuzz"]).quietly()?;
    }
    // Without a sanitizer, targets build on the stable compiler; ours are safe Rust anyway.
    Run::cargo(&["fuzz", "build", "--sanitizer=none"]).quietly()?;
    let targets = Run::cargo(&["fuzz", "list"]).quietly()?;
    let left = Mutex::new(targets.lines());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    // Each takes one processor.
    let run = || iter::from_fn(next).try_for_each(fuzz_target);
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(run)).collect();
        let mut outcomes = threads.into_iter().map(ScopedJoinHandle::join);
        outcomes.try_for_each(|outcome| outcome.map_err(|_| "a thread panicked")?)
    })?;
    Ok(format!("{} targets", targets.lines().count()))
}

fn fuzz_target(target: &str) -> Result<(), String> {
    // What is found goes to the first folder; the seeds in the second stay as they are.
    let found = format!("target/fuzz-corpus/{target}");
    let seeds = format!("fuzz/corpus/{target}");
    let folder = workspace().join(&found);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let time = format!("-max_total_time={FUZZ_SECONDS}");
    let mut arguments = vec!["fuzz", "run", "--sanitizer=none", target, &found];
    if workspace().join(&seeds).exists() {
        arguments.push(&seeds);
    }
    arguments.extend(["--", &time]);
    Run::cargo(&arguments).quietly().map(|_| ())
}

fn has_fuzz_targets() -> bool {
    workspace().join("fuzz/Cargo.toml").exists()
}
