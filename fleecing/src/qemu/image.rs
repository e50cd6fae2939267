//! Fleecing images in QEMU: attached, and detached again.

use std::fs::File;
use std::path::Path;

use fleece_qmp_client::commands::{BlockdevAdd, BlockdevDel};
use fleece_qmp_client::{Client, Error as QmpError, ErrorKind as QmpErrorKind};
use fleece_storage::{Plugin, VolumeId};
use serde_json::Value;

use crate::disk::{self, Disk};
use crate::error::{Error, ErrorKind};
use crate::journal::step::Step;
use crate::qemu::descriptors::{self, Handed};
use crate::qemu::names;
use crate::qemu::ours::Ours;

/// Attaches image `n` as the node `names::image(n)` and checks that QEMU sees the disk's size.
pub(crate) fn attach(
    client: &Client,
    storage: &dyn Plugin,
    images: &[VolumeId],
    disks: &[Disk],
) -> Result<(), Error> {
    let rounding = storage.capabilities().map_or(1, |able| able.size_rounding);
    let rounds = |size: u64| size.checked_rem(rounding).unwrap_or_default() != 0;
    for (n, (image, disk)) in images.iter().zip(disks).enumerate() {
        let mut node = storage.blockdev(image).map_err(|error| {
            Error::caused(ErrorKind::Storage, format!("cannot locate {image}"), error)
        })?;
        if let Value::Object(options) = &mut node {
            options.insert("node-name".into(), names::image(n).into());
            // What is read is freed, so that the image stays as small as it can.
            options.insert("discard".into(), "unmap".into());
            if options.get("driver").and_then(Value::as_str) == Some("raw") && rounds(disk.size) {
                options.insert("size".into(), disk.size.into());
            }
        }
        add(client, node, storage.path(image).ok().as_deref()).map_err(Error::qemu(format!(
            "{}: cannot attach the fleecing image {image}; QEMU must be allowed to open it, or to take \
             it open over a Unix socket of its monitor",
            disk.name
        )))?;
        Step::ImageAttached.reached();
    }
    let nodes = disk::nodes(client)?;
    for (n, (image, disk)) in images.iter().zip(disks).enumerate() {
        let size = nodes
            .get(&names::image(n))
            .map(|node| node.image.virtual_size);
        if size != Some(disk.size) {
            return Err(Error::new(
                ErrorKind::Storage,
                format!(
                    "the fleecing image {image} has {} bytes and {} has {}; they must be equal",
                    size.unwrap_or_default(),
                    disk.name,
                    disk.size
                ),
            ));
        }
    }
    Ok(())
}

/// Makes a node. Where QEMU may not open the file at `path`, it gets it open.
fn add(client: &Client, mut node: Value, path: Option<&Path>) -> Result<(), QmpError> {
    let refused = match client.execute(&BlockdevAdd(node.clone())) {
        Err(error) if matches!(error.kind(), QmpErrorKind::Command(_)) => error,
        done => return done.map(drop),
    };
    let (Some(path), Ok(true)) = (path, descriptors::takes_files(client)) else {
        return Err(refused);
    };
    let (Ok(file), Some(name)) = (
        File::options().read(true).write(true).open(path),
        path.to_str(),
    ) else {
        return Err(refused);
    };
    let handed = Handed::over(client, &file, name)?;
    descriptors::rename(&mut node, path, &handed.name());
    client.execute(&BlockdevAdd(node)).map(drop)
}

/// Detaches the images of ours.
pub(crate) fn detach(client: &Client, ours: &Ours) -> Result<(), Error> {
    for node_name in &ours.images {
        client
            .execute(&BlockdevDel {
                node_name: node_name.clone(),
            })
            .map_err(Error::qemu(format!(
                "cannot detach the fleecing image {node_name}"
            )))?;
    }
    descriptors::take_back(client)
}
