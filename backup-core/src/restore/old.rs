//! The guest that has the number already, when it is to be replaced.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::Path;

use fleece_guest_config::{
    ConfigFile, ErrorKind as ConfigErrorKind, GuestConfig, GuestId, SectionKind,
};
use fleece_storage::block::{ErrorKind as BlockErrorKind, ImageLock};
use fleece_storage::{Storages, VolumeId};

use crate::report::Counting;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};

/// A guest whose configuration will be replaced. Its volumes are freed only after that.
#[derive(Debug)]
pub(super) struct OldGuest {
    pub(super) config: GuestConfig,
    guest: GuestId,
    /// Its disks: keys and volumes.
    disks: Vec<(String, VolumeId)>,
}

impl OldGuest {
    /// The guest behind the configuration at `path`; `None` if there is none. Without `force`, one that
    /// is there is an error; with it, one that may not be replaced.
    pub(super) fn find(
        path: &Path,
        guest: &GuestId,
        force: bool,
        storages: &Storages,
    ) -> Result<Option<Self>, Error> {
        let config = match ConfigFile::new(path).load() {
            Ok(config) => config,
            Err(error) if error.kind() == ConfigErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        if !force {
            let message = format!("there is a guest {guest} already ({})", path.display());
            return Err(Error::new(ErrorKind::Target, message).advise(Advice::ReplaceGuest));
        }
        let refuse = |why: &str, advice: &str| {
            let message = format!("guest {guest} is not replaced: {why}; {advice}");
            Err(Error::new(ErrorKind::Target, message))
        };
        let main = config.main();
        let is_set = |key| main.get(key).is_some_and(|value| value != "0");
        if is_set("protection") {
            return refuse("it is protected", "remove the protection first");
        }
        if is_set("template") {
            return refuse(
                "it is a template, and others may be its clones",
                "remove it first",
            );
        }
        if let Some(lock) = main.get("lock") {
            return refuse(
                &format!("it is locked ({lock})"),
                "wait for what is working there",
            );
        }
        let is_snapshot = |kind| matches!(kind, SectionKind::Snapshot(_));
        if config.sections().any(|section| is_snapshot(section.kind())) {
            return refuse("it has snapshots", "delete them first");
        }
        let drives = config.drives().map_err(unreadable)?;
        let disks = drives.into_iter().filter(|drive| !drive.is_cdrom);
        let old = Self {
            disks: disks
                .filter_map(|drive| Some((drive.key, drive.volume.parse().ok()?)))
                .collect(),
            config,
            guest: guest.clone(),
        };
        if old.runs(path, storages) {
            return refuse("it is running", "stop it first");
        }
        Ok(Some(old))
    }

    /// Whether a QEMU uses its disks, by the locks that every QEMU takes, or answers where Proxmox's do.
    fn runs(&self, config: &Path, storages: &Storages) -> bool {
        let monitor = format!("/var/run/qemu-server/{}.qmp", self.guest);
        if config.starts_with("/etc/pve") && UnixStream::connect(monitor).is_ok() {
            return true;
        }
        self.disks.iter().any(|(_, volume)| {
            let storage = storages.resolve(volume);
            let path = storage.and_then(|storage| storage.path(volume));
            path.is_ok_and(|path| {
                ImageLock::for_writing(&path)
                    .is_err_and(|error| error.kind() == BlockErrorKind::Busy)
            })
        })
    }

    /// The volume of its drive `key`.
    pub(super) fn volume(&self, key: &str) -> Option<&VolumeId> {
        let mut disks = self.disks.iter();
        disks.find_map(|(own, volume)| (own == key).then_some(volume))
    }

    /// Why a volume of its configuration, which is at `path`, is not its own alone, if it is not.
    pub(super) fn not_its_own(
        &self,
        volume: &VolumeId,
        path: &Path,
        storages: &Storages,
    ) -> Result<Option<String>, Error> {
        if let Some(config) = fleece_fleecing::referenced_by_another(volume, path, storages)? {
            return Ok(Some(format!("{} names it, too", config.display())));
        }
        let failed = |error| {
            let message = format!("cannot look for the volume {volume}");
            Error::caused(ErrorKind::Storage, message, error)
        };
        let storage = storages.resolve(volume).map_err(failed)?;
        let own = storage.list(Some(&self.guest)).map_err(failed)?;
        let is_own = own.iter().any(|own| own.id == *volume);
        Ok((!is_own).then(|| "it is not the guest's own".to_owned()))
    }

    /// Adds its volumes that `config` does not use as unused disks: nothing that the guest had is
    /// forgotten, whenever we are interrupted.
    pub(super) fn keep_as_unused(&self, config: &mut GuestConfig) -> Result<(), Error> {
        let disks = self.disks.iter().map(|(_, volume)| volume.to_string());
        let unused = unused(&self.config).map(|(_, volume)| volume.to_owned());
        let mut number = 0_u32;
        for volume in disks.chain(unused).collect::<BTreeSet<_>>() {
            if config.uses_volume(&volume) {
                continue;
            }
            config
                .main_mut()
                .set(&format!("unused{number}"), &volume)
                .map_err(Error::from)?;
            number = number.saturating_add(1);
        }
        Ok(())
    }

    /// Tells what would become of its disks.
    pub(super) fn foresee(&self, restored: &[&str], reporter: &Counting<'_>) {
        for (key, volume) in &self.disks {
            reporter.info(match restored.contains(&key.as_str()) {
                true => format!("would free the old volume {volume} ({key})"),
                false => format!("would keep the old volume {volume} ({key}) as an unused disk"),
            });
        }
    }

    /// Frees the volumes of the drives that were restored, and takes them out of the configuration.
    /// Others stay as unused disks. A volume that is not the guest's own is never freed.
    pub(super) fn free(
        &self,
        restored: &[&str],
        file: &ConfigFile,
        storages: &Storages,
        reporter: &Counting<'_>,
    ) {
        let mut freed = Vec::new();
        for (_, volume) in self
            .disks
            .iter()
            .filter(|(key, _)| restored.contains(&key.as_str()))
        {
            match fleece_fleecing::referenced_by_another(volume, file.path(), storages) {
                Ok(None) => {}
                Ok(Some(config)) => {
                    reporter.warning(format!(
                        "the old volume {volume} is kept as an unused disk: {} names it, too",
                        config.display()
                    ));
                    continue;
                }
                Err(error) => {
                    reporter.warning(format!(
                        "the old volume {volume} is kept as an unused disk: {}",
                        Error::from(error).chain()
                    ));
                    continue;
                }
            }
            let done = storages.resolve(volume).and_then(|storage| {
                let own = storage
                    .list(Some(&self.guest))?
                    .iter()
                    .any(|own| own.id == *volume);
                if own {
                    storage.free(volume).map(|_| true)
                } else {
                    Ok(false)
                }
            });
            match done {
                Ok(true) => {
                    reporter.info(format!("freed the old volume {volume}"));
                    freed.push(volume.to_string());
                }
                Ok(false) => reporter.warning(format!(
                    "the old volume {volume} is not the guest's own, and is kept as an unused disk"
                )),
                Err(error) => {
                    let error = Error::caused(ErrorKind::Storage, "it cannot be freed", error);
                    reporter.warning(format!(
                        "the old volume {volume} is kept as an unused disk: {}",
                        error.chain()
                    ));
                }
            }
        }
        let forgotten = file.update::<_, fleece_guest_config::Error>(|config| {
            let keys: Vec<String> = unused(config)
                .filter(|(_, volume)| freed.iter().any(|freed| freed == volume))
                .map(|(key, _)| key.to_owned())
                .collect();
            for key in keys {
                config.main_mut().remove(&key);
            }
            Ok(())
        });
        if let Err(error) = forgotten {
            reporter.warning(Error::from(error));
        }
        let Ok(config) = file.load() else { return };
        let others = self.disks.iter();
        let others = others.filter(|(key, _)| !restored.contains(&key.as_str()));
        for (key, volume) in others {
            let volume = volume.to_string();
            if let Some((unused, _)) = unused(&config).find(|(_, other)| *other == volume) {
                reporter.info(format!(
                    "the old disk {key} is not in the archive: {volume} is kept as {unused}"
                ));
            }
        }
    }
}

fn unused(config: &GuestConfig) -> impl Iterator<Item = (&str, &str)> {
    config.main().entries().filter(|(key, _)| {
        key.strip_prefix("unused")
            .is_some_and(|number| number.parse::<u32>().is_ok())
    })
}

fn unreadable(error: fleece_guest_config::Error) -> Error {
    let message = "cannot read the configuration of the guest that is there";
    Error::caused(ErrorKind::Target, message, error)
}
