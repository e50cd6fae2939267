//! What becomes of a backup that is complete: notes, protection, verification, and the removal of older
//! ones.

use fleece_encryption::Identities;
use fleece_guest_config::GuestId;

use super::directory::DumpDirectory;
use super::prune::{KeepRules, Verdict};
use super::verify::Checked;
use crate::job::archive::Archived;
use crate::job::cancel::CancelToken;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Counting, Reporter};

/// What is to become of a backup when it is complete.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Afterwards {
    /// Notes to be put beside the archive.
    pub notes: Option<String>,
    /// Protect it from being removed.
    pub protected: bool,
    /// Read the archive again, and verify it to the last bit.
    pub verify: bool,
    /// Remove the guest's older backups that none of these rules keeps.
    pub prune: Option<KeepRules>,
}

impl Afterwards {
    /// Whether there is anything to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.notes.is_none() && !self.protected && !self.verify && self.prune.is_none()
    }

    /// Does it. The archive is complete whatever comes of this, so what fails is a warning. `checked` gets
    /// what a verification found. Returns how many warnings there were.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Damage`] if the archive was to be verified and is not sound, and the errors of
    /// [`DumpDirectory::verify`]. Then nothing is removed.
    pub fn run(
        &self,
        archived: &Archived,
        guest: &GuestId,
        reporter: &dyn Reporter,
        cancel: &CancelToken,
        checked: &mut dyn FnMut(&Checked),
    ) -> Result<usize, Error> {
        let reporter = &Counting::new(reporter);
        let Some(path) = archived.path.as_deref() else {
            return Ok(0);
        };
        if self.is_empty() {
            return Ok(0);
        }
        let (directory, backup) = match DumpDirectory::find_archive(path) {
            Err(error) if !self.verify => {
                reporter.warning(error);
                return Ok(reporter.warnings());
            }
            found => found?,
        };
        if let Some(notes) = &self.notes
            && let Err(error) = directory.set_notes(&backup, notes)
        {
            reporter.warning(error);
        }
        if self.protected
            && let Err(error) = directory.set_protected(&backup, true)
        {
            reporter.warning(error);
        }
        if self.verify {
            let found = directory.verify_telling(&backup, &Identities::new(), reporter, cancel)?;
            checked(&found);
            if found.damages > 0 {
                let message = format!(
                    "{} is damaged already; nothing was pruned. Look at the target's disks, memory and \
                     network, and back up again",
                    backup.file_name()
                );
                return Err(Error::new(ErrorKind::Damage, message));
            }
        }
        let rules = self.prune.as_ref().filter(|rules| !rules.keeps_all());
        if let Some(rules) = rules
            && let Err(error) = prune(&directory, rules, guest, reporter)
        {
            reporter.warning(error);
        }
        Ok(reporter.warnings())
    }
}

fn prune(
    directory: &DumpDirectory,
    rules: &KeepRules,
    guest: &GuestId,
    reporter: &Counting<'_>,
) -> Result<(), Error> {
    for pruned in directory.prune(rules, Some(guest))? {
        let name = pruned.backup.file_name();
        match &pruned.error {
            Some(error) => reporter.warning(error),
            None if matches!(pruned.verdict, Verdict::Remove(_)) => {
                reporter.info(format!("removed {name}"))
            }
            None => {}
        }
        if let (Some(_), Verdict::Keep(why)) = (pruned.backup.fault(), &pruned.verdict) {
            reporter.info(format!("kept {name}: {why}"));
        }
    }
    Ok(())
}
