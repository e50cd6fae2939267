//! `fleece cleanup`

use std::process::ExitCode;

use fleece_backup_core::restore::sweep_drills;
use fleece_backup_core::{Error, ErrorKind, Places};
use fleece_fleecing::{ErrorKind as Kind, GuestAddress, Place, Record, bitmaps, remove_dead_locks};
use fleece_fleet::status::forget_dead;
use fleece_guest_config::GuestId;
use fleece_qmp_client::Options;

use crate::advice;
use crate::cli::cleanup::Cleanup;
use crate::log::Log;
use fleece_bins::exit;

pub(crate) fn run(arguments: &Cleanup, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let storages = places.storages()?;
    let (guests, qmp) = guests(arguments, places)?;
    let mut code = 0;
    for guest in &guests {
        let place = places.record(guest);
        if arguments.thawed {
            Record::open(&place)?.note_frozen(None)?;
        }
        let cleaned = match fleece_fleecing::cleanup(&place, qmp.as_ref(), &storages) {
            // One guest that is being backed up, or has a broken record, must not keep the others'
            // things where they are.
            Err(error) if arguments.all || guests.len() > 1 => {
                code = code.max(exit::WARNINGS);
                log.warning(&format!("{guest}: {}", advice::text(&error.into())));
                continue;
            }
            cleaned => cleaned?,
        };
        if arguments.bitmaps {
            remove_bitmaps(qmp.as_ref(), &place, log)?;
        }
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
    for path in sweep_drills(&places.state_dir())? {
        log.info(&format!(
            "removed {}, which a killed drill has left",
            path.display()
        ));
    }
    if let Err(error) = forget_dead(&places.state_dir()) {
        code = code.max(exit::WARNINGS);
        log.warning(&format!(
            "what killed backups showed of themselves cannot be removed: {error}"
        ));
    }
    Ok(ExitCode::from(code))
}

/// The guests that are meant, and the monitor that was named.
fn guests(
    arguments: &Cleanup,
    places: &Places,
) -> Result<(Vec<GuestId>, Option<GuestAddress>), Error> {
    if arguments.all {
        let directory = places.state_dir();
        remove_dead_locks(&directory);
        return Ok((Place::guests(&directory)?, None));
    }
    let mut who = arguments.which.to_who();
    who.given = arguments.guest.clone().or(who.given);
    who.find(places)
}

/// Removes the dirty bitmaps that incremental backups have left.
fn remove_bitmaps(qmp: Option<&GuestAddress>, place: &Place, log: &Log) -> Result<(), Error> {
    let monitor = qmp.ok_or_else(|| {
        let message =
            "the bitmaps are in QEMU: name its monitor with --qmp, or the domain with --libvirt";
        Error::new(ErrorKind::Request, message)
    })?;
    let client = monitor.connect(&Options::default()).map_err(|error| {
        Error::caused(ErrorKind::Guest, "cannot use the guest's monitor", error)
    })?;
    let count = bitmaps::remove_all(&client, &Record::open(place)?)?;
    let guest = place.guest();
    log.info(&format!("{guest}: removed {count} dirty bitmaps"));
    Ok(())
}
