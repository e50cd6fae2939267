//! The guest's disks: what QEMU calls them, what an archive calls them, how a filter gets above them.

use std::collections::HashMap;

use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{
    BlockDevice, BlockGraph, BlockMedium, QueryBlock, QueryBlockExports, QueryBlockGraph,
    QueryNamedBlockNodes,
};
use serde_json::{Map, Value};

use crate::{Error, ErrorKind, iothread};

/// A disk that can be backed up.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Disk {
    /// Its name in the archive, as Proxmox would call it where that can be known: `drive-scsi0`.
    pub name: String,
    /// The node that the guest's device is attached to.
    pub root: String,
    /// The node that holds the data: `root`, or what is below it if that is a throttle node, so
    /// that reading does not spend the guest's I/O limit.
    pub base: String,
    /// Size in bytes.
    pub size: u64,
    /// What can be done with the node on top.
    pub top: Top,
    /// QOM path of the guest's device; `None` for a node that a storage daemon exports.
    pub device_path: Option<String>,
    /// How `query-blockstats` calls the device.
    pub stats_id: Option<String>,
    /// Whether the disk's requests run in an iothread.
    pub iothread: bool,
    /// The image, as QEMU describes it; for people.
    pub image: String,
}

/// The node on top of a disk.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Top {
    /// Nothing may be put below it: `blockdev-reopen` of an unnamed or a qcow2 node crashes QEMU
    /// (measured on 10.0.2 and 11.1.3).
    Fixed,
    /// A named throttle node, with the options that repeat its state to `blockdev-reopen`.
    Throttle(Map<String, Value>),
    /// A named raw node, likewise.
    Raw(Map<String, Value>),
}

impl Top {
    /// The options for `blockdev-reopen` without the child `file`.
    pub(crate) fn reopen_options(&self) -> Option<&Map<String, Value>> {
        match self {
            Self::Fixed => None,
            Self::Throttle(options) | Self::Raw(options) => Some(options),
        }
    }
}

/// All writable disks of the guest, in QEMU's order.
///
/// A storage daemon has no guest devices; its disks are the nodes that it exports to others.
///
/// # Errors
/// [`ErrorKind::Qemu`], or [`ErrorKind::Disks`] if there are none.
pub fn discover(client: &Client) -> Result<Vec<Disk>, Error> {
    let blocks = client
        .execute(&QueryBlock {})
        .map_err(Error::qemu("cannot list the guest's disks"))?;
    let nodes = nodes(client)?;
    let graph = graph(client)?;
    let mut disks = Vec::new();
    for block in &blocks {
        if let Some(mut disk) = attached(block, &nodes, &graph) {
            disk.iothread = iothread::used_by(client, disk.device_path.as_deref())?;
            disks.push(disk);
        }
    }
    if blocks.iter().all(|block| block.qdev.is_none()) {
        disks.extend(exported(client, &nodes, &graph)?);
    }
    if disks.is_empty() {
        return Err(Error::new(
            ErrorKind::Disks,
            "this QEMU has no writable disk, so there is nothing to back up",
        ));
    }
    make_unique(&mut disks);
    Ok(disks)
}

/// Options that repeat the state of a throttle or raw node to `blockdev-reopen`, which otherwise
/// resets what is not named. (`discard` is the exception: it keeps its value, and cannot be asked.)
pub(crate) fn reopen_options(name: &str, node: &BlockMedium) -> Option<Map<String, Value>> {
    if name.starts_with('#') || node.file.len() > MAX_DESCRIPTION {
        return None;
    }
    let mut options = Map::new();
    // What a plain file name cannot express, QEMU describes as `json:{…}`.
    let described: Map<String, Value> = match node.file.strip_prefix("json:") {
        Some(description) => serde_json::from_str(description).ok()?,
        None => Map::new(),
    };
    match node.drv.as_str() {
        "throttle" => {
            options.insert(
                "throttle-group".into(),
                described.get("throttle-group")?.clone(),
            );
        }
        "raw" if !described.contains_key("offset") && !described.contains_key("size") => {}
        _ => return None,
    }
    options.insert("driver".into(), node.drv.as_str().into());
    options.insert("node-name".into(), name.into());
    options.insert("read-only".into(), node.ro.into());
    options.insert("detect-zeroes".into(), node.detect_zeroes.as_str().into());
    options.insert(
        "cache".into(),
        serde_json::json!({"direct": node.cache.direct, "no-flush": node.cache.no_flush}),
    );
    Some(options)
}

/// The longest description of a node that is understood. QEMU cuts them off at 4096 bytes, and with
/// the filter and the fleecing image below it must still be complete.
const MAX_DESCRIPTION: usize = 2048;

type Nodes = HashMap<String, BlockMedium>;

pub(crate) fn graph(client: &Client) -> Result<BlockGraph, Error> {
    client
        .execute(&QueryBlockGraph {})
        .map_err(Error::qemu("cannot look at the block graph"))
}

pub(crate) fn nodes(client: &Client) -> Result<Nodes, Error> {
    let nodes = client
        .execute(&QueryNamedBlockNodes { flat: Some(true) })
        .map_err(Error::qemu("cannot list the block nodes"))?;
    Ok(nodes
        .into_iter()
        .filter_map(|node| Some((node.node_name.clone()?, node)))
        .collect())
}

