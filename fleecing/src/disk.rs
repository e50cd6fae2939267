//! A guest's disk: what QEMU calls it, what an archive calls it, how a filter gets above it.

use std::collections::HashMap;

use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{
    BlockDevice, BlockGraph, BlockMedium, QueryBlockGraph, QueryNamedBlockNodes,
};
use serde_json::{Map, Value};

use crate::error::Error;

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
    /// QOM type of the guest's device, likewise.
    pub device_type: Option<String>,
    /// How `query-blockstats` calls the device.
    pub stats_id: Option<String>,
    /// Whether the disk's requests run in an iothread.
    pub iothread: bool,
    /// The image, as QEMU describes it; for people.
    pub image: String,
    /// Whether QEMU decrypts what is in the image, so that we see plain text.
    pub encrypted: bool,
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

pub(crate) type Nodes = HashMap<String, BlockMedium>;

pub(crate) fn graph(client: &Client) -> Result<BlockGraph, Error> {
    client
        .execute(&QueryBlockGraph {})
        .map_err(Error::qemu("cannot query the block graph"))
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

/// The QOM path of the device that uses a disk.
pub(crate) fn device_path(block: &BlockDevice) -> Option<String> {
    let qdev = block.qdev.as_deref()?;
    Some(if qdev.starts_with('/') {
        qdev.into()
    } else {
        format!("/machine/peripheral/{qdev}")
    })
}

/// The disk on the node `root`; `None` without such a node, or with nothing in it.
pub(crate) fn on_node(
    name: String,
    root: &str,
    size: u64,
    nodes: &Nodes,
    graph: &BlockGraph,
) -> Option<Disk> {
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
        // A throttle node does not hear of a resize below it, and QEMU aborts if the fleecing image is too small.
        size: nodes.get(base)?.image.virtual_size,
        top,
        device_path: None,
        device_type: None,
        stats_id: None,
        iothread: false,
        image: nodes.get(base)?.file.clone(),
        encrypted: is_encrypted(root, nodes, graph),
    })
}

/// Whether a node that decrypts (`luks`, an encrypted qcow2) is among those below `root`: QEMU says it of
/// that node only, and nothing of those above (measured on 7.2, 10.0 and 11.1).
fn is_encrypted(root: &str, nodes: &Nodes, graph: &BlockGraph) -> bool {
    let mut below = vec![root];
    // Each node can be below several, and none below itself.
    let mut left = nodes.len().saturating_mul(2);
    while let Some(node) = below.pop() {
        if nodes.get(node).is_some_and(|node| node.encrypted) {
            return true;
        }
        left = left.saturating_sub(1);
        if left > 0 {
            below.extend(
                ["file", "backing"]
                    .iter()
                    .filter_map(|role| graph.child(node, role)),
            );
        }
    }
    false
}
