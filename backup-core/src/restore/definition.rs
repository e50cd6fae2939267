//! The guest that is made of an archive, once its disks are there: its configuration and its firewall rules.

use std::path::PathBuf;

use fleece_fleecing::Record;
use fleece_guest_config::{ConfigFile, GuestConfig};
use fleece_staged_file::temporary_name;
use fleece_storage::VolumeId;
use fleece_vma_format::Header;

use super::config;
use super::firewall::Rules;
use super::job::GuestRestore;
use super::old::OldGuest;
use super::plan::Found;
use crate::job::cancel::CancelToken;
use crate::report::Counting;
use crate::report::error::{Error, ErrorKind};

/// What a guest is made of.
pub(super) struct Definition<'a> {
    pub(super) job: &'a GuestRestore,
    pub(super) header: &'a Header,
    pub(super) archived: &'a GuestConfig,
    pub(super) old: Option<&'a OldGuest>,
    pub(super) reporter: &'a Counting<'a>,
    pub(super) cancel: &'a CancelToken,
}

impl Definition<'_> {
    /// Writes its firewall rules and its configuration, with these disks.
    pub(super) fn write(
        &self,
        record: &Record,
        disks: &[(&Found, &VolumeId)],
    ) -> Result<(), Error> {
        let mut config = config::restored(
            self.archived,
            disks,
            self.job.record.guest(),
            self.job.unique,
            &self.job.storages,
            self.reporter,
        )?;
        if let Some(old) = self.old {
            old.keep_as_unused(&mut config)?;
        }
        self.check_cancelled()?;
        let firewall = self.job.firewall.as_deref();
        let staged: Vec<PathBuf> = firewall.map(temporary_name).into_iter().collect();
        record.add_files(&staged)?;
        let rules = Rules::restore(self.header, firewall, self.reporter)?;
        let settled = record.remove_files(&staged).map_err(Error::from);
        match settled.and_then(|()| self.replace(config)) {
            // It names the new volumes and is in its place: nothing may be undone any more.
            Err(error) if error.kind() == ErrorKind::Unsynced => {
                self.reporter.warning(error);
            }
            Err(error) => {
                rules.undo(self.reporter);
                return Err(error);
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// Writes the configuration, if nobody has made or changed the guest meanwhile.
    fn replace(&self, new: GuestConfig) -> Result<(), Error> {
        let before = self
            .old
            .map(|old| old.config.to_string())
            .unwrap_or_default();
        ConfigFile::new(&self.job.config).update(|config| {
            if config.to_string() != before {
                let message = format!(
                    "{} was changed by somebody else meanwhile; look at it, and restore again",
                    self.job.config.display()
                );
                return Err(Error::new(ErrorKind::Target, message));
            }
            *config = new;
            Ok(())
        })
    }

    pub(super) fn check_cancelled(&self) -> Result<(), Error> {
        self.cancel
            .reason()
            .map_or(Ok(()), |reason| Err(Error::cancelled(reason)))
    }
}
