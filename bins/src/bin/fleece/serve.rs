//! `fleece serve`

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::ExitCode;
use std::sync::Arc;

use fleece_backup_core::native::{Image, Server};
use fleece_backup_core::{Error, ErrorKind, Places};
use fleece_nbd::Address;
use fleece_staged_file::check_owned;
use fleece_storage::block::BlockDevice;

use crate::cli::serve::Serve;
use crate::log::Log;
use fleece_bins::signals;

pub(crate) fn run(arguments: &Serve, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let cancel = signals::watch_all()?;
    let directory = match &arguments.socket {
        Some(directory) => directory.clone(),
        None => places.state_dir().join("serve"),
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .and_then(|()| check_owned(&directory))
        .map_err(|error| {
            let message = format!(
                "cannot use {}; name another with --socket",
                directory.display()
            );
            Error::caused(ErrorKind::Request, message, error)
        })?;
    let mut disks: Vec<(String, Arc<dyn BlockDevice>)> = Vec::new();
    let mut locks = Vec::new();
    let images: Vec<Image> = arguments
        .disks
        .iter()
        .map(|text| Image::named(text))
        .collect();
    for image in &images {
        let (device, lock) = image.open_for_writing()?;
        disks.push((image.name(), device));
        locks.push(lock);
    }
    let server = Server::start(disks.clone(), &directory)?;
    for image in &images {
        log.info(&format!(
            "serving '{}' as {}",
            image.path().display(),
            Address::Unix(server.nbd().to_owned()).uri(&image.name())
        ));
    }
    log.info(&format!(
        "back up with: fleece backup --native {} --to …",
        server.control().display()
    ));
    // Fires when a signal comes; nothing is ever sent.
    let _ = cancel.fired().recv();
    log.info("ending");
    drop(server);
    // What is in our memory of a qcow2 image goes into it while nobody else can use it.
    for (name, disk) in disks {
        disk.flush().map_err(|error| {
            Error::caused(
                ErrorKind::Storage,
                format!("{name} may be incomplete"),
                error,
            )
        })?;
    }
    drop(locks);
    Ok(ExitCode::SUCCESS)
}
