//! Everything of ours out of a QEMU: the way back of a session, and of a session that was killed.

use std::path::Path;

use fleece_qmp_client::{Address, Client, ErrorKind as QmpErrorKind, Options};

use crate::record::Record;
use crate::{Error, ErrorKind, export, histogram, image, switch};

/// Removes exports, views, filters and image nodes, whoever of ours made them. All of it is found in
/// QEMU itself by its names; doing it twice does no harm.
///
/// `client` may have been cut off; then the monitor is connected to once more. A QEMU that is gone has
/// taken everything with it.
pub(crate) fn remove_all(
    client: Option<&Client>,
    address: &Address,
    record: &Record,
) -> Result<(), Error> {
    let contents = record.contents()?;
    let socket = contents.nbd_socket.as_deref();
    if let Some(client) = client {
        match remove(client, socket) {
            Err(error) if is_cut_off(&error) => {}
            done => return done,
        }
    }
    let gone = || {
        if let Some(socket) = socket {
            let _ = std::fs::remove_file(socket);
        }
        Ok(())
    };
    match Client::connect(address, &Options::default()) {
        Ok(client) => {
            if contents.paused {
                resume(&client)?;
            }
            match remove(&client, socket) {
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
    switch::remove(client)?;
    image::detach(client)?;
    histogram::remove(client)
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
