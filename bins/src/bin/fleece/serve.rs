//! `fleece serve`

use std::process::ExitCode;

use fleece_backup_core::native::{Image, ImageServer};
use fleece_backup_core::{Error, Places};
use fleece_nbd::Address;

use crate::cli::serve::Serve;
use crate::log::Log;
use fleece_bins::signals;

pub(crate) fn run(arguments: &Serve, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let cancel = signals::watch_all()?;
    let directory = match &arguments.socket {
        Some(directory) => directory.clone(),
        None => places.state_dir().join("serve"),
    };
    let images: Vec<Image> = arguments
        .disks
        .iter()
        .map(|text| Image::named(text))
        .collect();
    let images_server = ImageServer::start(&images, &directory)?;
    let server = images_server.server();
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
    images_server.stop()?;
    Ok(ExitCode::SUCCESS)
}
