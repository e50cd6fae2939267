//! A live guest's disks as [`Source`]s: snapshot views that QEMU exports over NBD.

use std::sync::Arc;

use fleece_fleecing::Session;
use fleece_nbd::{Address, Client, Errno, ErrorKind as NbdErrorKind};

use crate::job::cancel::CancelToken;
use crate::pipeline::source::Source;
use crate::pipeline::source::nbd::NbdSource;
use crate::report::error::{Error, ErrorKind};

/// Exports the instant and connects to each disk of it. `prime`: with one big read first, which a guest
/// that writes would feel.
pub(super) fn open(
    session: &Session<'_>,
    prime: bool,
    cancel: &CancelToken,
) -> Result<(Address, Vec<Arc<dyn Source>>), Error> {
    let address = export(session)?;
    let mut sources: Vec<Arc<dyn Source>> = Vec::new();
    for n in 0..session.disks().len() {
        let source = connect(session, &address, n, !session.may_hang())?;
        // In small steps nothing is so big that QEMU would map memory for it.
        if prime && session.request_boundary().is_none() {
            source.prime(cancel)?;
        }
        sources.push(Arc::new(source));
    }
    Ok((address, sources))
}

fn export(session: &Session<'_>) -> Result<Address, Error> {
    use fleece_qmp_client::Address as Monitor;
    match session.export()? {
        Monitor::Unix(path) => Ok(Address::Unix(path)),
        Monitor::Tcp(host) => Ok(Address::Tcp(host)),
        other => Err(Error::new(
            ErrorKind::Request,
            format!("cannot read from {other}"),
        )),
    }
}

/// Disk `n`; `block_status`: with structured replies, in which QEMU leaves holes out.
fn connect(
    session: &Session<'_>,
    address: &Address,
    n: usize,
    block_status: bool,
) -> Result<NbdSource, Error> {
    let name = session.disks().get(n).map_or("", |disk| &disk.name);
    let options = fleece_nbd::Options::default().with_block_status(block_status);
    let client = Client::connect(address, &Session::export_name(n), &options).map_err(|error| {
        let message = format!("{name}: cannot connect to the exported view");
        Error::caused(ErrorKind::Guest, message, error)
    })?;
    Ok(NbdSource::new(name.to_owned(), client, meaning).in_steps(session.request_boundary()))
}

/// QEMU's snapshot-access answers EACCES once the snapshot is broken, which its NBD server sends as
/// EINVAL; there is no event and no other sign of it.
fn meaning(error: &fleece_nbd::Error) -> (ErrorKind, &'static str) {
    match error.kind() {
        NbdErrorKind::Server(Errno::Invalid | Errno::Permission) => (
            ErrorKind::Snapshot,
            ": QEMU gave up the point in time because it could not save old data to the fleecing image \
             (full, failing, or too slow)",
        ),
        _ => (ErrorKind::Guest, ""),
    }
}

#[cfg(test)]
mod tests;
