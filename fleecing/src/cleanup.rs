//! Finishing what a killed backup or restore left: the guest and its QEMU first, then what lies on storages.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fleece_libvirt::Domain;
use fleece_qmp_client::{Interrupt, Options};
use fleece_storage::Storages;

use crate::address::GuestAddress;
use crate::domain;
use crate::error::{Error, ErrorKind};
use crate::identity::{self, Endpoint};
use crate::journal::cleanup::{Cleaned, Remains, foreign};
use crate::journal::ownership;
use crate::journal::record::{Place, Record};
use crate::qemu::teardown;
use crate::qemu::thaw::thaw;

/// Removes what the record of a guest names, as far as it is ours, and what is ours inside its QEMU.
///
/// `qmp` is the guest's monitor, if it is not the recorded one. QEMU may run, have been restarted, or
/// be gone. What cannot be removed, say because its storage does not answer, stays on record, and the
/// rest is removed. Doing it twice does no harm.
///
/// # Errors
/// [`ErrorKind::Busy`] while the guest is being backed up; [`ErrorKind::Record`] when the record
/// cannot be read. All other failures are in [`Cleaned::failed`].
pub fn cleanup(
    place: &Place,
    qmp: Option<&GuestAddress>,
    storages: &Storages,
) -> Result<Cleaned, Error> {
    let record = Record::open(place)?;
    // Its QEMU may be at work for a backup under another name.
    let recorded = record.contents()?.qmp;
    let recorded: Option<GuestAddress> = recorded.and_then(|text| text.parse().ok());
    let monitor = qmp.or(recorded.as_ref()).map(Endpoint::monitor);
    let _locks = identity::lock_all(place, monitor)?;
    if let Some(monitor) = qmp {
        identity::must_not_be_elsewhere(place.directory(), place.guest(), monitor)?;
    }
    let mut cleaned = Cleaned::default();
    clean(&record, qmp, storages, &Interrupt::default(), &mut cleaned)?;
    Ok(cleaned)
}

/// The same for a record that is open: what every backup does first. `interrupt` ends the waiting for QEMU and
/// the agent.
///
/// # Errors
/// As [`cleanup`].
pub fn clean(
    record: &Record,
    qmp: Option<&GuestAddress>,
    storages: &Storages,
    interrupt: &Interrupt,
    cleaned: &mut Cleaned,
) -> Result<(), Error> {
    let contents = record.contents()?;
    let mut remains = Remains::new(record, &contents, storages, cleaned, interrupt);
    lift_freeze(&mut remains, qmp)?;
    start_again(&mut remains)?;
    let is_over = end_pull(&mut remains, qmp)?;
    remains.remove_files()?;
    if leave_qemu(&mut remains, qmp)? && is_over {
        remains.free_images()?;
    }
    remains.free_volumes()?;
    if remains.cleaned.failed.is_empty() && record.unlock_guest()? {
        remains.cleaned.done.push("lock of the guest".into());
    }
    if remains.cleaned.failed.is_empty() {
        record.forget()?;
    }
    remains.tell_overwritten()
}

