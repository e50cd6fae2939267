//! Which guest it is: one number or name for one guest, wherever it is called from.
//!
//! A guest's archives, record, lock and fleecing images carry its number or name. So nothing is touched
//! before it is settled whose that is:
//!
//! ```text
//! endpoint  the monitor without links, and locked: one backup of a guest at a time, whatever it is called
//! reported  what QEMU says of itself, `-name` and `-uuid`
//! derive    the number or name, if it was not given
//! claim     whose it is, for as long as the state directory lasts; another guest is refused
//! ```

mod claim;
mod derive;
mod endpoint;
mod reported;

use std::os::unix::net::UnixStream;
use std::path::Path;

use fleece_guest_config::{ConfigFile, GuestId};
use fleece_staged_file::{LockFile, remove_stale};
use sha2::{Digest as _, Sha256};

use crate::address::GuestAddress;
use crate::advice::{Advice, CleanUp};
use crate::error::{Error, ErrorKind};
use crate::journal::lock::GuestLock;
use crate::journal::record::{self, Place};
use claim::{Claim, Claimant};
use endpoint::Kind;
use reported::{Reported, cannot_ask};

pub use endpoint::Endpoint;

/// A guest that is known, and ours to work on until this is dropped.
#[derive(Debug)]
pub struct Identity {
    guest: GuestId,
    notes: Vec<String>,
    _lock: GuestLock,
}

impl Identity {
    /// Settles which guest is at the end of `endpoint`, for a backup whose records are in `directory`: the
    /// `given` one, or the one that follows from where it is and what its QEMU says.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] while another process works on the guest, or if one that was killed did under
    /// another name; [`ErrorKind::Identity`] if no name can be found, or it is another guest's;
    /// [`ErrorKind::Qemu`] if the monitor cannot be asked; [`ErrorKind::Record`]. Nothing of any guest was
    /// touched then.
    pub fn settle(
        directory: &Path,
        endpoint: &Endpoint,
        monitor: Option<&GuestAddress>,
        given: Option<&GuestId>,
    ) -> Result<Self, Error> {
        record::create_directory(directory)?;
        let lock = lock(directory, endpoint)?;
        let reported = match monitor {
            Some(monitor) => Reported::by(monitor).map_err(cannot_ask)?,
            None => Reported::default(),
        };
        let (guest, vouched) = match given {
            Some(given) => (given.clone(), true),
            None => derive::derive(endpoint, reported.text.as_deref())
                .ok_or_else(|| nameless(endpoint))?,
        };
        if let Some(other) = recorded(directory, endpoint)?
            .into_iter()
            .find(|other| *other != guest)
        {
            let message = format!(
                "an unfinished backup of this guest is on record under another name, {other}"
            );
            return Err(Error::new(ErrorKind::Busy, message)
                .advise(Advice::CleanUpFirst(CleanUp::of(&other))));
        }
        if let Some(monitor) = monitor {
            must_not_be_elsewhere(directory, &guest, monitor)?;
        }
        let claimant = Claimant {
            id: &guest,
            endpoint,
            reported: &reported,
            given: vouched,
        };
        let note = claimant.take(&claim::file(directory, &guest), &answers)?;
        let others = claimed(directory, |claim| {
            claim.is_at(endpoint) || claim.is_of(&reported)
        })?;
        let before = others.into_iter().filter(|other| *other != guest);
        let before = before.map(|other| {
            format!(
                "a guest with this monitor or uuid was called {other} before; backups under that name stay \
                 until it is pruned"
            )
        });
        Ok(Self {
            notes: note.into_iter().chain(before).collect(),
            guest,
            _lock: lock,
        })
    }

