//! Runs the conformance suite on one storage of a `storage.cfg`, for authors of plugins.
//!
//! `conformance STORAGE_CFG ID VMID [PLUGIN_DIRECTORY]`: `VMID` is a guest without volumes there.

use std::path::Path;
use std::process::ExitCode;

use fleece_storage::{Error, Storages, testing};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, id, vmid, plugins @ ..] = arguments.as_slice() else {
        eprintln!("usage: conformance STORAGE_CFG ID VMID [PLUGIN_DIRECTORY]");
        return ExitCode::from(2);
    };
    let Ok(vmid) = vmid.parse() else {
        eprintln!("{vmid}: not the number of a guest");
        return ExitCode::from(2);
    };
    match run(config, id, vmid, plugins.first()) {
        Ok(report) => {
            print!("{report}");
            if report.passed() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    config: &str,
    id: &str,
    vmid: u32,
    plugins: Option<&String>,
) -> Result<testing::Report, Error> {
    let mut storages = Storages::from_config(Path::new(config))?;
    if let Some(plugins) = plugins {
        storages = storages.with_plugin_directory(Path::new(plugins));
    }
    let storage = storages.open(id)?;
    Ok(testing::conformance(storage.as_ref(), vmid))
}
