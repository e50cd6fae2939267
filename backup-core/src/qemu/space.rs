//! Room for fleecing images: told before the start, and looked for when QEMU gave the instant up.

pub(super) mod free_space;
pub(super) mod shared;

use std::time::Duration;

use fleece_fleecing::{Interference, Session};

use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::units;
use crate::report::{Counting, Warning};
use free_space::{FULL, Shared, Space, SpaceWatch};

/// Tells how much room the fleecing images may need, that there is any at all, and whether the guest's disks
/// want the same.
pub(super) fn check_space(
    session: &Session<'_>,
    space: &SpaceWatch,
    limit: Option<u64>,
    reporter: &Counting<'_>,
) -> Result<(), Error> {
    let storage = session.storage();
    let Ok(status) = storage.status() else {
        return Ok(());
    };
    let most = session.disks().iter().map(|disk| disk.size).sum();
    let (id, free) = (storage.id(), units::bytes(status.available));
    if status.available < FULL {
        return Err(full(id, &free));
    }
    reporter.info(format!(
        "fleecing images need at most {}, if the guest overwrites everything; {free} are free on {id}",
        units::bytes(most)
    ));
    // Waits for the first look.
    let looked = space.space();
    if looked != Space::Silent
        && let Some(Shared { left, wanted }) = space.shared()
        && left < wanted.saturating_add(limit.map_or(most, |limit| limit.min(most)))
    {
        let message = format!(
            "the fleecing images are on the file system of the guest's own disks, which may yet take {} of \
             the {} that are left there; the backup ends before the guest runs out of space",
            units::bytes(wanted),
            units::bytes(left)
        );
        reporter.warning(Warning::advised(message, Advice::SeparateFleecing));
    }
    Ok(())
}

/// The end of a backup that takes the room of the guest's own disks.
pub(super) fn short(session: &Session<'_>, shared: Shared) -> Error {
    Error::new(
        ErrorKind::Storage,
        format!(
            "{} are left on the file system that the guest's disks share with the fleecing images on {}, and \
             the disks may yet take {}; the backup ends so that the guest's writes find room",
            units::bytes(shared.left),
            session.storage().id(),
            units::bytes(shared.wanted)
        ),
    )
    .advise(Advice::MakeRoom)
}

/// The end of a backup during which a disk of the guest found no room.
pub(super) fn no_space(session: &Session<'_>, disk: &str) -> Error {
    let name = match disk {
        "" => String::new(),
        name => format!(" ({name})"),
    };
    Error::new(
        ErrorKind::Storage,
        format!(
            "a disk of the guest{name} finds no room for what the guest writes; the backup ends, so that the room \
             of the fleecing images on {} is free again",
            session.storage().id()
        ),
    )
    .advise(Advice::MakeRoom)
}

fn full(storage: &str, left: &str) -> Error {
    Error::new(
        ErrorKind::Storage,
        format!(
            "the fleecing storage {storage} is full ({left} left), so the old data that the guest \
             overwrote could not be kept; the guest's writes were not affected"
        ),
    )
    .advise(Advice::MakeRoom)
}

/// The end of a backup whose fleecing images have not answered for longer than QEMU waits for them.
pub(super) fn hangs(session: &Session<'_>, cbw_timeout: Duration) -> Error {
    Error::new(
        ErrorKind::Storage,
        format!(
            "the fleecing storage {} does not answer for longer than {}, so old data can neither be saved \
             nor read; the guest's writes go on",
            session.storage().id(),
            units::duration(cbw_timeout)
        ),
    )
    .advise(Advice::RepairFleecing)
}

/// What is really behind a snapshot that QEMU gave up: it tells nobody.
pub(super) fn explain(
    error: &Error,
    cbw_timeout: Duration,
    session: &Session<'_>,
    space: &SpaceWatch,
) -> Option<Error> {
    if !matches!(error.kind(), ErrorKind::Snapshot | ErrorKind::Guest) {
        return None;
    }
    // A view that somebody's snapshot has moved answers with errors of its own.
    if let Err(error) = session.check_interference(&mut Interference::default()) {
        return Some(error.into());
    }
    if let Some(disk) = session.lost() {
        let why = "the disk was unplugged, or somebody cancelled the job; back up again";
        return Some(Error::new(
            ErrorKind::Guest,
            format!(
                "{}: QEMU ended the job that kept the point in time: {why}",
                disk.name
            ),
        ));
    }
    if error.kind() != ErrorKind::Snapshot {
        return None;
    }
    let id = session.storage().id();
    let what = match space.space() {
        Space::RanFull(lowest) => return Some(full(id, &units::bytes(lowest))),
        Space::Silent => "does not answer",
        Space::Enough => "is not full, so it fails, or is too slow",
    };
    Some(Error::new(
        ErrorKind::Storage,
        format!(
            "QEMU could not save old data to the fleecing image within {} and gave the point in \
             time up; the fleecing storage {id} {what}; the guest's writes went on: {}",
            units::duration(cbw_timeout),
            error.chain()
        ),
    )
    .advise(Advice::RepairFleecing))
}
