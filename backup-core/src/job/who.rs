//! Which guest is meant, and who that is.

use std::path::PathBuf;

use fleece_fleecing::domain::power;
use fleece_fleecing::{Endpoint, GuestAddress, Identity, Record};
use fleece_guest_config::GuestId;
use fleece_libvirt::Domain;
use fleece_qmp_client::Address;
use uuid::Uuid;

use crate::job::cancel::CancelToken;
use crate::job::places::Places;
use crate::native::image::Image;
use crate::qemu::domain::{DomainGuest, find_domain, of_monitor};
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Event, Reporter};

/// Where the monitor of this guest of Proxmox's is while it runs.
#[must_use]
pub fn proxmox_monitor(vmid: u32) -> PathBuf {
    format!("/var/run/qemu-server/{vmid}.qmp").into()
}

/// What is said of the guest that is meant: one way to it, and perhaps its number or name.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Who {
    /// Its number or name.
    pub given: Option<GuestId>,
    /// Its monitor; of a number alone, it is Proxmox's.
    pub qmp: Option<Address>,
    /// A domain of libvirt's, by its name or UUID.
    pub domain: Option<String>,
    /// Where that libvirt is; without, where `virsh` looks.
    pub connection: Option<String>,
    /// The control socket of the server of its disks.
    pub control: Option<PathBuf>,
    /// An image of the stopped guest.
    pub image: Option<Image>,
    /// Its disks are exported by a server that knows nothing of it.
    pub is_exported: bool,
}

/// The guest that is backed up, ours to work on until this is dropped.
#[derive(Debug)]
#[non_exhaustive]
pub struct Guest {
    /// Its number or name.
    pub id: GuestId,
    /// Its monitor, if QEMU runs it.
    pub qmp: Option<GuestAddress>,
    /// What libvirt says of it, if that runs it.
    pub domain: Option<DomainGuest>,
    _identity: Identity,
}

impl Who {
    /// Settles who it is, and tells what is to be known about it.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Request`] if too little is said, or another guest has this identity; [`ErrorKind::Busy`] if
    /// it is being backed up under it; the errors of [`DomainGuest::find`].
    pub fn settle(
        &self,
        places: &Places,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
    ) -> Result<Guest, Error> {
        let state = places.state_dir();
        if self.is_exported {
            let given = self.given.clone().ok_or_else(|| {
                let message =
                    "an NBD server does not say which guest it is: its number or name is needed";
                Error::new(ErrorKind::Request, message)
            })?;
            return Ok(Guest::new(Identity::vouched(&state, given)?, None, None));
        }
        let find = |name| {
            let find = || DomainGuest::find(name, self.connection.as_deref(), cancel);
            match find() {
                Ok(found) if !found.is_paused() => Ok(found),
                found => match self.bring_back(name, places, reporter, cancel) {
                    true => find(),
                    false => found,
                },
            }
        };
        let domain = self.domain.as_deref().map(find).transpose();
        let domain = domain.map_err(|error| match cancel.reason() {
            // What we waited for was not at fault.
            Some(reason) => Error::cancelled(reason),
            None => error,
        })?;
        let (endpoint, qmp) = match &domain {
            Some(domain) => (domain.endpoint(), Some(domain.monitor().clone())),
            None => self.endpoint()?,
        };
        let identity = Identity::settle(&state, &endpoint, qmp.as_ref(), self.given.as_ref());
        let identity = identity.map_err(|error| match domain {
            Some(_) => of_monitor(error.into()),
            None => error.into(),
        })?;
        let of_domain = domain.iter().flat_map(DomainGuest::notes);
        for note in identity.notes().iter().cloned().chain(of_domain) {
            reporter.report(&Event::Info(note));
        }
        Ok(Guest::new(identity, qmp, domain))
    }

