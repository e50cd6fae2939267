//! Which guest the command line means.

use fleece_backup_core::native::Image;
use fleece_backup_core::{Places, Who};
use fleece_guest_config::GuestId;
use uuid::Uuid;

use crate::cli::which::Which;

impl Which {
    /// The same for the library.
    pub(crate) fn to_who(&self) -> Who {
        let mut who = Who::default();
        who.given = self.vmid.as_ref().or(self.name.as_ref()).cloned();
        who.qmp.clone_from(&self.qmp);
        who.domain = self.libvirt.clone().flatten();
        who.connection.clone_from(&self.connect);
        who.control.clone_from(&self.native);
        who.image = self.image.first().map(|image| Image::named(image));
        who.is_exported = self.nbd.is_some();
        who
    }

    /// Whose backup this is, as far as that can be told without asking anybody: so that one whose monitor does not answer
    /// has failed, and not some guest.
    pub(crate) fn known(&self, places: &Places) -> Option<GuestId> {
        let who = self.to_who();
        if let Some(domain) = &who.domain {
            let named = Uuid::parse_str(domain).is_err();
            return who
                .given
                .or_else(|| GuestId::from_text(domain).filter(|_| named));
        }
        match (&who.given, who.find(places)) {
            (Some(given), _) => Some(given.clone()),
            // One that has been backed up before, from the same place.
            (None, Ok((known, _))) => <[GuestId; 1]>::try_from(known).ok().map(|[known]| known),
            (None, Err(_)) => None,
        }
    }
}
