//! Which guest the command line means.

use fleece_backup_core::Who;
use fleece_backup_core::native::Image;

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
}
