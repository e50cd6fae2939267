//! `cargo ci`: everything that must hold before a change is accepted.

use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::run::{self, Outcome, Run};
use crate::{
    aarch64, commits, deny, examples, exceptions, fuzz, layers, metadata, musl, package, packages,
    publish, targets, test, windows,
};

/// Of what a step that failed has said, so many lines are said once more at the end.
const LINES_OF_A_FAILURE: usize = 60;

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
    /// Completions and man pages in `docs` are those of the programs
    Assets,
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
    /// `vma` for Windows, tried in Wine
    Windows,
    /// `vma` for Linux on AArch64, tried in QEMU's user mode
    Aarch64,
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
            Self::Assets => assets(),
            Self::Fmt => fmt(),
            Self::Clippy => clippy(),
            Self::Test => test::all(),
            Self::Doctest => test::doctest(),
            Self::Doc => doc(),
            Self::Deny => deny::check(),
            Self::Publish => publish::check(),
            Self::Targets => targets::check(),
            Self::Bench => bench(),
            Self::Windows => windows::check(),
            Self::Aarch64 => aarch64::check(),
            Self::Musl => musl::check(),
            Self::Package => package::check(),
            Self::Fuzz => fuzz::check(),
        }
    }

    /// Whether it waits for a compiler more than for a processor of its own, so that it can run while guests do.
    fn is_beside_tests(self) -> bool {
        matches!(
            self,
            Self::Doc
                | Self::Deny
                | Self::Publish
                | Self::Targets
                | Self::Bench
                | Self::Windows
                | Self::Aarch64
                | Self::Musl
                | Self::Package
        )
    }

    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What became of a step, and how long it took.
struct Row {
    step: Step,
    outcome: Outcome,
    time: Duration,
}

/// Runs the steps, all if `only` names none, to the last even when one fails; ends with a table, and with what failed.
pub(crate) fn run(only: &[Step]) -> Outcome {
    let chosen = |step: &Step| only.is_empty() || only.contains(step);
    let steps = Step::value_variants().iter().copied().filter(chosen);
    let (beside, in_turn): (Vec<Step>, Vec<Step>) =
        steps.partition(|step| chosen(&Step::Test) && step.is_beside_tests());
    let mut table = Vec::new();
    for step in in_turn {
        if step == Step::Test {
            let build_fuzz = chosen(&Step::Fuzz);
            let beside = beside.clone();
            let beside = thread::spawn(move || run_beside(&beside, build_fuzz));
            table.push(timed(step));
            table.extend(
                beside
                    .join()
                    .map_err(|_| "a step beside the tests panicked")?,
            );
        } else {
            table.push(timed(step));
        }
    }
    print_table(&table);
    summary(&table)
}

/// Runs what is built and looked at while the tests' guests wait for each other, with what they leave of the
/// processors.
fn run_beside(steps: &[Step], build_fuzz: bool) -> Vec<Row> {
    run::renice_this_thread();
    let table = steps.iter().copied().map(timed).collect();
    if build_fuzz {
        // What fails here fails again when the targets shall run, and is told then.
        let _told_later = fuzz::build();
    }
    table
}

fn timed(step: Step) -> Row {
    println!("==> {}", step.name());
    let start = Instant::now();
    let outcome = step.run();
    let time = start.elapsed();
    match &outcome {
        Ok(note) if note.is_empty() => {}
        Ok(note) | Err(note) => println!("    {}: {note}", step.name()),
    }
    Row {
        step,
        outcome,
        time,
    }
}

fn print_table(table: &[Row]) {
    println!();
    for Row {
        step,
        outcome,
        time,
    } in table
    {
        let (mark, note) = match outcome {
            Ok(note) => ("ok", note.lines().next().unwrap_or_default()),
            Err(_) => ("FAILED", ""),
        };
        let seconds = time.as_secs_f64();
        println!("{:10} {mark:6} {seconds:7.1} s  {note}", step.name());
    }
}

/// What failed stands last, where it is found even if only the end of the output was kept.
fn summary(table: &[Row]) -> Outcome {
    let mut failed = Vec::new();
    for row in table {
        if let Err(message) = &row.outcome {
            let lines: Vec<&str> = message.lines().collect();
            let last = lines.len().saturating_sub(LINES_OF_A_FAILURE);
            println!("\n==> {} FAILED", row.step.name());
            for line in lines.iter().skip(last) {
                println!("    {line}");
            }
            failed.push(row.step.name());
        }
    }
    if failed.is_empty() {
        Ok("all is well".to_owned())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
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

/// By this program with the command lines in it.
fn assets() -> Outcome {
    let build = ["run", "--quiet", "--package=xtask", "--all-features", "--"];
    Run::cargo(&[&build[..], &["assets", "--check"]].concat()).quietly()
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