fn lift_freeze(remains: &mut Remains<'_>, qmp: Option<&GuestAddress>) -> Result<(), Error> {
    let Some(agent) = remains.contents.frozen.as_deref().map(address) else {
        return Ok(());
    };
    let monitors = [qmp.cloned(), remains.contents.qmp.as_deref().map(address)];
    let is_alive = || {
        monitors
            .iter()
            .flatten()
            .any(|monitor| listens(monitor, remains.interrupt))
    };
    match thaw(
        remains.record,
        &agent,
        None,
        &is_alive,
        THAW,
        remains.interrupt,
    ) {
        Ok(_) => {
            let done = "freeze of the guest's file systems".into();
            remains.cleaned.done.push(done);
        }
        Err(error) if error.kind() == ErrorKind::Frozen => remains.cleaned.failed.push(error),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Has a domain run again that was shut down.
fn start_again(remains: &mut Remains<'_>) -> Result<(), Error> {
    match domain::power::undo(remains.record, remains.interrupt) {
        Ok(true) => remains
            .cleaned
            .done
            .push("halt of the domain, which runs again".into()),
        Ok(false) => {}
        Err(error) if error.kind() == ErrorKind::Record => return Err(error),
        Err(error) => {
            let clean_up = remains.record.clean_up();
            remains.cleaned.failed.push(error.of(clean_up));
        }
    }
    Ok(())
}

/// Has libvirt end a backup of its own; tells whether it has none of ours, so that scratch files can be freed.
fn end_pull(remains: &mut Remains<'_>, qmp: Option<&GuestAddress>) -> Result<bool, Error> {
    let Some(socket) = &remains.contents.pull else {
        return Ok(true);
    };
    let recorded = remains.contents.qmp.as_deref().map(address);
    let of_domain = |address: &GuestAddress| match address {
        GuestAddress::Domain(domain) => Some(domain.clone()),
        GuestAddress::Socket(_) => None,
    };
    let domain = recorded
        .as_ref()
        .and_then(of_domain)
        .or_else(|| qmp.and_then(of_domain));
    let Some(domain) = domain.filter(|_| *socket == remains.record.pull_socket()) else {
        remains.cleaned.failed.push(foreign(format!(
            "a backup of libvirt's own at {} is on record, but not whose; it is not touched and stays on record",
            socket.display()
        )));
        return Ok(false);
    };
    let domain = Domain::at(&domain, remains.interrupt);
    match domain::pull::end(&domain, remains.record, remains.interrupt) {
        Ok(was_there) => {
            let done = was_there.then(|| "backup of libvirt's own".into());
            remains.cleaned.done.extend(done);
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::Record => Err(error),
        Err(error) => {
            let clean_up = remains.record.clean_up();
            remains.cleaned.failed.push(error.of(clean_up));
            Ok(false)
        }
    }
}

/// Whether there is a QEMU behind a monitor, even one that does not answer.
fn listens(monitor: &GuestAddress, interrupt: &Interrupt) -> bool {
    let mut options = Options::default();
    options.interrupt = interrupt.clone();
    match monitor.connect(&options) {
        Ok(_) => true,
        Err(error) => !error.is_gone(),
    }
}

/// Takes what is ours out of QEMU; tells whether that was done, so that images can be freed.
fn leave_qemu(remains: &mut Remains<'_>, qmp: Option<&GuestAddress>) -> Result<bool, Error> {
    let recorded = remains.contents.qmp.as_deref().map(address);
    let answer = || remains.must_answer();
    let known = remains.places();
    if let Some(address) = qmp.or(recorded.as_ref()) {
        match teardown::remove_all(
            None,
            address,
            remains.interrupt,
            remains.record,
            &known,
            &answer,
        ) {
            Ok(removed) => adopt(remains, &removed, &known)?,
            Err(error) => {
                remains.cleaned.failed.push(error);
                return Ok(false);
            }
        }
    }
    match &remains.contents.nbd_socket {
        Some(socket) if remains.record.is_our_socket(socket) => {
            remains.record.note_nbd_socket(None)?;
            let done = format!("NBD server on {}", socket.display());
            remains.cleaned.done.push(done);
        }
        Some(socket) => remains.cleaned.failed.push(foreign(format!(
            "the socket {} is not where this guest's socket would be; it is not touched and stays on record",
            socket.display()
        ))),
        None => {}
    }
    if remains.contents.paused {
        remains.record.note_paused(false)?;
    }
    if remains.contents.actions.is_some() {
        // Done, or gone with QEMU.
        remains.record.note_power_down(None)?;
        remains.record.note_actions(None)?;
        let done = "hold of the guest for when it powers down".into();
        remains.cleaned.done.push(done);
    }
    Ok(true)
}

/// Tells what was removed, and puts images on record that were found in QEMU only.
fn adopt(
    remains: &mut Remains<'_>,
    removed: &teardown::Removed,
    known: &[PathBuf],
) -> Result<(), Error> {
    let things = removed.things.iter();
    remains
        .cleaned
        .done
        .extend(things.map(|thing| format!("{thing} in QEMU")));
    for file in &removed.images {
        let path = Path::new(file);
        if known.iter().any(|known| known == path) {
            continue;
        }
        match ownership::volume_at(path, remains.record.guest(), remains.storages) {
            Some(id) => remains.record.add_image(&id)?,
            None => remains.cleaned.failed.push(foreign(format!(
                "QEMU had the fleecing image {file}, which is not on record and, by its name, not this \
                 guest's; it is left where it is"
            ))),
        }
    }
    Ok(())
}

fn address(text: &str) -> GuestAddress {
    let Ok(address) = text.parse();
    address
}

/// How long to go on trying to thaw.
const THAW: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
