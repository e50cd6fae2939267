//! Everything of ours out of a QEMU: the way back of a session, and of a session that was killed.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use fleece_qmp_client::{Address, Client, ErrorKind as QmpErrorKind, Options};

use crate::record::Record;
use crate::{Error, ErrorKind, Step, disk, export, histogram, image, names, switch};

/// Removes exports, views, filters and image nodes, whoever of ours made them. All of it is found in
/// QEMU itself by its names; doing it twice does no harm.
///
/// `client` may have been cut off; then the monitor is connected to once more. A QEMU that is gone has
/// taken everything with it. One that runs is touched only if the images `answer`.
pub(crate) fn remove_all(
    client: Option<&Client>,
    address: &Address,
    record: &Record,
    answer: &dyn Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    let contents = record.contents()?;
    let socket = contents.nbd_socket.as_deref();
    let remove = |client: &Client| {
        answer()?;
        remove(client, socket)
    };
    if let Some(client) = client {
        match remove(client) {
            Err(error) if is_cut_off(&error) => {}
            done => return done,
        }
    }
    let gone = || match socket {
        // Nobody but a QEMU that runs can have it open.
        Some(socket) if goes_on_listening(socket) => Err(Error::new(
            ErrorKind::Qemu,
            format!(
                "the monitor {address} is gone, but QEMU still serves {}; make the monitor \
                 available, or name another one with `fleece cleanup --qmp`",
                socket.display()
            ),
        )),
        Some(socket) => {
            let _ = std::fs::remove_file(socket);
            Ok(())
        }
        None => Ok(()),
    };
    match Client::connect(address, &Options::default()) {
        Ok(client) => {
            if contents.paused {
                resume(&client)?;
            }
            match remove(&client) {
                Err(error) if is_cut_off(&error) => gone(),
                done => done,
            }
        }
        Err(error) if matches!(error.kind(), QmpErrorKind::NoSocket | QmpErrorKind::Refused) => {
            gone()
        }
        Err(error) => Err(Error::caused(
            ErrorKind::Qemu,
            "cannot look for left-overs inside QEMU; free its monitor and run `fleece cleanup`",
            error,
        )),
    }
}

fn remove(client: &Client, socket: Option<&Path>) -> Result<(), Error> {
    export::remove(client, socket)?;
    Step::ViewsRemoved.reached();
    switch::remove(client)?;
    Step::FiltersRemoved.reached();
    image::detach(client)?;
    Step::ImagesDetached.reached();
    histogram::remove(client)
}

/// Refuses a QEMU in which another backup of ours is at work, under another name or state directory:
/// our way back would take away what that one has made.
pub(crate) fn must_be_free(client: &Client) -> Result<(), Error> {
    let nodes = disk::nodes(client)?.into_keys();
    match nodes.into_iter().find(|node| names::is_ours(node)) {
        None => Ok(()),
        Some(node) => Err(Error::new(
            ErrorKind::Busy,
            format!(
                "this QEMU is being backed up under another name or with another --state-dir (it \
                 has the node {node}); wait for that, or, if it was killed, run `fleece cleanup` \
                 as it was called then"
            ),
        )),
    }
}

/// Whether QEMU lives, although its monitor is closed. One that ends closes its monitor first, and may
/// then wait for its disks.
fn goes_on_listening(socket: &Path) -> bool {
    let start = Instant::now();
    while listens(socket) {
        if start.elapsed() >= LAST_MOMENTS {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// How long a QEMU may take to end after it has closed its monitor.
const LAST_MOMENTS: Duration = Duration::from_secs(10);

/// Whether a server that lives has this socket.
pub(crate) fn listens(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// Continues a guest that was stopped for the switch by a backup that died in that instant.
fn resume(client: &Client) -> Result<(), Error> {
    use fleece_qmp_client::commands::{Cont, QueryStatus};
    let status = client
        .execute(&QueryStatus {})
        .map_err(Error::qemu("cannot ask whether the guest runs"))?;
    if status.status == "paused" {
        client
            .execute(&Cont {})
            .map_err(Error::qemu("cannot continue the guest"))?;
    }
    Ok(())
}

/// Whether the monitor connection is gone, as opposed to a command that was refused.
fn is_cut_off(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<fleece_qmp_client::Error>())
        .is_some_and(|error| error.kind() == QmpErrorKind::Closed)
}
