//! `fleece cleanup`

use std::process::ExitCode;

use fleece_backup_core::Error;
use fleece_fleecing::Place;

use crate::cli::{Cleanup, Places};
use crate::exit;
use crate::log::Log;

pub(crate) fn run(arguments: &Cleanup, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let storages = places.storages()?;
    let guests = match &arguments.guest {
        Some(guest) => vec![guest.clone()],
        None => Place::guests(&places.state_dir())?,
    };
    let mut left = false;
    for guest in guests {
        let place = places.record(&guest);
        let cleaned = match fleece_fleecing::cleanup(&place, arguments.qmp.as_ref(), &storages) {
            // One guest that is being backed up, or has a broken record, must not keep the others'
            // things where they are.
            Err(error) if arguments.all => {
                left = true;
                log.warning(&format!("{guest}: {}", Error::from(error).chain()));
                continue;
            }
            cleaned => cleaned?,
        };
        for done in &cleaned.done {
            log.info(&format!("{guest}: removed {done}"));
        }
        if cleaned.done.is_empty() && cleaned.failed.is_empty() {
            log.info(&format!("{guest}: nothing was left"));
        }
        for error in cleaned.failed {
            left = true;
            log.warning(&format!("{guest}: {}", Error::from(error).chain()));
        }
    }
    Ok(ExitCode::from(if left { exit::WARNINGS } else { 0 }))
}
