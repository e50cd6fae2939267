//! `fleece`: backups of running QEMU/KVM guests that the guest never feels.

mod advice;
mod backup;
mod backups;
mod cleanup;
mod cli;
mod config;
mod demo;
mod doctor;
mod drill;
mod encryption;
#[cfg(feature = "faults")]
mod faults;
mod guest;
mod list;
mod log;
mod namesake;
mod notices;
mod options;
mod report;
mod restore;
mod run;
mod script;
mod serve;
mod status;
mod storage;
mod table;
mod verify;
mod vzdump;
mod watch;

use std::process::ExitCode;

use fleece_backup_core::ErrorKind;
use fleece_bins::exit;

use crate::cli::Command;

fn main() -> ExitCode {
    #[cfg(feature = "faults")]
    faults::arm();
    let cli = match options::parse() {
        Ok(cli) => cli,
        Err(error) => {
            let json = std::env::args_os().any(|argument| argument == "--json");
            log::Log::new(json, false, false).error(&error);
            return exit::code(&error);
        }
    };
    let log = log::Log::new(cli.json, cli.quiet, cli.command.stdout_is_data());
    let places = &cli.places.settle();
    let result = match &cli.command {
        Command::Backup(arguments) => backup::run(arguments, places, &log),
        Command::Run(arguments) => run::run(arguments, places, &log),
        Command::Restore(arguments) => restore::run(arguments, places, &log),
        Command::List(arguments) => list::list(arguments, places, &log),
        Command::Verify(arguments) => verify::run(arguments, places, &log),
        Command::Drill(arguments) => drill::run(arguments, places, &log),
        Command::Prune(arguments) => list::prune(arguments, places, &log),
        Command::Report(arguments) => report::report(arguments, places, &log),
        Command::Metrics(arguments) => report::metrics(arguments, places, &log),
        Command::Note(arguments) => backups::note(arguments, &log),
        Command::Protect(arguments) => backups::protect(arguments),
        Command::Delete(arguments) => backups::delete(arguments, &log),
        Command::Storage(command) => storage::run(command, places, &log),
        Command::Config(command) => config::run(command, &log),
        Command::Doctor(arguments) => doctor::run(arguments, places, &log),
        Command::Status(arguments) => status::run(arguments, places, &log),
        Command::Cleanup(arguments) => cleanup::run(arguments, places, &log),
        Command::Serve(arguments) => serve::run(arguments, places, &log),
        Command::Demo(arguments) => demo::run(arguments, &log),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            match error.kind() {
                ErrorKind::Unsynced => log.warning(&advice::text(&error)),
                _ => log.error(&error),
            }
            exit::code(&error)
        }
    }
}
