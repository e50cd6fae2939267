//! `fleece cleanup`

use std::path::Path;
use std::process::ExitCode;

use fleece_backup_core::fleece_libvirt::Domain;
use fleece_backup_core::qemu::find_domain;
use fleece_backup_core::{CancelToken, Error, ErrorKind, Places};
use fleece_fleecing::{
    Endpoint, ErrorKind as Kind, GuestAddress, Identity, Place, Record, bitmaps, remove_dead_locks,
};
use fleece_guest_config::GuestId;
use fleece_qmp_client::Options;

use crate::advice;
use crate::cli::cleanup::Cleanup;
use crate::cli::which::Which;
use crate::log::Log;
use fleece_bins::exit;

pub(crate) fn run(arguments: &Cleanup, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let storages = places.storages()?;
    let domain = domain(&arguments.which)?;
    let guests = guests(arguments, domain.as_ref(), places)?;
    let socket = arguments.which.qmp.clone().map(GuestAddress::from);
    let qmp = socket.or_else(|| domain.map(|domain| domain.address().clone().into()));
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
    Ok(ExitCode::from(code))
}

/// The guests that are meant.
fn guests(
    arguments: &Cleanup,
    domain: Option<&Domain>,
    places: &Places,
) -> Result<Vec<GuestId>, Error> {
    let directory = places.state_dir();
    if arguments.all {
        remove_dead_locks(&directory);
        return Ok(Place::guests(&directory)?);
    }
    let which = &arguments.which;
    if let Some(guest) = arguments.guest.as_ref().or_else(|| which.given()) {
        // Where the monitor is named too, there is something to look at in any case.
        if which.qmp.is_none() && domain.is_none() && !places.record(guest).is_known() {
            return Err(unknown(guest, &directory)?);
        }
        return Ok(vec![guest.clone()]);
    }
    if let Some(domain) = domain {
        let way = Endpoint::domain(domain.address(), domain.name());
        let monitor = domain.address().clone().into();
        return Ok(Identity::find(&directory, &way, Some(&monitor))?);
    }
    let (way, qmp) = which.way().ok_or_else(|| {
        let message = "which guest? give its number or name, --qmp, --libvirt, or --all";
        Error::new(ErrorKind::Request, message)
    })?;
    Ok(Identity::find(&directory, &way, qmp.as_ref())?)
}

/// The domain that is meant, on or off.
fn domain(which: &Which) -> Result<Option<Domain>, Error> {
    let find = |name: &String| find_domain(name, which.connect.as_deref(), &CancelToken::new());
    which.libvirt.as_ref().map(find).transpose()
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
