//! The guest's disks: those that can be backed up, and those that are left out, each with the reason.

pub(crate) mod hardware;
mod iothread;
pub(crate) mod preflight;
pub(crate) mod qom;
pub(crate) mod tpm;

use std::path::Path;

use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{
    BlockDevice, BlockGraph, BlockMedium, QueryBlock, QueryBlockExports, QueryStatus,
};
use serde_json::Value;

use crate::disk::{self, Disk, Nodes};
use crate::error::Error;

/// What a guest has of disks, each in QEMU's order. No two have the same name.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Inventory {
    /// Those that can be backed up.
    pub disks: Vec<Disk>,
    /// Those that cannot.
    pub left_out: Vec<LeftOut>,
}

/// A disk that cannot be backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// A name like [`Disk::name`].
    pub name: String,
    /// Why.
    pub reason: String,
    /// What it means for a backup of the others.
    pub severity: Severity,
}

/// What it means that a disk is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Severity {
    /// Nothing is lost: there is no medium, or a CD.
    Note,
    /// A hard disk is missing in the backup.
    Warning,
    /// Somebody should have said so: the guest relies on what no backup can have.
    Refusal,
}

/// All disks of the guest.
///
/// A storage daemon has no guest devices; its disks are the nodes that it exports to others.
///
/// # Errors
/// [`ErrorKind::Qemu`](crate::error::ErrorKind::Qemu).
pub fn discover(client: &Client) -> Result<Inventory, Error> {
    let blocks = client
        .execute(&QueryBlock {})
        .map_err(Error::qemu("cannot list the guest's disks"))?;
    let nodes = disk::nodes(client)?;
    let graph = disk::graph(client)?;
    let mut found = Vec::new();
    for block in &blocks {
        found.extend(attached(client, block, &nodes, &graph)?);
    }
    let schema = client
        .schema()
        .map_err(Error::qemu("cannot read QEMU's schema"))?;
    if schema.has_command(<QueryStatus as fleece_qmp_client::Command>::NAME) {
        found.extend(outside(client)?.into_iter().map(Found::LeftOut));
    }
    if blocks.iter().all(|block| block.qdev.is_none()) {
        let disks = exported(client, &nodes, &graph)?;
        found.extend(disks.into_iter().map(Found::Disk));
    }
    make_unique(found.iter_mut().map(Found::name));
    let mut inventory = Inventory::default();
    for one in found {
        match one {
            Found::Disk(disk) => inventory.disks.push(disk),
            Found::LeftOut(left_out) => inventory.left_out.push(left_out),
        }
    }
    Ok(inventory)
}

impl Inventory {
    /// Gives disks the names that somebody who has made the guest knows for their devices, by QEMU's id of each;
    /// where a name is another disk's already, that of before stays.
    pub fn rename(&mut self, names: &[(String, String)]) {
        let disks = self.disks.iter_mut().map(|disk| {
            let id = disk
                .device_path
                .as_deref()
                .map(device_id)
                .map(str::to_owned);
            (id, &mut disk.name)
        });
        // Of one that is left out only the name is known, which is made of the id.
        let others = self
            .left_out
            .iter_mut()
            .map(|other| (None, &mut other.name));
        let all: Vec<_> = disks.chain(others).collect();
        let mut taken: Vec<String> = all.iter().map(|(_, name)| (*name).clone()).collect();
        for (id, name) in all {
            let found = names.iter().find(|(device, _)| match &id {
                Some(id) => id == device,
                None => *name == format!("drive-{}", file_safe(device)),
            });
            let new = found.map(|(_, key)| format!("drive-{}", file_safe(key)));
            if let Some(new) = new.filter(|new| !taken.contains(new)) {
                taken.push(new.clone());
                *name = new;
            }
        }
    }
}

/// What QEMU's user called a device, from its QOM path.
fn device_id(path: &str) -> &str {
    path.trim_start_matches("/machine/")
        .trim_start_matches("peripheral/")
        .trim_end_matches("/virtio-backend")
}

enum Found {
    Disk(Disk),
    LeftOut(LeftOut),
}

impl Found {
    fn name(&mut self) -> &mut String {
        match self {
            Self::Disk(disk) => &mut disk.name,
            Self::LeftOut(left_out) => &mut left_out.name,
        }
    }
}

/// The disk of a guest's device; `None` if no device uses it.
fn attached(
    client: &Client,
    block: &BlockDevice,
    nodes: &Nodes,
    graph: &BlockGraph,
) -> Result<Option<Found>, Error> {
    let (Some(qdev), Some(path)) = (block.qdev.as_deref(), disk::device_path(block)) else {
        return Ok(None);
    };
    let medium = block.inserted.as_ref();
    let root = medium.and_then(|medium| medium.node_name.as_deref());
    let kind = qom::text(client, &path, "type")?.unwrap_or_default();
    let name = match kind.starts_with("cfi.pflash") && medium.is_some_and(|medium| !medium.ro) {
        // Flash memory that the guest writes holds its EFI variables.
        true => "drive-efidisk0".to_owned(),
        false => archive_name(&block.device, root.unwrap_or_default(), &path),
    };
    let left_out = |severity, reason: &str| {
        Ok(Some(Found::LeftOut(LeftOut {
            name: name.clone(),
            reason: reason.to_owned(),
            severity,
        })))
    };
    if let Some(reason) = passed_through(&kind) {
        return left_out(Severity::Refusal, reason);
    }
    if qom::get(client, &path, "scsi")? == Some(Value::Bool(true)) {
        return left_out(Severity::Refusal, COMMANDS);
    }
    let Some(medium) = medium else {
        return left_out(Severity::Note, "there is no medium in it");
    };
    if medium.ro {
        return match is_hard_disk(&kind) {
            false => left_out(Severity::Note, "it is read-only"),
            true => left_out(
                Severity::Warning,
                "it is read-only, so the guest cannot change it, and it is in no backup of this guest",
            ),
        };
    }
    let size = medium.image.virtual_size;
    let disk = root.and_then(|root| disk::on_node(name.clone(), root, size, nodes, graph));
    let Some(mut disk) = disk else {
        return left_out(Severity::Warning, "QEMU reports no node with data below it");
    };
    disk.iothread = iothread::used_by(client, Some(&path))?;
    disk.device_path = Some(path);
    disk.device_type = Some(kind);
    disk.stats_id = Some(qdev.to_owned());
    Ok(Some(Found::Disk(disk)))
}

