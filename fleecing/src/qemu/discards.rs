//! Whether a guest's discards reach its disks.
//!
//! QEMU tells of no node whether it passes discards on (`discard=unmap`; no command from 7.2 to 11.1 shows it).
//! But it counts those of the guest's devices, and those that an image's file has taken, since its start; and
//! its command line has the option of all disks that were not plugged later.

mod command_line;

use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{BlockGraph, BlockStats, QueryBlockStats};

use crate::disk::{self, Disk};
use crate::error::Error;

/// Whether a disk of QEMU's command line would give space back, or any of `disks` has done so since its start.
pub(crate) fn reach(client: &Client, disks: &[Disk]) -> Result<bool, Error> {
    if command_line::passes_discards_on(&crate::command_line::of(client)) {
        return Ok(true);
    }
    let failed = "cannot query what the guest has discarded";
    let stats = |query_nodes| client.execute(&QueryBlockStats { query_nodes });
    let devices = stats(None).map_err(Error::qemu(failed))?;
    let nodes = stats(Some(true)).map_err(Error::qemu(failed))?;
    let graph = disk::graph(client)?;
    Ok(disks
        .iter()
        .any(|disk| reaches(disk, &devices, &nodes, &graph)))
}

fn reaches(disk: &Disk, devices: &[BlockStats], nodes: &[BlockStats], graph: &BlockGraph) -> bool {
    let mut node = disk.base.as_str();
    while let Some(below) = graph.child(node, "file") {
        node = below;
    }
    let file = nodes
        .iter()
        .find(|stats| stats.node_name.as_deref() == Some(node));
    let taken = file.and_then(|stats| stats.driver_specific.as_ref()?.discard_nb_ok);
    // What is no file counts nothing.
    taken.map_or_else(
        || {
            devices.iter().any(|stats| {
                disk.stats_id.is_some()
                    && stats.qdev == disk.stats_id
                    && stats.stats.unmap_operations > 0
            })
        },
        |taken| taken > 0,
    )
}
