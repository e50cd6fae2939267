//! What libvirt does for a backup of one of its domains: shuts it down and starts it again, or makes the point in time
//! by itself.

pub mod power;
pub mod pull;

use fleece_libvirt::Domain;

use crate::advice::{Advice, CleanUp};
use crate::error::{Error, ErrorKind};

/// For `map_err` on a command of libvirt's: `what` was being attempted.
fn failed(what: impl Into<String>) -> impl FnOnce(fleece_libvirt::Error) -> Error {
    let what = what.into();
    move |error| Error::caused(ErrorKind::Qemu, what, error)
}

/// The same for the way back, which the next clean-up goes once more.
fn left(what: impl Into<String>) -> impl FnOnce(fleece_libvirt::Error) -> Error {
    move |error| failed(what)(error).advise(Advice::CleanUpAfterwards(CleanUp::default()))
}

/// Whether the domain's QEMU is gone, for whatever reason libvirt says nothing of it.
fn is_gone(domain: &Domain) -> bool {
    domain.is_local() && domain.process().is_none()
}