/// Whether a device keeps data of the guest's own, by its QOM type: no CD, and no flash with firmware.
fn is_hard_disk(kind: &str) -> bool {
    !kind.ends_with("-cd") && !kind.starts_with("cfi.pflash") && kind != "floppy"
}

const COMMANDS: &str = "the guest's SCSI commands go to the host's device, past QEMU's block layer, so \
                        that nothing can be saved before it is overwritten, and the guest's commands \
                        would fail while a filter is there";

/// Why a device with a block node does without the block layer, by its QOM type.
fn passed_through(kind: &str) -> Option<&'static str> {
    matches!(kind, "scsi-block" | "scsi-generic").then_some(COMMANDS)
}

/// Why a device that QEMU's block layer knows nothing of is a disk all the same, by its QOM type.
fn past_the_block_layer(kind: &str) -> Option<&'static str> {
    let begins = |start: &str| kind.starts_with(start);
    if begins("vhost-user-blk") || begins("vhost-user-scsi") {
        Some("another process serves it (vhost-user), and QEMU does not see what is written")
    } else if begins("vhost-scsi") {
        Some("the host's kernel serves it (vhost-scsi), and QEMU does not see what is written")
    } else if begins("vhost-vdpa-device") {
        Some("what may be a disk is served past QEMU (vDPA), which does not see what is written")
    } else if begins("virtio-pmem") || kind == "nvdimm" {
        Some("the guest writes to it as to memory, and QEMU does not see what is written")
    } else if begins("vfio-user-pci") {
        Some("what may be a disk is served by another process (vfio-user), past QEMU")
    } else {
        None
    }
}

/// The guest's disks that are no block devices of QEMU.
fn outside(client: &Client) -> Result<Vec<LeftOut>, Error> {
    let mut left_out = Vec::new();
    for place in ["peripheral", "peripheral-anon", "unattached"] {
        for (path, kind) in qom::children(client, &format!("/machine/{place}"))? {
            let reason = match past_the_block_layer(&kind) {
                Some(reason) => Some(reason),
                None if kind.starts_with("vfio-pci") => passed_through_disk(client, &path)?,
                None => None,
            };
            left_out.extend(reason.map(|reason| LeftOut {
                name: archive_name("", "", &path),
                reason: reason.to_owned(),
                severity: Severity::Warning,
            }));
        }
    }
    Ok(left_out)
}

/// Whether a PCI device of the host, handed to the guest, is a disk or has some.
fn passed_through_disk(client: &Client, path: &str) -> Result<Option<&'static str>, Error> {
    let Some(host) = qom::text(client, path, "host")?.filter(|host| !host.contains('/')) else {
        return Ok(None);
    };
    let class = Path::new("/sys/bus/pci/devices").join(host).join("class");
    let class = std::fs::read_to_string(class).unwrap_or_default();
    Ok(is_storage(&class).then_some(
        "the host's device is the guest's own (vfio), and QEMU does not see what is written",
    ))
}

/// Whether a PCI class as sysfs has it is one of mass storage (base class 1 of the PCI codes).
fn is_storage(class: &str) -> bool {
    class.trim_start().starts_with("0x01")
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
        if let Some(mut disk) = disk::on_node(file_safe(node), node, size, nodes, graph) {
            disk.iothread = iothread::any(client)?;
            disks.push(disk);
        }
    }
    Ok(disks)
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
    let device = device_id(path);
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
    let safe: String = safe.trim_matches(['-', '.']).chars().take(128).collect();
    match safe.is_empty() {
        true => "disk".into(),
        false => safe,
    }
}

/// Gives all but the first of several equal names a number that makes no other equal. Names that differ
/// by case only count as equal: some file systems have no others.
fn make_unique<'a>(names: impl Iterator<Item = &'a mut String>) {
    let names: Vec<&mut String> = names.collect();
    let mut taken: Vec<String> = Vec::new();
    let own: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    for name in names {
        let unique = std::iter::once(name.clone())
            .chain((1_u32..).map(|n| format!("{name}-{n}")))
            .find(|unique| {
                let lower = unique.to_ascii_lowercase();
                let anothers = unique != name && own.contains(&lower);
                !anothers && !taken.contains(&lower)
            });
        if let Some(unique) = unique {
            taken.push(unique.to_ascii_lowercase());
            *name = unique;
        }
    }
}

#[cfg(test)]
mod tests;
