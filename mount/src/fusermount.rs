//! The program by which users mount and unmount.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use fleece_plain_text::message;
use rustix::cmsg_space;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::error::Error;

/// As which our file systems appear in the list of mounts.
pub(crate) const TYPE: &str = "fuse.vma";
pub(crate) const SUBTYPE: &str = "vma";

const FUSERMOUNT: &str = "fusermount3";

/// Mounts for a user, with these options besides those that all have, and gives the descriptor through which the kernel asks.
pub(crate) fn mount(place: &Path, source: &str, options: &str) -> Result<OwnedFd, Error> {
    let failed = |error: io::Error| {
        let what = format!("cannot mount at {}", place.display());
        Error::caused(what, error)
    };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    // Commas are what separates options.
    let source = source.replace('\\', "\\\\").replace(',', "\\,");
    let words = format!("{options},nosuid,nodev,subtype={SUBTYPE},fsname={source}");
    let child = Command::new(FUSERMOUNT)
        .args(["-o", &words, "--"])
        .arg(place)
        // The socket is its standard input.
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::caused(
            format!(
                "users mount by {FUSERMOUNT}, of the package fuse3: install that, or mount as root"
            ),
            error,
        ),
        _ => failed(error),
    })?;
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(io::Error::other(message(said.trim()).into_owned())));
    }
    received(&ours).map_err(failed)
}

/// The descriptor that is sent through a socket.
fn received(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut data = [IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
            && let Some(device) = descriptors.next()
        {
            return Ok(device);
        }
    }
    Err(io::Error::other(format!(
        "{FUSERMOUNT} has sent no descriptor"
    )))
}

/// Lets `fusermount3` do something with a mount of the user's.
pub(crate) fn fusermount(options: &[&str], place: &Path) -> io::Result<()> {
    let output = Command::new(FUSERMOUNT).args(options).arg(place).output()?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(io::Error::other(message(said.trim()).into_owned()))
        }
    }
}
