//! A live guest's disks as [`Source`]s: snapshot views that QEMU exports over NBD.

use std::sync::Arc;

use fleece_fleecing::Session;
use fleece_nbd::{Address, Client, Errno, ErrorKind as NbdErrorKind};

use crate::nbd_source::NbdSource;
use crate::source::Source;
use crate::{Error, ErrorKind};

/// Exports the instant and connects to each disk of it. `prime`: with one big read first, which a guest
/// that writes would feel.
pub(super) fn open(session: &Session<'_>, prime: bool) -> Result<Vec<Arc<dyn Source>>, Error> {
    use fleece_qmp_client::Address as Monitor;
    let address = match session.export()? {
        Monitor::Unix(path) => Address::Unix(path),
        Monitor::Tcp(host) => Address::Tcp(host),
        other => {
            return Err(Error::new(
                ErrorKind::Request,
                format!("cannot read from {other}"),
            ));
        }
    };
    let options = fleece_nbd::Options::default().with_block_status(!session.may_hang());
    let mut sources: Vec<Arc<dyn Source>> = Vec::new();
    for (n, disk) in session.disks().iter().enumerate() {
        let client =
            Client::connect(&address, &Session::export_name(n), &options).map_err(|error| {
                let message = format!("{}: cannot connect to the exported view", disk.name);
                Error::caused(ErrorKind::Guest, message, error)
            })?;
        let source = NbdSource::new(disk.name.clone(), client, meaning);
        if prime {
            source.prime()?;
        }
        sources.push(Arc::new(source));
    }
    Ok(sources)
}

/// QEMU's snapshot-access answers EACCES once the snapshot is broken, which its NBD server sends as
/// EINVAL; there is no event and no other sign of it.
fn meaning(error: &fleece_nbd::Error) -> (ErrorKind, &'static str) {
    match error.kind() {
        NbdErrorKind::Server(Errno::Invalid | Errno::Permission) => (
            ErrorKind::Snapshot,
            ": QEMU gave up the point in time because it could not save old data to the fleecing image \
             (full, failing, or slower than --cbw-timeout)",
        ),
        _ => (ErrorKind::Guest, ""),
    }
}
