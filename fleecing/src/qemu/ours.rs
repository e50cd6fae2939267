//! What inside a QEMU is ours: what has our names and is what we make under them. Whatever else is there,
//! others made, whatever they call it.

use std::path::PathBuf;

use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{BlockExport, QueryBlock, QueryBlockExports, QueryJobs};

use crate::disk;
use crate::error::Error;
use crate::journal::ownership;
use crate::qemu::descriptors::Paths;
use crate::qemu::names::{self, Kind};

/// The things of ours in one QEMU, by their names.
#[derive(Debug, Default)]
pub(crate) struct Ours {
    pub(crate) exports: Vec<String>,
    pub(crate) views: Vec<String>,
    pub(crate) jobs: Vec<String>,
    pub(crate) filters: Vec<String>,
    /// Nodes of fleecing images.
    pub(crate) images: Vec<String>,
    /// The files or devices of those, as QEMU describes them.
    pub(crate) files: Vec<String>,
    /// What has one of our names and is not ours.
    pub(crate) impostors: Vec<String>,
}

impl Ours {
    /// Looks for them. `known` are the places of images that are on record.
    pub(crate) fn find(client: &Client, known: &[PathBuf]) -> Result<Self, Error> {
        let nodes = disk::nodes(client)?;
        let graph = disk::graph(client)?;
        let paths = Paths::ask(client)?;
        let node = |kind: Kind, n| nodes.get(&kind.name(n));
        let target_of = |n| graph.child(&names::filter(n), "target");
        let is_filter = |n: usize| {
            node(Kind::Filter, n).is_some_and(|node| node.drv == "copy-before-write")
                && target_of(n) == Some(names::image(n).as_str())
        };
        let is_view = |n| node(Kind::View, n).is_some_and(|node| node.drv == "snapshot-access");
        let is_image = |n| {
            node(Kind::Image, n).is_some_and(|node| {
                matches!(node.drv.as_str(), "raw" | "qcow2")
                    && (is_filter(n) || is_fleecing_image(paths.of(&node.file), known))
            })
        };
        let mut ours = Self::default();
        for name in nodes.keys() {
            if let Some(n) = Kind::Image.number(name) {
                if is_image(n) {
                    ours.files
                        .extend(nodes.get(name).map(|node| paths.of(&node.file).to_owned()));
                }
                ours.sort_in(name, Kind::Image, is_image(n));
            } else if let Some(n) = Kind::Filter.number(name) {
                ours.sort_in(name, Kind::Filter, is_filter(n));
            } else if let Some(n) = Kind::View.number(name) {
                ours.sort_in(name, Kind::View, is_view(n));
            }
        }
        for export in exports(client)? {
            if let Some(n) = Kind::Export.number(&export.id) {
                let is_ours = export.node_name == names::view(n) && is_view(n);
                ours.sort_in(&export.id, Kind::Export, is_ours);
            }
        }
        for job in jobs(client)? {
            if let Some(n) = Kind::Job.number(&job.id) {
                ours.sort_in(&job.id, Kind::Job, job.kind == "backup" && is_filter(n));
            }
        }
        // A drive's name is in the way of a node's.
        for block in client
            .execute(&QueryBlock {})
            .map_err(Error::qemu("cannot list the guest's disks"))?
        {
            let nodes = [Kind::Image, Kind::Filter, Kind::View];
            if nodes
                .iter()
                .any(|kind| kind.number(&block.device).is_some())
            {
                ours.impostors.push(block.device);
            }
        }
        Ok(ours)
    }

    fn sort_in(&mut self, name: &str, kind: Kind, is_ours: bool) {
        let list = match kind {
            _ if !is_ours => &mut self.impostors,
            Kind::Image => &mut self.images,
            Kind::Filter => &mut self.filters,
            Kind::View => &mut self.views,
            Kind::Job => &mut self.jobs,
            Kind::Export => &mut self.exports,
        };
        list.push(name.to_owned());
    }

    /// The names of all of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        let lists = [
            &self.images,
            &self.filters,
            &self.views,
            &self.jobs,
            &self.exports,
        ];
        lists.into_iter().flatten().map(String::as_str)
    }
}

fn is_fleecing_image(file: &str, known: &[PathBuf]) -> bool {
    known.iter().any(|path| path.to_str() == Some(file)) || ownership::image_in(file).is_some()
}

pub(crate) fn exports(client: &Client) -> Result<Vec<BlockExport>, Error> {
    client
        .execute(&QueryBlockExports {})
        .map_err(Error::qemu("cannot list the exports"))
}

pub(crate) fn jobs(client: &Client) -> Result<Vec<fleece_qmp_client::commands::Job>, Error> {
    client
        .execute(&QueryJobs {})
        .map_err(Error::qemu("cannot list the jobs"))
}