    /// Has a domain run again that a killed backup has shut down; whether there was one. What fails is told by the look for
    /// the domain.
    fn bring_back(
        &self,
        name: &str,
        places: &Places,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
    ) -> bool {
        if places.is_rehearsal {
            return false;
        }
        let Ok(domain) = find_domain(name, self.connection.as_deref(), cancel) else {
            return false;
        };
        let endpoint = Endpoint::domain(domain.address(), domain.name());
        let guests = Identity::find(&places.state_dir(), &endpoint, None);
        let mut is_back = false;
        for guest in guests.unwrap_or_default() {
            let record = Record::open(&places.record(&guest));
            let undone = record.and_then(|record| power::undo(&record, cancel.interrupt()));
            if let Ok(true) = undone {
                is_back = true;
                reporter.report(&Event::Info(
                    "an earlier backup had shut the domain down; it runs again".into(),
                ));
            }
        }
        is_back
    }

    /// The guests that this may be of those that are known, and the monitor that was named.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Request`] if too little is said, or no record names the guest.
    pub fn find(&self, places: &Places) -> Result<(Vec<GuestId>, Option<GuestAddress>), Error> {
        let state = places.state_dir();
        let find = |name| find_domain(name, self.connection.as_deref(), &CancelToken::new());
        let domain = self.domain.as_deref().map(find).transpose()?;
        let of_domain = |domain: &Domain| domain.address().clone().into();
        let named = self.qmp.clone().map(GuestAddress::from);
        let named = named.or_else(|| domain.as_ref().map(of_domain));
        if let Some(guest) = &self.given {
            // Where the monitor is named, there is something to look at in any case.
            if named.is_none() && !places.record(guest).is_known() {
                return Err(unknown(guest, places)?);
            }
            return Ok((vec![guest.clone()], named));
        }
        let (endpoint, qmp) = match &domain {
            Some(domain) => (
                Endpoint::domain(domain.address(), domain.name()),
                named.clone(),
            ),
            None => self.endpoint()?,
        };
        Ok((Identity::find(&state, &endpoint, qmp.as_ref())?, named))
    }

    /// Whose backup this is, as far as that can be told without asking anybody, so that one whose monitor does not
    /// answer has failed and not some guest: what is given, or who was backed up before from the same place.
    #[must_use]
    pub fn known(&self, places: &Places) -> Option<GuestId> {
        if let Some(given) = &self.given {
            return Some(given.clone());
        }
        if let Some(domain) = &self.domain {
            let named = Uuid::parse_str(domain).is_err();
            return GuestId::from_text(domain).filter(|_| named);
        }
        let (endpoint, _) = self.endpoint().ok()?;
        let known = Identity::find(&places.state_dir(), &endpoint, None).ok()?;
        <[GuestId; 1]>::try_from(known).ok().map(|[known]| known)
    }

    /// How the guest is reached, and its monitor, if it has one.
    fn endpoint(&self) -> Result<(Endpoint, Option<GuestAddress>), Error> {
        if let Some(control) = &self.control {
            return Ok((Endpoint::control(control), None));
        }
        if let Some(image) = &self.image {
            return Ok((Endpoint::image(image.path(), image.given_name()), None));
        }
        let proxmox = |vmid| Address::unix(proxmox_monitor(vmid));
        let number = || self.given.as_ref().and_then(GuestId::number).map(proxmox);
        let qmp = self.qmp.clone().or_else(number).ok_or_else(|| {
            let message =
                "it is not said which guest is meant: its monitor, domain, images or number";
            Error::new(ErrorKind::Request, message)
        })?;
        let qmp = GuestAddress::from(qmp);
        Ok((Endpoint::monitor(&qmp), Some(qmp)))
    }
}

impl Guest {
    fn new(identity: Identity, qmp: Option<GuestAddress>, domain: Option<DomainGuest>) -> Self {
        Self {
            id: identity.guest().clone(),
            qmp,
            domain,
            _identity: identity,
        }
    }
}

fn unknown(guest: &GuestId, places: &Places) -> Result<Error, Error> {
    let directory = places.state_dir();
    let known = fleece_fleecing::Place::known(&directory)?;
    let known: Vec<String> = known.iter().map(GuestId::to_string).collect();
    let known = match known.as_slice() {
        [] => "of none".to_owned(),
        known => format!("only of {}", known.join(", ")),
    };
    let message = format!(
        "there is no record of a guest {guest} in {}, {known}",
        directory.display()
    );
    Ok(Error::new(ErrorKind::Request, message).advise(Advice::NameMonitor))
}
