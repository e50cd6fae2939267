//! Making, changing and removing nodes.

use serde::Serialize;
use serde_json::Value;

use crate::command::{Done, command};

/// Makes a node. The value is QAPI `BlockdevOptions`, an object with at least `driver` and
/// `node-name`.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct BlockdevAdd(pub Value);
command!(BlockdevAdd, "blockdev-add", Done);

/// Removes a node that nothing uses.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockdevDel {
    /// Its name.
    pub node_name: String,
}
command!(BlockdevDel, "blockdev-del", Done);

/// Changes options of nodes, all in one step or not at all. Options that are left out get
/// their default.
///
/// QEMU 10.0 and 11.1 crash on a node whose name is automatic (`#block…`) and on a qcow2 node.
#[derive(Clone, Debug, Serialize)]
pub struct BlockdevReopen {
    /// Per node its full QAPI `BlockdevOptions`.
    pub options: Vec<Value>,
}
command!(BlockdevReopen, "blockdev-reopen", Done);
