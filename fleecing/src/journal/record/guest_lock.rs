//! Proxmox's lock on a guest: the line `lock: backup` in its configuration, which keeps its own commands away from the
//! guest's disks for longer than the lock on the file could (`qm.conf(5)`).

use std::path::Path;

use super::{LOCKED, Record};
use crate::error::{Error, ErrorKind};

const LOCK: &str = "lock";
const OURS: &str = "backup";

impl Record {
    /// Locks the guest, if Proxmox has its configuration; whatever else locks it must end first.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if it is locked; [`ErrorKind::Record`].
    pub fn lock_guest(&self) -> Result<(), Error> {
        let Some(config) = self.config.as_ref().filter(|file| is_proxmoxs(file.path())) else {
            return Ok(());
        };
        let unreadable = |error| {
            Error::caused(
                ErrorKind::Record,
                "cannot read the guest's configuration",
                error,
            )
        };
        let old = config.load().map_err(unreadable)?;
        if self.contents()?.locked && old.main().get(LOCK) == Some(OURS) {
            // An earlier backup's, whose clean-up could not remove everything.
            return Ok(());
        }
        refuse(old.main().get(LOCK))?;
        if old.main().get("template") == Some("1") {
            let message = format!("guest {} is a template, and does not run", self.guest());
            return Err(Error::new(ErrorKind::Unsafe, message));
        }
        self.note(LOCKED, Some("yes"))?;
        let locked = config.update(|config| {
            refuse(config.main().get(LOCK))?;
            Ok(config.main_mut().set(LOCK, OURS)?)
        });
        if locked.is_err() {
            self.note(LOCKED, None)?;
        }
        locked
    }

    /// Unlocks the guest if that is on record; tells whether it was.
    ///
    /// # Errors
    /// [`ErrorKind::Record`]; the lock stays on record then.
    pub fn unlock_guest(&self) -> Result<bool, Error> {
        if !self.contents()?.locked {
            return Ok(false);
        }
        let config = self.config.as_ref().filter(|file| file.path().exists());
        let unlock = |config: &mut fleece_guest_config::GuestConfig| {
            if config.main().get(LOCK) == Some(OURS) {
                config.main_mut().remove(LOCK);
            }
            Ok::<_, Error>(())
        };
        config.map_or(Ok(()), |config| config.update(unlock))?;
        self.note(LOCKED, None)?;
        Ok(true)
    }
}

fn refuse(lock: Option<&str>) -> Result<(), Error> {
    let Some(lock) = lock else {
        return Ok(());
    };
    let message = format!(
        "Proxmox has locked the guest ({lock}); wait for what is under way or, if nothing is, remove the lock with \
         `qm unlock`"
    );
    Err(Error::new(ErrorKind::Busy, message))
}

/// Whether it is one of those that Proxmox's own commands heed.
fn is_proxmoxs(config: &Path) -> bool {
    let directory = config.parent();
    config.exists() && directory.is_some_and(|parent| parent.ends_with("qemu-server"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::journal::record::Place;

    fn guest(directory: &Path, config: &str) -> (Record, PathBuf) {
        let configs = directory.join("qemu-server");
        fs::create_dir_all(&configs).unwrap();
        let file = configs.join("100.conf");
        fs::write(&file, config).unwrap();
        let place = Place::new(
            directory.join("state"),
            "100".parse().unwrap(),
            Some(file.clone()),
        );
        (Record::open(&place).unwrap(), file)
    }

    #[test]
    fn a_guest_is_locked_on_record_and_its_configuration_is_as_before_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let text = "#mine\nmemory: 512\nscsi0: a:vm-100-disk-0\n";
        let (record, file) = guest(dir.path(), text);
        record.lock_guest().unwrap();
        assert!(
            fs::read_to_string(&file)
                .unwrap()
                .contains("lock: backup\n")
        );
        assert!(record.contents().unwrap().locked);
        // What a killed backup has locked is no obstacle to its clean-up.
        assert!(record.unlock_guest().unwrap());
        assert!(!record.unlock_guest().unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert!(record.contents().unwrap().is_empty());
    }

    #[test]
    fn a_lock_that_an_earlier_backup_has_left_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let (record, file) = guest(dir.path(), "memory: 512\n");
        record.lock_guest().unwrap();
        record.lock_guest().unwrap();
        assert!(record.unlock_guest().unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "memory: 512\n");
    }

    #[test]
    fn the_locks_of_others_are_respected_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let text = "lock: backup\nmemory: 512\n";
        let (record, file) = guest(dir.path(), text);
        let error = record.lock_guest().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains("qm unlock"), "{error}");
        assert!(!record.unlock_guest().unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }

    #[test]
    fn a_lock_that_somebody_has_put_in_the_place_of_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (record, file) = guest(dir.path(), "memory: 512\n");
        record.lock_guest().unwrap();
        fs::write(&file, "lock: migrate\nmemory: 512\n").unwrap();
        assert!(record.unlock_guest().unwrap());
        assert!(fs::read_to_string(&file).unwrap().contains("lock: migrate"));
    }

    #[test]
    fn templates_are_refused_and_other_configurations_are_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let (record, _) = guest(dir.path(), "template: 1\n");
        assert_eq!(record.lock_guest().unwrap_err().kind(), ErrorKind::Unsafe);
        drop(record);
        let file = dir.path().join("100.conf");
        fs::write(&file, "memory: 512\n").unwrap();
        let place = Place::new(
            dir.path().join("state"),
            "100".parse().unwrap(),
            Some(file.clone()),
        );
        Record::open(&place).unwrap().lock_guest().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "memory: 512\n");
    }
}
