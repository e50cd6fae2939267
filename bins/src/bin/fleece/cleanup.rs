//! `fleece cleanup`

use std::path::Path;
use std::process::ExitCode;

use fleece_backup_core::{Error, ErrorKind, Places};
use fleece_fleecing::{ErrorKind as Kind, Identity, Place, Record, remove_dead_locks};
use fleece_guest_config::GuestId;

use crate::advice;
use crate::cli::Cleanup;
use crate::log::Log;
use fleece_bins::exit;

pub(crate) fn run(arguments: &Cleanup, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let storages = places.storages()?;
    let guests = guests(arguments, places)?;
    let qmp = arguments.which.qmp.as_ref();
    let mut code = 0;
    for guest in &guests {
        let place = places.record(guest);
        if arguments.thawed {
            Record::open(&place)?.note_frozen(None)?;
        }
        let cleaned = match fleece_fleecing::cleanup(&place, qmp, &storages) {
            // One guest that is being backed up, or has a broken record, must not keep the others'
            // things where they are.
            Err(error) if arguments.all || guests.len() > 1 => {
                code = code.max(exit::WARNINGS);
                log.warning(&format!("{guest}: {}", advice::text(&error.into())));
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
            // A guest that stands still is more than something that is left.
            code = code.max(match error.kind() {
                Kind::Frozen => exit::GUEST,
                _ => exit::WARNINGS,
            });
            log.warning(&format!("{guest}: {}", advice::text(&error.into())));
        }
    }
    Ok(ExitCode::from(code))
}

/// The guests that are meant.
fn guests(arguments: &Cleanup, places: &Places) -> Result<Vec<GuestId>, Error> {
    let directory = places.state_dir();
    if arguments.all {
        remove_dead_locks(&directory);
        return Ok(Place::guests(&directory)?);
    }
    let which = &arguments.which;
    if let Some(guest) = arguments.guest.as_ref().or_else(|| which.given()) {
        // Where the monitor is named too, there is something to look at in any case.
        if which.qmp.is_none() && !places.record(guest).is_known() {
            return Err(unknown(guest, &directory)?);
        }
        return Ok(vec![guest.clone()]);
    }
    let (way, qmp) = which.way().ok_or_else(|| {
        let message = "which guest? give its number or name, --qmp, or --all";
        Error::new(ErrorKind::Request, message)
    })?;
    Ok(Identity::find(&directory, &way, qmp.as_ref())?)
}

fn unknown(guest: &GuestId, directory: &Path) -> Result<Error, Error> {
    let known = Place::known(directory)?;
    let known: Vec<String> = known.iter().map(GuestId::to_string).collect();
    let known = match known.as_slice() {
        [] => "of none".to_owned(),
        known => format!("only of {}", known.join(", ")),
    };
    let message = format!(
        "there is no record of a guest {guest} in {}, {known}; name its monitor with --qmp, or the \
         directory of its record with --state-dir",
        directory.display()
    );
    Ok(Error::new(ErrorKind::Request, message))
}
