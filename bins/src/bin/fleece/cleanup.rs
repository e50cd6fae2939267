//! `fleece cleanup`

use std::process::ExitCode;

use fleece_backup_core::{Error, ErrorKind};
use fleece_fleecing::Place;
use fleece_guest_config::GuestId;
use fleece_qmp_client::Address;

use crate::cli::{Cleanup, Places};
use crate::exit;
use crate::guest::Guest;
use crate::log::Log;

pub(crate) fn run(arguments: &Cleanup, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let storages = places.storages()?;
    let guests = if arguments.all {
        Place::guests(&places.state_dir())?
    } else {
        vec![named(arguments, places)?]
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

/// The guest that is meant, if there is anything of it to look into: a record, a configuration, a monitor.
fn named(arguments: &Cleanup, places: &Places) -> Result<GuestId, Error> {
    let qmp = arguments.qmp.as_ref();
    let guest = match arguments.guest.as_ref().or(arguments.vmid.as_ref()) {
        Some(guest) => guest.clone(),
        None => Guest::new(None, qmp)?.id,
    };
    let there = match qmp {
        Some(Address::Unix(path)) => path.exists(),
        qmp => qmp.is_some(),
    };
    if there || places.record(&guest).is_known() {
        return Ok(guest);
    }
    let directory = places.state_dir();
    let known: Vec<String> = Place::guests(&directory)?
        .iter()
        .map(GuestId::to_string)
        .collect();
    let known = match known.as_slice() {
        [] => "of none".to_owned(),
        known => format!("only of {}", known.join(", ")),
    };
    Err(Error::new(
        ErrorKind::Request,
        format!(
            "there is no record of a guest {guest} in {}, {known}; name its monitor with --qmp, or the \
             directory of its record with --state-dir",
            directory.display()
        ),
    ))
}
