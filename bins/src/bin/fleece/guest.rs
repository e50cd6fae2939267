//! Which guest is meant, and where its things are.

use fleece_backup_core::native::Image;
use fleece_backup_core::qemu::DomainGuest;
use fleece_backup_core::{CancelToken, Error, ErrorKind, Places};
use fleece_fleecing::{Endpoint, GuestAddress, Identity};
use fleece_guest_config::GuestId;
use fleece_qmp_client::Address;

use crate::cli::which::Which;
use crate::log::Log;

/// The guest that is backed up, ours to work on until this is dropped.
pub(crate) struct Guest {
    pub(crate) id: GuestId,
    /// Its monitor, if QEMU runs it.
    pub(crate) qmp: Option<GuestAddress>,
    /// What libvirt says of it, if that runs it.
    pub(crate) domain: Option<DomainGuest>,
    _identity: Identity,
}

impl Guest {
    /// Settles which one is meant, and tells what is to be known about it.
    pub(crate) fn settle(
        which: &Which,
        places: &Places,
        log: &Log,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        if which.nbd.is_some() {
            let given = which.given().cloned().ok_or_else(|| {
                let message = "an NBD server does not say which guest it is; give --vmid or --name";
                Error::new(ErrorKind::Request, message)
            })?;
            let identity = Identity::vouched(&places.state_dir(), given)?;
            return Ok(Self {
                id: identity.guest().clone(),
                qmp: None,
                domain: None,
                _identity: identity,
            });
        }
        let domain = which.domain(cancel)?;
        let way = match &domain {
            Some(domain) => Some((domain.endpoint(), Some(domain.monitor().clone()))),
            None => which.way(),
        };
        let (way, qmp) = way.ok_or_else(|| {
            let message = "which guest? give --qmp, --libvirt, --vmid, --native or --image";
            Error::new(ErrorKind::Request, message)
        })?;
        let identity = Identity::settle(&places.state_dir(), &way, qmp.as_ref(), which.given())?;
        for note in identity.notes() {
            log.info(note);
        }
        for note in domain.iter().flat_map(DomainGuest::notes) {
            log.info(&note);
        }
        Ok(Self {
            id: identity.guest().clone(),
            qmp,
            domain,
            _identity: identity,
        })
    }
}

impl Which {
    /// The number or name that was given.
    pub(crate) fn given(&self) -> Option<&GuestId> {
        self.vmid.as_ref().or(self.name.as_ref())
    }

    /// The domain that runs, if one of libvirt's is meant.
    fn domain(&self, cancel: &CancelToken) -> Result<Option<DomainGuest>, Error> {
        let find = |name: &String| DomainGuest::find(name, self.connect.as_deref(), cancel);
        self.libvirt.as_ref().map(find).transpose()
    }

    /// How the guest is reached, and its monitor, if it has one.
    pub(crate) fn way(&self) -> Option<(Endpoint, Option<GuestAddress>)> {
        if let Some(control) = &self.native {
            return Some((Endpoint::control(control), None));
        }
        if let Some(image) = self.image.first() {
            let image = Image::named(image);
            return Some((Endpoint::image(image.path(), image.given_name()), None));
        }
        let proxmox = |vmid| Address::unix(format!("/var/run/qemu-server/{vmid}.qmp"));
        let qmp = self
            .qmp
            .clone()
            .or_else(|| self.vmid.as_ref().map(proxmox))
            .map(GuestAddress::from)?;
        Some((Endpoint::monitor(&qmp), Some(qmp)))
    }
}
