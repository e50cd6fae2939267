//! Whether a disk's requests run in an iothread.

use fleece_qmp_client::Client;
use serde_json::Value;

use crate::discover::qom;
use crate::error::Error;

/// Whether the device at `path`, or the controller on whose bus it sits, has an iothread.
pub(crate) fn used_by(client: &Client, path: Option<&str>) -> Result<bool, Error> {
    let Some(path) = path else { return Ok(false) };
    // `iothread`, or a mapping of queues to several (QEMU 9.0), is a property of virtio-blk-pci itself,
    // and of the controller of a scsi-hd.
    let bus = qom::get(client, path, "parent_bus")?;
    let bus = bus.as_ref().and_then(Value::as_str);
    for place in ancestors(path).chain(bus.into_iter().flat_map(ancestors)) {
        for property in ["iothread", "iothread-vq-mapping"] {
            if qom::get(client, place, property)?.is_some_and(|threads| names_any(&threads)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether such a property has a value.
fn names_any(threads: &Value) -> bool {
    match threads {
        Value::String(name) => !name.is_empty(),
        Value::Array(mapping) => !mapping.is_empty(),
        _ => false,
    }
}

/// Whether there is any iothread at all.
pub(crate) fn any(client: &Client) -> Result<bool, Error> {
    let objects = qom::children(client, "/objects")?;
    Ok(objects.iter().any(|(_, kind)| kind == "iothread"))
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
    fn a_property_names_threads_in_either_form() {
        use serde_json::json;
        for (value, expected) in [
            (json!("io0"), true),
            (json!(""), false),
            (json!([{"iothread": "io0"}]), true),
            (json!([]), false),
            (json!(null), false),
        ] {
            assert_eq!(names_any(&value), expected, "{value}");
        }
    }

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
