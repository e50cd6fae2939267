//! Development tasks: `cargo xtask …` and `cargo ci`.

mod aarch64;
#[cfg(feature = "assets")]
mod assets;
mod bench;
mod ci;
mod commits;
mod deny;
mod examples;
mod exceptions;
mod faults;
mod files;
mod foreign;
mod fuzz;
mod layers;
mod metadata;
mod musl;
mod package;
mod packages;
mod peers;
mod publish;
mod quick;
mod run;
mod screenshots;
mod skips;
mod targets;
mod test;
mod windows;

use std::process::ExitCode;

use clap::Parser;

use ci::Step;

/// Development tasks of Fleece.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Check everything, as is done before a change is accepted
    Ci {
        /// Only these steps, in the usual order
        #[arg(long, value_delimiter = ',')]
        only: Vec<Step>,
    },
    /// Write completions and man pages to docs (with `--features assets`)
    #[cfg(feature = "assets")]
    Assets {
        /// Only see whether those that are there are current
        #[arg(long)]
        check: bool,
    },
    /// Take pictures of the page of thirty nights for the documentation; needs chromium and pngquant
    Screenshots,
    /// Measure beside peers on an idle machine, and put the tables into docs/BENCHMARKS.md: an hour or more
    Bench {
        /// How often each is measured
        #[arg(long, default_value_t = 5)]
        rounds: usize,

        /// Only these tables, e.g. archive,guest-11.1
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Let everything go wrong that docs/FAULTS.md names
    Faults {
        /// With every method on every QEMU, and many backups of one instant: an hour or more
        #[arg(long)]
        long: bool,
    },
    /// Build the programs for a release, and pack them for Debian, for RPM, and as an archive, to target/package
    Package,
    /// Format, lints, and the tests of what has changed, without guests: two minutes at most when built
    Quick,
    /// Prepare what live tests need: stock QEMUs, a kernel and a tiny user land for the guest
    Lab,
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Ci { only } => ci::run(&only),
        #[cfg(feature = "assets")]
        Task::Assets { check } => assets::write(check),
        Task::Screenshots => screenshots::take(),
        Task::Bench { rounds, only } => bench::run(rounds, &only),
        Task::Faults { long } => faults::run(long),
        Task::Package => package::build(),
        Task::Quick => quick::run(),
        Task::Lab => ci::lab(),
    };
    match outcome {
        Ok(note) => {
            println!("{note}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
