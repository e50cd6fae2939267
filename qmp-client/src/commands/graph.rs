//! The block graph: who is whose child.

use serde::{Deserialize, Serialize};

use crate::command::command;

/// The whole graph. The command is marked unstable by QEMU, and is the only one that tells a
/// filter's child; its form has not changed from 7.2 to 11.1.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryBlockGraph {}
command!(QueryBlockGraph, "x-debug-query-block-graph", BlockGraph);

/// QAPI `XDbgBlockGraph`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct BlockGraph {
    /// Nodes and their users.
    pub nodes: Vec<GraphNode>,
    /// Who uses whom.
    pub edges: Vec<GraphEdge>,
}

/// QAPI `XDbgBlockGraphNode`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct GraphNode {
    /// A number within this reply.
    pub id: u64,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: GraphNodeKind,
    /// The name of a node, the id of a job, the name of a backend (which may be empty).
    pub name: String,
}

/// QAPI `XDbgBlockGraphNodeType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraphNodeKind {
    /// What a device, an export or a monitor holds.
    BlockBackend,
    /// A running job.
    BlockJob,
    /// A node (a block driver's state).
    BlockDriver,
}

/// QAPI `XDbgBlockGraphEdge`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct GraphEdge {
    /// The id of the user.
    pub parent: u64,
    /// The id of the used.
    pub child: u64,
    /// The role, such as `file`, `backing`, `target` or `root`.
    pub name: String,
    /// What the user may do, such as `write` or `consistent-read` (QAPI `BlockPermission`).
    #[serde(default)]
    pub perm: Vec<String>,
}

impl BlockGraph {
    /// The name of the node that the node `parent` uses in this role.
    #[must_use]
    pub fn child(&self, parent: &str, role: &str) -> Option<&str> {
        let parent = self.node(parent)?;
        let edge = self
            .edges
            .iter()
            .find(|e| e.parent == parent.id && e.name == role)?;
        self.nodes
            .iter()
            .find(|node| node.id == edge.child)
            .map(|node| node.name.as_str())
    }

    /// Who uses the node `child`, each with its role.
    pub fn parents<'a>(&'a self, child: &'a str) -> impl Iterator<Item = (&'a GraphNode, &'a str)> {
        let child = self.node(child).map(|node| node.id);
        self.edges
            .iter()
            .filter(move |edge| Some(edge.child) == child)
            .filter_map(|edge| {
                let parent = self.nodes.iter().find(|node| node.id == edge.parent)?;
                Some((parent, edge.name.as_str()))
            })
    }

    fn node(&self, name: &str) -> Option<&GraphNode> {
        let is_node = |node: &&GraphNode| node.kind == GraphNodeKind::BlockDriver;
        self.nodes
            .iter()
            .filter(is_node)
            .find(|node| node.name == name)
    }
}
