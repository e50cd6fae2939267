//! What libvirt was asked to do, and is to undo.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fleece_libvirt::DomainAddress;

use super::{PULL, Record, SHUT_DOWN, absolute, text};
use crate::error::Error;
use crate::journal::step::Step;

impl Record {
    /// Notes the socket of a backup of libvirt's own that is about to begin, or that it is gone.
    pub(crate) fn note_pull(&self, socket: Option<&Path>) -> Result<(), Error> {
        self.note(PULL, socket.map(text).transpose()?)?;
        if socket.is_some() {
            Step::PullRecorded.reached();
        }
        Ok(())
    }

    /// Notes that a domain is about to be shut down, or how far that is; or that it runs again.
    pub(crate) fn note_shut_down(
        &self,
        what: Option<(Duration, &DomainAddress)>,
    ) -> Result<(), Error> {
        let line = what.map(|(until, domain)| format!("{} {domain}", until.as_secs()));
        self.note(SHUT_DOWN, line.as_deref())
    }

    /// Where QEMU makes the socket of a backup of libvirt's own: in a directory that is QEMU's.
    pub(crate) fn pull_socket(&self) -> PathBuf {
        absolute(&self.place.file("pull").join("nbd"))
    }

    /// A socket beside the record.
    pub(crate) fn nbd_socket(&self) -> PathBuf {
        self.place.nbd_socket()
    }
}
