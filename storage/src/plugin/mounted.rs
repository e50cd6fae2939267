//! A directory on a file system that must be mounted, and may not answer: `nfs`, `cifs`, and
//! `dir` with `is_mountpoint`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fleece_guest_config::GuestId;
use serde_json::Value;

use super::dir::DirPlugin;
use super::{AllocationRequest, Capabilities, Freed, Plugin, Status};
use crate::block::{Access, BlockDevice};
use crate::error::Error;
use crate::mounts;
use crate::name::{VolumeFormat, VolumeName};
use crate::probe;
use crate::volume::{Volume, VolumeId};

/// How long a single operation may take on a file system that answers. A server that is slow is
/// not dead: an NFS client itself waits 60 seconds (`timeo=600`) before it asks again.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// A directory behind a mount.
#[derive(Debug, Clone)]
pub(crate) struct MountedPlugin {
    pub(crate) directory: DirPlugin,
    pub(crate) kind: &'static str,
    pub(crate) mount: PathBuf,
    /// The types of file system that may be mounted there; any if empty.
    pub(crate) fstypes: &'static [&'static str],
    /// What to do when it is not mounted.
    pub(crate) advice: String,
    pub(crate) shared: bool,
    pub(crate) timeout: Duration,
}

impl MountedPlugin {
    /// Asks the directory, if it is mounted and answers.
    ///
    /// After an `Unreachable` the operation may still come to its end some time later; `free`
    /// can then be asked again.
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&DirPlugin) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        mounts::require(&self.mount, self.fstypes, &self.advice)?;
        probe::status(&self.mount)?;
        let directory = self.directory.clone();
        probe::answered(&self.mount, self.timeout, move |_| question(&directory))
    }
}

impl MountedPlugin {
    /// NFS has an operation for it since version 4.2 (RFC 7862); what a CIFS server does is
    /// unknown.
    fn punches_holes(&self) -> Result<bool, Error> {
        let mount = mounts::at(&self.mount)?;
        Ok(mount.is_some_and(|mount| mount.options.split(',').any(|option| option == "vers=4.2")))
    }
}

impl Plugin for MountedPlugin {
    fn id(&self) -> &str {
        self.directory.id()
    }

    fn kind(&self) -> &str {
        self.kind
    }

    fn capabilities(&self) -> Result<Capabilities, Error> {
        let directory = self.directory.capabilities()?;
        let discard_granularity = match self.kind {
            "nfs" | "cifs" if !self.punches_holes()? => None,
            _ => directory.discard_granularity,
        };
        Ok(Capabilities {
            shared: self.shared || directory.shared,
            discard_granularity,
            ..directory
        })
    }

    fn status(&self) -> Result<Status, Error> {
        self.ask(Plugin::status)
    }

    fn activate(&self) -> Result<(), Error> {
        self.ask(Plugin::activate)
    }

    fn list(&self, guest: Option<&GuestId>) -> Result<Vec<Volume>, Error> {
        let guest = guest.cloned();
        self.ask(move |directory| directory.list(guest.as_ref()))
    }

    fn volume_id(&self, name: &VolumeName, format: VolumeFormat) -> Result<VolumeId, Error> {
        self.directory.volume_id(name, format)
    }

    fn allocate(&self, request: &AllocationRequest) -> Result<VolumeId, Error> {
        let request = request.clone();
        self.ask(move |directory| directory.allocate(&request))
    }

    fn free(&self, id: &VolumeId) -> Result<Freed, Error> {
        let id = id.clone();
        self.ask(move |directory| directory.free(&id))
    }

    fn path(&self, id: &VolumeId) -> Result<PathBuf, Error> {
        self.directory.path(id)
    }

    fn open(&self, id: &VolumeId, access: Access) -> Result<Arc<dyn BlockDevice>, Error> {
        let id = id.clone();
        self.ask(move |directory| directory.open(&id, access))
    }

    fn blockdev(&self, id: &VolumeId) -> Result<Value, Error> {
        self.directory.blockdev(id)
    }

    fn size(&self, id: &VolumeId) -> Result<u64, Error> {
        let id = id.clone();
        self.ask(move |directory| directory.size(&id))
    }

    fn exists(&self, id: &VolumeId) -> Result<bool, Error> {
        let id = id.clone();
        self.ask(move |directory| directory.exists(&id))
    }

    fn resize(&self, id: &VolumeId, size: u64) -> Result<(), Error> {
        let id = id.clone();
        self.ask(move |directory| directory.resize(&id, size))
    }

    fn dump_directory(&self) -> Option<PathBuf> {
        self.directory.dump_directory()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::error::ErrorKind;

    fn storage(root: &Path, mount: &str) -> MountedPlugin {
        MountedPlugin {
            directory: DirPlugin::configured("net", root, root.join("images"), root.join("dump")),
            kind: "nfs",
            mount: PathBuf::from(mount),
            fstypes: &["proc"],
            advice: "mount it".to_owned(),
            shared: true,
            timeout: Duration::from_millis(100),
        }
    }

    #[test]
    fn nothing_is_done_on_a_directory_where_nothing_is_mounted() {
        let directory = tempfile::tempdir().unwrap();
        let storage = storage(directory.path(), directory.path().to_str().unwrap());
        let name = "vm-1-disk-0".parse::<VolumeName>().unwrap();
        let request = AllocationRequest::new(name, VolumeFormat::Raw, 4096);
        let errors = [
            storage.activate().unwrap_err(),
            storage.allocate(&request).unwrap_err(),
            storage.list(None).unwrap_err(),
        ];
        assert!(
            errors
                .iter()
                .all(|error| error.kind() == ErrorKind::NotMounted)
        );
        assert!(errors[0].to_string().ends_with("mount it"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_operation_that_hangs_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let volumes = directory.path().join("images/1");
        fs::create_dir_all(&volumes).unwrap();
        // To open a FIFO waits for a writer, which never comes.
        let fifo = volumes.join("vm-1-disk-0.raw");
        assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
        let storage = storage(directory.path(), "/proc");
        let error = storage
            .size(&"net:1/vm-1-disk-0.raw".parse().unwrap())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(error.to_string().ends_with("within 100ms"), "{error}");
    }
}
