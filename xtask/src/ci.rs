//! `cargo ci`: everything that must hold before a change is accepted.

use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::run::{Outcome, Run};
use crate::{
    commits, deny, examples, exceptions, fuzz, layers, metadata, musl, package, packages, publish,
    targets, test,
};

/// A part of the check, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// What tests need of others: Debian packages, installed by root and named to others, and readers
    /// from PyPI below `target`
    Packages,
    /// Stock QEMUs and a guest for live tests
    Lab,
    /// Dependencies between our crates go down only, and files need each other in no circle
    Layers,
    /// Subjects of commits
    Commits,
    /// No `allow` but in tests
    Exceptions,
    /// Every example is run by a test
    Examples,
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
    /// What a registry wants of the libraries
    Publish,
    /// The archive format with each of its features, and for systems other than Linux
    Targets,
    /// Every benchmark runs once
    Bench,
    /// Programs that need no libraries, where Rust has the target for them
    Musl,
    /// Debian and RPM packages are as they should be, and go without a trace
    Package,
    /// Every fuzz target runs for some seconds
    Fuzz,
}

impl Step {
    fn run(self) -> Outcome {
        match self {
            Self::Packages => packages::install(),
            Self::Lab => lab(),
            Self::Layers => layers::check(),
            Self::Commits => commits::check(),
            Self::Exceptions => exceptions::check(),
            Self::Examples => examples::check(),
            Self::Fmt => fmt(),
            Self::Clippy => clippy(),
            Self::Test => test::all(),
            Self::Doctest => test::doctest(),
            Self::Doc => doc(),
            Self::Deny => deny::check(),
            Self::Publish => publish::check(),
            Self::Targets => targets::check(),
            Self::Bench => bench(),
            Self::Musl => musl::check(),
            Self::Package => package::check(),
            Self::Fuzz => fuzz::check(),
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
    let chosen = |step: &Step| only.is_empty() || only.contains(step);
    let mut beside = None;
    for step in Step::value_variants().iter().filter(|step| chosen(step)) {
        if *step == Step::Test && chosen(&Step::Fuzz) {
            beside = Some(thread::spawn(fuzz::build_beside));
        }
        println!("==> {}", step.name());
        let start = Instant::now();
        if *step == Step::Fuzz
            && let Some(build) = beside.take()
        {
            let _panicked = build.join();
        }
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
    if fuzz::has_targets() {
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