    /// A guest that its caller knows, and whose point in time the caller has taken: there is no monitor to ask, and
    /// nothing is claimed.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] while another such backup of it runs; [`ErrorKind::Record`].
    pub fn vouched(directory: &Path, guest: GuestId) -> Result<Self, Error> {
        record::create_directory(directory)?;
        Ok(Self {
            _lock: lock_place(directory, &format!("guest {guest}"))?,
            guest,
            notes: Vec::new(),
        })
    }

    /// The guests that may have left something at the end of `endpoint`, for a clean-up: those that a record
    /// names, else those that were ever backed up there, else the one that is there.
    ///
    /// # Errors
    /// As [`Identity::settle`]; if there is none, [`ErrorKind::Identity`], or [`ErrorKind::Qemu`] if
    /// there is a QEMU that cannot be asked.
    pub fn find(
        directory: &Path,
        endpoint: &Endpoint,
        monitor: Option<&GuestAddress>,
    ) -> Result<Vec<GuestId>, Error> {
        let recorded = recorded(directory, endpoint)?;
        if !recorded.is_empty() {
            return Ok(recorded);
        }
        let claimed_here = claimed(directory, |claim| claim.is_at(endpoint))?;
        if !claimed_here.is_empty() {
            return Ok(claimed_here);
        }
        let unknown = || {
            let called = derive::derive(endpoint, None).map(|(guest, _)| guest.to_string());
            format!(
                "there is no record of a guest {} in {}",
                called.as_ref().unwrap_or(&endpoint.place),
                directory.display()
            )
        };
        let Some(monitor) = monitor else {
            return Err(Error::new(ErrorKind::Identity, unknown()));
        };
        let reported = Reported::by(monitor).map_err(|error| {
            let kind = match error.is_gone() {
                true => ErrorKind::Identity,
                false => ErrorKind::Qemu,
            };
            let message = format!("{}, and its monitor cannot be used", unknown());
            Error::caused(kind, message, error)
        })?;
        let (guest, given) =
            derive::derive(endpoint, reported.text.as_deref()).ok_or_else(|| nameless(endpoint))?;
        let claimant = Claimant {
            id: &guest,
            endpoint,
            reported: &reported,
            given,
        };
        // What is on record under that name may be another guest's.
        claimant.check(&claim::file(directory, &guest), &answers)?;
        Ok(vec![guest])
    }

    /// The guest.
    #[must_use]
    pub fn guest(&self) -> &GuestId {
        &self.guest
    }

    /// What is worth knowing about how it was found, for people.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The lock on a guest by how it is reached. No guest's name begins like its file's.
pub(crate) fn lock(directory: &Path, endpoint: &Endpoint) -> Result<GuestLock, Error> {
    lock_place(directory, &endpoint.place)
}

fn lock_place(directory: &Path, place: &str) -> Result<GuestLock, Error> {
    let digest = Sha256::digest(place.as_bytes());
    let name: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
    GuestLock::acquire(&directory.join(format!(".{name}.way")))
}

/// Removes the locks of processes that were killed before there was anything else to find them by. Those that
/// somebody holds stay.
pub fn remove_dead_locks(directory: &Path) {
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for path in names.map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str());
        let is_lock = |name: &str| {
            (name.starts_with('.') && name.ends_with(".way")) || name.ends_with(".claim.lock")
        };
        if name.is_some_and(is_lock) {
            // It is gone when it is given up.
            drop(LockFile::try_acquire(&path));
        } else if name.is_some_and(|name| name.ends_with(".claim.tmp")) {
            let _ = remove_stale(&path);
        }
    }
}

/// The locks on a guest at all endpoints where it was ever reached, and at one more. Of a process that was
/// killed nothing is left afterwards.
pub(crate) fn lock_all(place: &Place, endpoint: Option<Endpoint>) -> Result<Vec<GuestLock>, Error> {
    let directory = place.directory();
    // A damaged claim must not keep what is to be removed.
    let claim = Claim::load(&claim::file(directory, place.guest())).unwrap_or_default();
    let mut endpoints: Vec<Endpoint> = claim.map(|claim| claim.endpoints()).unwrap_or_default();
    if let Some(endpoint) = endpoint.filter(|endpoint| !endpoints.contains(endpoint)) {
        endpoints.push(endpoint);
    }
    endpoints
        .iter()
        .map(|endpoint| lock(directory, endpoint))
        .collect()
}

