//! Interference: what others do to the disks while our filters are in.
//!
//! A snapshot that somebody takes through the guest's device, or through the node on top, lies above the
//! filter, and its image names the filter as its backing file: once QEMU has ended nobody can open it. So the
//! filter is taken from between them at once.
//!
//! A node above the filter takes the snapshot upon itself, and the instant is kept: from then on the guest
//! writes to the snapshot's overlay, and the disk below stays as it is. Without such a node QEMU moves all users of
//! the filter to the overlay, our view among them, and the backup ends.
//!
//! What else holds a filter can only be named, with the way out.

use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{
    BlockGraph, BlockStream, GraphNode, GraphNodeKind, QueryBlock, QueryBlockExports,
};

use crate::advice::{Advice, CleanUp};
use crate::disk;
use crate::error::{Error, ErrorKind};
use crate::qemu::names::Kind;
use crate::qemu::ours;
use crate::qemu::wait;

/// What others were seen to do so far.
#[derive(Debug, Default)]
pub struct Interference {
    /// How many backends without a name each filter had at first: a guest's device is one.
    backends: Vec<usize>,
    told: Vec<String>,
}

impl Interference {
    /// Notes what is to be told, unless it was told before.
    pub(crate) fn is_new(&mut self, what: &str) -> bool {
        let is_new = !self.told.iter().any(|told| told == what);
        if is_new {
            self.told.push(what.to_owned());
        }
        is_new
    }

    /// Whether filter `n` has a backend more than at first, without a job to which it might belong.
    pub(crate) fn has_leaked(&mut self, graph: &BlockGraph, n: usize) -> bool {
        let filter = Kind::Filter.name(n);
        let backends = users(graph, &filter, GraphNodeKind::BlockBackend).count();
        let jobs = users(graph, &filter, GraphNodeKind::BlockJob).count();
        match self.backends.get(n) {
            Some(before) => backends > *before && jobs == 0,
            None => {
                self.backends.push(backends);
                false
            }
        }
    }
}

/// Where somebody's overlay lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlaid {
    /// On the filter.
    Filter,
    /// On the node above it.
    Top,
}

/// Whether there is one.
pub(crate) fn overlaid(graph: &BlockGraph, filter: &str) -> Option<Overlaid> {
    let mut parents = graph.parents(filter);
    if overlays(graph, filter).next().is_some() {
        Some(Overlaid::Filter)
    } else if parents.any(|(parent, _)| overlays(graph, &parent.name).next().is_some()) {
        Some(Overlaid::Top)
    } else {
        None
    }
}

/// The nodes of which `node` is the backing file.
pub(crate) fn overlays<'a>(graph: &'a BlockGraph, node: &'a str) -> impl Iterator<Item = &'a str> {
    graph
        .parents(node)
        .filter(|(_, role)| *role == "backing")
        .map(|(parent, _)| parent.name.as_str())
}

/// Puts the overlay onto `base` alone: what was between them is left out, and its image names `base`. (There is
/// nothing to copy between the two, so this takes milliseconds. `change-backing-file` would write the
/// overlay's own format beside the name.)
pub(crate) fn rebase(
    client: &Client,
    filter: &str,
    overlay: &str,
    base: &str,
) -> Result<(), Error> {
    let stream = BlockStream {
        // Jobs have names of their own; this one may be needed while ours holds the filter.
        job_id: filter.to_owned(),
        device: overlay.to_owned(),
        base_node: Some(base.to_owned()),
        ..BlockStream::default()
    };
    let way_out = || {
        format!(
            "somebody has taken a snapshot of {base} meanwhile, and its overlay {overlay} names Fleece's filter \
             {filter} as its backing file: without it, it cannot be opened once QEMU has ended. Put that \
             right before: {{\"execute\": \"block-stream\", \"arguments\": {{\"job-id\": \"repair\", \"device\": \
             \"{overlay}\", \"base-node\": \"{base}\"}}}}"
        )
    };
    let clean_up = || Advice::CleanUpAfterwards(CleanUp::default());
    client
        .execute(&stream)
        .map_err(|error| Error::qemu(way_out())(error).advise(clean_up()))?;
    wait::until_gone(client, "the job that puts an overlay right", || {
        let ids = ours::jobs(client)?.into_iter().map(|found| found.id);
        Ok(ids.filter(|id| id == filter).collect())
    })?;
    if disk::graph(client)?.child(overlay, "backing") == Some(base) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Qemu, way_out()).advise(clean_up()))
    }
}

/// Who, of others, holds a filter so that it cannot leave, and the way out.
pub(crate) fn holder(client: &Client, filter: &str) -> Option<String> {
    let graph = disk::graph(client).ok()?;
    let is_others = |node: &&GraphNode| Kind::View.number(&node.name).is_none();
    // A job may have put a node there itself.
    let no_job = users(&graph, filter, GraphNodeKind::BlockJob)
        .all(|job| Kind::Job.number(&job.name).is_some());
    if no_job && let Some(node) = users(&graph, filter, GraphNodeKind::BlockDriver).find(is_others)
    {
        return Some(format!(
            "the node {} that somebody has put above Fleece's filter {filter} holds it, and must go first",
            node.name
        ));
    }
    holder_of(client, &graph, filter)
}

/// The same of a filter that nobody has tried to take out yet: the node above it may be that of the guest's
/// disk, which lets it go.
pub(crate) fn holder_in_use(client: &Client, filter: &str) -> Option<String> {
    holder_of(client, &disk::graph(client).ok()?, filter)
}

fn holder_of(client: &Client, graph: &BlockGraph, filter: &str) -> Option<String> {
    if let Some(job) = users(graph, filter, GraphNodeKind::BlockJob)
        .find(|job| Kind::Job.number(&job.name).is_none())
    {
        return Some(format!(
            "the job {id} that somebody has started on the disk holds Fleece's filter {filter}; wait for its \
             end, or cancel it ({{\"execute\": \"block-job-cancel\", \"arguments\": {{\"device\": \"{id}\"}}}})",
            id = job.name
        ));
    }
    let exports = client.execute(&QueryBlockExports {}).ok()?;
    if let Some(export) = exports.iter().find(|export| export.node_name == filter) {
        return Some(format!(
            "the export {} that somebody has made of Fleece's filter {filter} holds it, and must go first",
            export.id
        ));
    }
    let blocks = client.execute(&QueryBlock {}).ok()?;
    let devices = blocks.iter().filter(|block| {
        let node = block
            .inserted
            .as_ref()
            .and_then(|medium| medium.node_name.as_deref());
        node == Some(filter)
    });
    let backends = users(graph, filter, GraphNodeKind::BlockBackend).count();
    (backends > devices.count()).then(|| leaked(filter))
}

/// What to say when QEMU itself does not let go of a filter.
pub(crate) fn leaked(filter: &str) -> String {
    format!(
        "somebody has tried to start a block job on the disk. QEMU has refused it and, by a fault of its own, \
         keeps a hold on Fleece's filter {filter} that nobody can take back. The guest runs on and its disk is \
         sound, but it cannot be backed up again before it was restarted or migrated"
    )
}

fn users<'a>(
    graph: &'a BlockGraph,
    filter: &'a str,
    kind: GraphNodeKind,
) -> impl Iterator<Item = &'a GraphNode> {
    let users = graph.parents(filter).map(|(user, _)| user);
    users.filter(move |user| user.kind == kind)
}
