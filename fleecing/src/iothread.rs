//! Whether a disk's requests run in an iothread.

use fleece_qmp_client::commands::{QomGet, QomList};
use fleece_qmp_client::{Client, ErrorKind as QmpErrorKind};
use serde_json::Value;

use crate::Error;

/// Whether the device at `path`, or the controller on whose bus it sits, has an iothread.
pub(crate) fn used_by(client: &Client, path: Option<&str>) -> Result<bool, Error> {
    let Some(path) = path else { return Ok(false) };
    // `iothread` is a property of virtio-blk-pci itself, and of the controller of a scsi-hd.
    let bus = get(client, path, "parent_bus")?;
    for place in ancestors(path).chain(bus.as_deref().into_iter().flat_map(ancestors)) {
        if get(client, place, "iothread")?.is_some_and(|thread| !thread.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether there is any iothread at all.
pub(crate) fn any(client: &Client) -> Result<bool, Error> {
    match client.execute(&QomList {
        path: "/objects".into(),
    }) {
        Ok(objects) => Ok(objects
            .iter()
            .any(|object| object.kind == "child<iothread>")),
        // A storage daemon without objects does not even have the place for them.
        Err(error) if matches!(error.kind(), QmpErrorKind::Command(_)) => Ok(false),
        Err(error) => Err(Error::qemu("cannot list QEMU's objects")(error)),
    }
}

/// A string property; `None` if the object does not have it.
fn get(client: &Client, path: &str, property: &str) -> Result<Option<String>, Error> {
    match client.execute(&QomGet {
        path: path.into(),
        property: property.into(),
    }) {
        Ok(Value::String(value)) => Ok(Some(value)),
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), QmpErrorKind::Command(_)) => Ok(None),
        Err(error) => Err(Error::qemu(format!("cannot look at {path}"))(error)),
    }
}

/// `path` and what contains it, up to a device's own place: `/machine/<container>/<device>`.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        path.rsplit_once('/').map(|(parent, _)| parent)
    })
    .take_while(|path| path.matches('/').count() >= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_end_at_the_device() {
        assert_eq!(
            ancestors("/machine/peripheral/scsi0/virtio-backend/scsi0.0").collect::<Vec<_>>(),
            [
                "/machine/peripheral/scsi0/virtio-backend/scsi0.0",
                "/machine/peripheral/scsi0/virtio-backend",
                "/machine/peripheral/scsi0",
            ]
        );
        assert_eq!(ancestors("").count(), 0);
    }
}
