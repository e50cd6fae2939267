//! Who else uses a disk's nodes.

use std::collections::HashSet;

use fleece_qmp_client::commands::{BlockGraph, GraphEdge, GraphNode, GraphNodeKind};

use crate::disk::Disk;

/// What is in the way of one disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub(super) reason: String,
    /// Nothing can be done but to back up the other disks.
    pub(super) can_exclude: bool,
}

/// Who works on the disk besides its guest, and what to do about it.
pub(super) fn obstacle(graph: &BlockGraph, disk: &Disk) -> Option<Obstacle> {
    let root = graph
        .nodes
        .iter()
        .find(|node| node.kind == GraphNodeKind::BlockDriver && node.name == disk.root)?;
    if let Some(job) = job(graph, root) {
        return Some(Obstacle {
            reason: format!(
                "the job {job} is at work on it; wait until that has ended, or end it \
                 (`block-job-cancel`, or `block-job-complete` once it is ready)"
            ),
            can_exclude: false,
        });
    }
    // A storage daemon's clients all reach a disk through its top node, above which they stay.
    let allowed = match disk.device_path {
        Some(_) => 1,
        None => usize::MAX,
    };
    let writers = writers(graph, root).count();
    if writers > allowed || others_below(graph, root) {
        return Some(Obstacle {
            reason: "another device, or an export, writes to it too, bypassing any filter, until it is detached"
                .into(),
            can_exclude: true,
        });
    }
    None
}

/// Who may write to a node.
fn writers<'a>(graph: &'a BlockGraph, node: &'a GraphNode) -> impl Iterator<Item = &'a GraphEdge> {
    let writes = |edge: &&GraphEdge| edge.perm.iter().any(|perm| perm == "write");
    graph
        .edges
        .iter()
        .filter(|edge| edge.child == node.id)
        .filter(writes)
}

/// Whether somebody writes to a node below the top one without passing it.
fn others_below(graph: &BlockGraph, root: &GraphNode) -> bool {
    let mut above = root;
    // A graph has no circles, but this one came over a socket.
    for _ in 0..graph.nodes.len() {
        let Some(below) = graph
            .edges
            .iter()
            .find(|edge| edge.parent == above.id && edge.name == "file")
            .and_then(|edge| graph.nodes.iter().find(|node| node.id == edge.child))
        else {
            return false;
        };
        if writers(graph, below).any(|edge| edge.parent != above.id) {
            return true;
        }
        above = below;
    }
    false
}

/// A job of somebody else that uses a node of the disk, or one between it and its device.
fn job<'a>(graph: &'a BlockGraph, root: &GraphNode) -> Option<&'a str> {
    let mut own = HashSet::from([root.id]);
    let mut above = own.clone();
    let is_node = |id: u64| {
        let mut nodes = graph.nodes.iter();
        nodes.any(|node| node.id == id && node.kind == GraphNodeKind::BlockDriver)
    };
    for _ in 0..graph.nodes.len() {
        let before = (own.len(), above.len());
        for edge in &graph.edges {
            if own.contains(&edge.parent) {
                own.insert(edge.child);
            }
            if above.contains(&edge.child) && is_node(edge.parent) {
                above.insert(edge.parent);
            }
        }
        if before == (own.len(), above.len()) {
            break;
        }
    }
    let works_on = |node: &&GraphNode| {
        graph.edges.iter().any(|edge| {
            edge.parent == node.id && (own.contains(&edge.child) || above.contains(&edge.child))
        })
    };
    graph
        .nodes
        .iter()
        .filter(|node| node.kind == GraphNodeKind::BlockJob)
        .find(works_on)
        .map(|node| node.name.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::disk::Top;

    /// A graph of lines like `device dev w> root:disk`; names of nodes are lower case, devices begin with
    /// `D`, jobs with `J`.
    fn graph(lines: &[(&str, &str, &str, bool)]) -> BlockGraph {
        let mut names: Vec<&str> = Vec::new();
        for (parent, _, child, _) in lines {
            for name in [parent, child] {
                if !names.contains(name) {
                    names.push(name);
                }
            }
        }
        let id = |name: &str| names.iter().position(|known| *known == name).unwrap();
        let kind = |name: &str| match name.chars().next() {
            Some('D') => "block-backend",
            Some('J') => "block-job",
            _ => "block-driver",
        };
        let nodes: Vec<_> = names
            .iter()
            .map(|name| json!({"id": id(name), "type": kind(name), "name": name}))
            .collect();
        let edges: Vec<_> = lines
            .iter()
            .map(|(parent, name, child, writes)| {
                let perm = match writes {
                    true => json!(["write", "consistent-read"]),
                    false => json!(["consistent-read"]),
                };
                json!({"parent": id(parent), "child": id(child), "name": name, "perm": perm,
                       "shared-perm": []})
            })
            .collect();
        serde_json::from_value(json!({"nodes": nodes, "edges": edges})).unwrap()
    }

    fn disk(device: bool) -> Disk {
        Disk {
            name: "drive-scsi0".into(),
            root: "top".into(),
            base: "top".into(),
            size: 1,
            top: Top::Fixed,
            device_path: device.then(|| "/machine/peripheral/scsi0".into()),
            device_type: None,
            stats_id: None,
            iothread: false,
            image: String::new(),
            encrypted: false,
        }
    }

    const ALONE: [(&str, &str, &str, bool); 2] =
        [("Dev", "root", "top", true), ("top", "file", "file", true)];

    fn with(more: &[(&str, &str, &str, bool)], device: bool) -> Option<Obstacle> {
        let lines = [ALONE.as_slice(), more].concat();
        obstacle(&graph(&lines), &disk(device))
    }

    #[test]
    fn a_disk_with_one_writer_and_any_readers_is_no_trouble() {
        assert_eq!(with(&[], true), None);
        assert_eq!(with(&[("Dexport", "root", "top", false)], true), None);
        assert_eq!(with(&[("Dother", "root", "another", true)], true), None);
        // A node that nobody uses.
        assert_eq!(with(&[("free", "file", "file", false)], true), None);
    }

    #[test]
    fn a_second_writer_is_named_wherever_it_writes() {
        for node in ["top", "file"] {
            let told = with(&[("Dother", "root", node, true)], true).unwrap();
            assert!(
                told.can_exclude && told.reason.contains("writes to it too"),
                "{told:?}"
            );
        }
        // Clients of a storage daemon stay above the filter, but not those of a node below.
        assert_eq!(with(&[("Dother", "root", "top", true)], false), None);
        assert!(with(&[("Dother", "root", "file", true)], false).is_some());
    }

    #[test]
    fn a_job_is_named_wherever_it_works() {
        for lines in [
            [("Jcopy", "source", "top", false)].as_slice(),
            &[("Jcopy", "target", "file", true)],
            &[
                ("top", "backing", "base", false),
                ("Jcopy", "base", "base", false),
            ],
            &[
                ("filter", "backing", "top", true),
                ("Jcopy", "main node", "filter", true),
            ],
        ] {
            let told = with(lines, true).unwrap();
            assert!(told.reason.contains("the job Jcopy is at work"), "{told:?}");
        }
        assert_eq!(with(&[("Jcopy", "source", "another", false)], true), None);
    }
}
