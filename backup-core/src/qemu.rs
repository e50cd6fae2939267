//! Live guests on stock QEMU.

mod backup;
mod disks;
pub(crate) mod domain;
mod dry;
mod incremental;
mod instant;
mod job;
mod lasting;
mod peers;
mod pull;
mod quiesce;
mod source;
mod space;
mod tpm;
mod watch;

pub use backup::backup;
pub use domain::{
    DOMAIN_XML, DomainGuest, StoppedDomain, all_domains, find_domain, running_domains,
    stopped_domain,
};
pub use dry::foresee;
pub use job::{Fleecing, GuestBackup, InDomain, Mode};
