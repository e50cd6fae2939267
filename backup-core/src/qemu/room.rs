//! Room for fleecing images: told before the start, and looked for when QEMU gave the instant up.

use std::time::Duration;

use fleece_fleecing::{Seen, Session};

use super::space::{FULL, Space, SpaceWatch};
use crate::report::Counting;
use crate::{Error, ErrorKind, units};

/// Tells how much room the fleecing images may need, and that there is any at all.
pub(super) fn check_room(session: &Session<'_>, reporter: &Counting<'_>) -> Result<(), Error> {
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
    Ok(())
}

fn full(storage: &str, left: &str) -> Error {
    Error::new(
        ErrorKind::Storage,
        format!(
            "the fleecing storage {storage} is full ({left} left), so the old data that the guest \
             overwrote could not be kept; free space there or use another with --fleecing. \
             The guest's writes were not affected"
        ),
    )
}

/// The end of a backup whose fleecing images have not answered for longer than QEMU waits for them.
pub(super) fn hangs(session: &Session<'_>, cbw_timeout: Duration) -> Error {
    Error::new(
        ErrorKind::Storage,
        format!(
            "the fleecing storage {} does not answer for longer than {} (--cbw-timeout), so old data \
             can neither be saved nor read; see what is wrong there, or use another with --fleecing. \
             The guest's writes go on",
            session.storage().id(),
            units::duration(cbw_timeout)
        ),
    )
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
    if let Err(error) = session.look_around(&mut Seen::default()) {
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
            "QEMU could not save old data to the fleecing image within {} (--cbw-timeout) and gave \
             the point in time up; the fleecing storage {id} {what}: {}. The guest's writes went on",
            units::duration(cbw_timeout),
            error.chain()
        ),
    ))
}