/// The disk of a guest's device; `None` for what is not backed up: empty, read-only, unattached.
fn attached(block: &BlockDevice, nodes: &Nodes, graph: &BlockGraph) -> Option<Disk> {
    let qdev = block.qdev.as_deref()?;
    let inserted = block.inserted.as_ref().filter(|inserted| !inserted.ro)?;
    let size = inserted.image.virtual_size;
    let root = inserted.node_name.as_deref()?;
    let path = device_path(block)?;
    let name = archive_name(&block.device, root, &path);
    let mut disk = on_node(name, root, size, nodes, graph)?;
    disk.device_path = Some(path);
    disk.stats_id = Some(qdev.to_owned());
    Some(disk)
}

/// The QOM path of the device that uses a disk.
pub(crate) fn device_path(block: &BlockDevice) -> Option<String> {
    let qdev = block.qdev.as_deref()?;
    Some(if qdev.starts_with('/') {
        qdev.into()
    } else {
        format!("/machine/peripheral/{qdev}")
    })
}

/// The disks of a storage daemon: what it exports, except views of an instant.
fn exported(client: &Client, nodes: &Nodes, graph: &BlockGraph) -> Result<Vec<Disk>, Error> {
    let mut exports = client
        .execute(&QueryBlockExports {})
        .map_err(Error::qemu("cannot list the storage daemon's exports"))?;
    let mut disks: Vec<Disk> = Vec::new();
    exports.sort_by(|one, other| one.id.cmp(&other.id));
    for export in exports {
        let node = export.node_name.as_str();
        if disks.iter().any(|disk| disk.root == node) {
            continue;
        }
        // A view of ours is no disk.
        let is_disk = |info: &&BlockMedium| !info.ro && info.drv != "snapshot-access";
        let Some(info) = nodes.get(node).filter(is_disk) else {
            continue;
        };
        let size = info.image.virtual_size;
        if let Some(mut disk) = on_node(file_safe(node), node, size, nodes, graph) {
            disk.iothread = iothread::any(client)?;
            disks.push(disk);
        }
    }
    Ok(disks)
}

fn on_node(name: String, root: &str, size: u64, nodes: &Nodes, graph: &BlockGraph) -> Option<Disk> {
    let info = nodes.get(root)?;
    if size == 0 {
        return None;
    }
    let below = graph.child(root, "file");
    let top = match (reopen_options(root, info), below) {
        (Some(options), Some(_)) if info.drv == "throttle" => Top::Throttle(options),
        (Some(options), Some(_)) => Top::Raw(options),
        _ => Top::Fixed,
    };
    let base = if info.drv == "throttle" { below? } else { root };
    Some(Disk {
        name,
        root: root.into(),
        base: base.into(),
        size,
        top,
        device_path: None,
        stats_id: None,
        iothread: false,
        image: nodes.get(base)?.file.clone(),
    })
}

/// `drive-<key>` where a name tells the key: Proxmox calls the drive (`-drive`) or the top node
/// (`-blockdev`) `drive-scsi0`, and the device `scsi0`. Otherwise the best name there is.
fn archive_name(drive: &str, node: &str, path: &str) -> String {
    for name in [drive, node] {
        if let Some(key) = name.strip_prefix("drive-")
            && !key.is_empty()
        {
            return file_safe(name);
        }
    }
    let device = path
        .trim_start_matches("/machine/")
        .trim_start_matches("peripheral/")
        .trim_end_matches("/virtio-backend");
    let best = [device, drive, node]
        .into_iter()
        .find(|name| !name.is_empty() && !name.contains(['#', '/', '[']))
        .unwrap_or(device);
    format!("drive-{}", file_safe(best))
}

/// A name that every reader of archives accepts: letters, digits, `.`, `_` and `-`.
fn file_safe(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '-'
            }
        })
        .collect();
    safe.trim_matches(['-', '.']).chars().take(128).collect()
}

fn make_unique(disks: &mut [Disk]) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for disk in disks {
        let count = seen.entry(disk.name.clone()).or_insert(0);
        if *count > 0 {
            disk.name = format!("{}-{count}", disk.name);
        }
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_called_as_proxmox_calls_them_where_that_can_be_known() {
        for (drive, node, path, name) in [
            (
                "drive-virtio0",
                "#block1",
                "/machine/peripheral/virtio0/virtio-backend",
                "drive-virtio0",
            ),
            (
                "",
                "drive-scsi0",
                "/machine/peripheral/scsi0",
                "drive-scsi0",
            ),
            (
                "",
                "node0",
                "/machine/peripheral/virtio1/virtio-backend",
                "drive-virtio1",
            ),
            (
                "virtio0",
                "#block2",
                "/machine/peripheral-anon/device[0]/virtio-backend",
                "drive-virtio0",
            ),
            (
                "",
                "libvirt-1-format",
                "/machine/unattached/device[3]",
                "drive-libvirt-1-format",
            ),
            (
                "",
                "#block9",
                "/machine/unattached/device[3]",
                "drive-unattached-device-3",
            ),
            (
                "drive-../../x",
                "",
                "/machine/peripheral/a",
                "drive-..-..-x",
            ),
        ] {
            assert_eq!(archive_name(drive, node, path), name);
        }
    }

    #[test]
    fn the_same_name_twice_becomes_two_names() {
        let disk = |name: &str| Disk {
            name: name.into(),
            root: String::new(),
            base: String::new(),
            size: 1,
            top: Top::Fixed,
            device_path: None,
            stats_id: None,
            iothread: false,
            image: String::new(),
        };
        let mut disks = [disk("a"), disk("a"), disk("b"), disk("a")];
        make_unique(&mut disks);
        assert_eq!(disks.map(|disk| disk.name), ["a", "a-1", "b", "a-2"]);
    }
}
