//! Backups of libvirt's own in pull mode: it makes the point in time, and QEMU serves it.

use std::path::{Path, PathBuf};

use super::{ANSWERS, Domain, LOCK};
use crate::error::Error;
use crate::xml::backup::{self, PullDisk};

impl Domain {
    /// Begins a backup: all disks at one instant, served by QEMU on `socket`, which QEMU makes, until
    /// [`abort_job`](Self::abort_job). The scratch files are there already, and stay.
    ///
    /// libvirt 9.0 may crash here if QEMU has an NBD server already.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) with libvirt's words, and what [`Libvirt::connect`](crate::Libvirt::connect) gives.
    pub fn begin_pull(&self, socket: &Path, disks: &[PullDisk<'_>]) -> Result<(), Error> {
        let file = self.virsh.hand_over(&backup::pull(socket, disks)?)?;
        let uuid = self.address.uuid();
        let words = ["backup-begin", uuid, "/dev/stdin", "--reuse-external"];
        self.virsh.run_with(file, &words, LOCK).map(drop)
    }

    /// The socket of the backup that libvirt is at, if it is at one in pull mode.
    ///
    /// # Errors
    /// As [`state`](Self::state); [`ErrorKind::NotRunning`](crate::ErrorKind::NotRunning) if the domain is off.
    pub fn pull_socket(&self) -> Result<Option<PathBuf>, Error> {
        match self.run("backup-dumpxml", &[], ANSWERS) {
            Ok(xml) => backup::socket(&xml),
            Err(error) if error.to_string().contains("no domain backup job") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells libvirt to give up what it is doing with the domain: the end of a backup in pull mode, also of one that was
    /// read to its end. It may take a moment longer than this call.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn abort_job(&self) -> Result<(), Error> {
        self.run("domjobabort", &[], LOCK).map(drop)
    }
}