/// Refuses a monitor for a guest if its record names another one that answers: what was made there would
/// be freed while that QEMU uses it.
pub(crate) fn must_not_be_elsewhere(
    directory: &Path,
    guest: &GuestId,
    monitor: &GuestAddress,
) -> Result<(), Error> {
    let state = ConfigFile::state(record::file_of(directory, guest, "state")).load();
    // One that cannot be read stops who works with it, a moment later.
    let recorded = state.ok().and_then(|state| record::monitor(&state));
    match recorded {
        Some(recorded)
            if Endpoint::monitor(&recorded) != Endpoint::monitor(monitor)
                && answers_at(&recorded, None)
                && !is_same(&recorded, monitor) =>
        {
            let message = format!(
                "what is on record of {guest} was made for a guest that answers at {recorded}, and not for \
                 the one at {monitor}"
            );
            Err(Error::new(ErrorKind::Identity, message)
                .advise(Advice::CleanUpFirst(CleanUp::of(guest))))
        }
        _ => Ok(()),
    }
}

/// The guests for which something was made through this monitor and is not known to be gone.
fn recorded(directory: &Path, endpoint: &Endpoint) -> Result<Vec<GuestId>, Error> {
    let mut guests = Place::guests(directory)?;
    guests.retain(|guest| {
        let state = ConfigFile::state(record::file_of(directory, guest, "state")).load();
        // A record that cannot be read hinders its own guest.
        let monitor = state.ok().and_then(|state| record::monitor(&state));
        endpoint.kind == Kind::Monitor
            && monitor.is_some_and(|monitor| Endpoint::monitor(&monitor) == *endpoint)
    });
    Ok(guests)
}

/// The guests with such claims. A damaged one hinders its own guest.
fn claimed(directory: &Path, wanted: impl Fn(&Claim) -> bool) -> Result<Vec<GuestId>, Error> {
    let mut guests = record::guests_with(directory, &[record::CLAIM])?;
    guests.retain(|guest| {
        let claim = Claim::load(&claim::file(directory, guest));
        matches!(claim, Ok(Some(claim)) if wanted(&claim))
    });
    Ok(guests)
}

/// Whether the guest of a claim answers where it was reached while it ran.
fn answers(claim: &Claim) -> bool {
    let control = claim.place(Kind::Control);
    if control.is_some_and(|socket| UnixStream::connect(socket).is_ok()) {
        return true;
    }
    let Some(monitor) = claim.place(Kind::Monitor) else {
        return false;
    };
    let Ok(address) = monitor.parse();
    answers_at(&address, claim.uuid())
}

/// Whether one QEMU is behind two monitors: its own, and that of a manager.
fn is_same(one: &GuestAddress, other: &GuestAddress) -> bool {
    let uuid = |monitor| {
        Reported::by(monitor)
            .ok()
            .and_then(|reported| reported.uuid)
    };
    uuid(one).is_some_and(|known| uuid(other) == Some(known))
}

/// Whether somebody answers at a monitor who may be the guest with this uuid.
fn answers_at(monitor: &GuestAddress, uuid: Option<&str>) -> bool {
    match Reported::by(monitor) {
        // Another guest may have got its socket.
        Ok(reported) => {
            uuid.is_none() || reported.uuid.is_none() || reported.uuid.as_deref() == uuid
        }
        Err(error) => !error.is_gone(),
    }
}

fn nameless(endpoint: &Endpoint) -> Error {
    let message = format!("{} does not say which guest it is", endpoint.place);
    Error::new(ErrorKind::Identity, message).advise(Advice::NameGuest)
}
