//! What a backup of a guest works with: the guest's monitor, and the storage for what it overwrites.

use std::sync::Arc;

use fleece_fleecing::GuestAddress;
use fleece_qmp_client::Client;
use fleece_storage::Plugin;

use super::job::GuestBackup;
use crate::job::cancel::CancelToken;
use crate::report::error::{Error, ErrorKind};

pub(super) fn connect(qmp: &GuestAddress, cancel: &CancelToken) -> Result<Client, Error> {
    let mut options = fleece_qmp_client::Options::default();
    options.interrupt = cancel.interrupt().clone();
    qmp.connect(&options)
        .map_err(|error| Error::caused(ErrorKind::Guest, "cannot use the guest's monitor", error))
}

/// Where old data is saved.
pub(super) fn storage(job: &GuestBackup) -> Result<Arc<dyn Plugin>, Error> {
    let storage = job.storages.open(&job.fleecing.storage).map_err(|error| {
        let message = format!("cannot use the fleecing storage {}", job.fleecing.storage);
        Error::caused(ErrorKind::Storage, message, error)
    })?;
    if !job.storages.may_hold(&job.fleecing.storage, "images") {
        let message = format!(
            "the fleecing storage {} is not for disks; choose another, or add images to its content in storage.cfg",
            job.fleecing.storage
        );
        return Err(Error::new(ErrorKind::Storage, message));
    }
    Ok(storage)
}
