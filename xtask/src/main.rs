//! Development tasks: `cargo xtask …` and `cargo ci`.

mod lab;

use std::process::ExitCode;

use clap::Parser;

/// Development tasks of Fleece.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Prepare what live tests need: stock QEMUs, a guest kernel, busybox
    Lab,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Lab => lab::prepare(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
