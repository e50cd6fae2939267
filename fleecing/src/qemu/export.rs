//! Views of the instant, exported for reading; and away again.

use std::path::Path;

use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{
    BitmapRef, BlockExportAdd, BlockExportDel, BlockdevAdd, BlockdevDel, ExportKind,
    ExportRemoveMode,
};
use serde_json::json;

use crate::disk::Disk;
use crate::error::Error;
use crate::journal::step::Step;
use crate::qemu::bitmaps::Tracking;
use crate::qemu::names;
use crate::qemu::ours::{self, Ours};
use crate::qemu::server;
use crate::qemu::wait;

/// Makes a view above each filter.
pub(crate) fn add_views(client: &Client, disks: &[Disk]) -> Result<(), Error> {
    for (n, disk) in disks.iter().enumerate() {
        let view = json!({
            "driver": "snapshot-access",
            "node-name": names::view(n),
            "file": names::filter(n),
            // So that what was read can be freed in the fleecing image.
            "discard": "unmap",
        });
        client
            .execute(&BlockdevAdd(view))
            .map_err(Error::qemu(format!(
                "{}: cannot make the snapshot view",
                disk.name
            )))?;
    }
    Ok(())
}

/// Exports each view under a name that nobody else uses.
pub(crate) fn add_exports(
    client: &Client,
    disks: &[Disk],
    tracking: &Tracking,
) -> Result<(), Error> {
    for (n, disk) in disks.iter().enumerate() {
        let bitmap = tracking.bitmap(n).map(|name| BitmapRef {
            node: disk.base.clone(),
            name,
        });
        let export = BlockExportAdd {
            id: names::export(n),
            node_name: names::view(n),
            // Nobody can write to a view; this allows to discard what was read.
            writable: Some(true),
            iothread: None,
            kind: ExportKind::Nbd {
                name: names::export(n),
                bitmaps: bitmap.into_iter().collect(),
            },
        };
        client.execute(&export).map_err(Error::qemu(format!(
            "{}: cannot export the snapshot view",
            disk.name
        )))?;
    }
    Ok(())
}

/// Removes the exports and views of ours, and the server if the record says that it is ours.
pub(crate) fn remove(client: &Client, ours: &Ours, server: Option<&Path>) -> Result<(), Error> {
    let left = || -> Result<Vec<String>, Error> {
        let ids = ours::exports(client)?.into_iter().map(|export| export.id);
        Ok(ids.filter(|id| ours.exports.contains(id)).collect())
    };
    for id in left()? {
        // It may be going already; the wait below tells.
        let _ = client.execute(&BlockExportDel {
            id,
            mode: Some(ExportRemoveMode::Hard),
        });
    }
    wait::until_gone(client, "exports", left)?;
    Step::ExportsRemoved.reached();
    if let Some(socket) = server {
        server::stop(client, socket)?;
    }
    for name in &ours.views {
        client
            .execute(&BlockdevDel {
                node_name: name.clone(),
            })
            .map_err(Error::qemu(format!("cannot remove the view {name}")))?;
    }
    Ok(())
}
