//! `vma`: everything about VMA archives. Parse, call `fleece-vma-format`, print, exit code.

mod cli;
#[cfg(unix)]
mod copy;
#[cfg(windows)]
#[path = "copy/windows.rs"]
mod copy;
#[cfg(unix)]
mod create;
mod diff;
#[cfg(unix)]
mod encryption;
mod extract;
mod failure;
mod files;
#[cfg(unix)]
mod index;
mod info;
mod input;
mod list;
#[cfg(unix)]
mod mount;
#[cfg(unix)]
mod output;
mod progress;
mod recover;
mod report;
#[cfg(unix)]
mod rewrite;
mod serve;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use fleece_bins::signals;

use cli::{Cli, Command};
use failure::{Failure, Result};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output with exit code 0, a usage error to standard error with 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // Without, a signal does what it always does, which is right as well.
    let _ = signals::watch_interrupts();
    if cli.json {
        report::as_events(cli.command.stdout_is_data());
    }
    input::identify(&cli.identity);
    #[cfg(unix)]
    if let Err(error) = fleece_bins::stores::load_if_named() {
        let failure = Failure::from(error);
        report::failure(&failure);
        return ExitCode::from(failure.code());
    }
    match run(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::failure(&failure);
            ExitCode::from(failure.code())
        }
    }
}

fn run(command: &Command) -> Result<()> {
    let done = match command {
        // These print, and who has read enough of that needs no more of it.
        Command::List(args) => return list::list(args),
        Command::Config(args) => return list::config(args),
        Command::Info(args) => return info::info(args),
        Command::Verify(args) => return verify::verify(args),
        Command::Files(args) => return files::files(args),
        #[cfg(unix)]
        Command::Create(args) => create::create(args),
        Command::Extract(args) => extract::extract(args),
        Command::Serve(args) => serve::serve(args),
        #[cfg(unix)]
        Command::Mount(args) => mount::mount(args),
        #[cfg(unix)]
        Command::Index(args) => index::index(args),
        Command::Diff(args) => diff::diff(args),
        #[cfg(unix)]
        Command::Reframe(args) => rewrite::reframe(args),
        #[cfg(unix)]
        Command::Optimize(args) => rewrite::optimize(args),
        Command::Recover(args) => recover::recover(args),
    };
    done.map_err(Failure::unfinished)
}
