//! Dirty bitmaps: what a disk's guest has changed since the instant of an archive.
//!
//! A bitmap is named after the archive at whose instant it was added, so it says by itself what it counts against. Two
//! that overlap make any order of events safe: the new one is added *before* the filters go in, and the old one frozen
//! *after*; what is written between is marked in both. QEMU keeps them in memory, one bit for 64 KiB; they end with
//! it.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{Action, DirtyBitmap, Transaction};
use serde_json::json;

use crate::disk::{self, Disk, Nodes};
use crate::error::Error;
use crate::journal::generation::{Generation, TrackedDisk};
use crate::journal::record::Record;

/// What one bit stands for, in bytes: a cluster of an archive.
const GRANULARITY: u64 = 64 << 10;

const PREFIX: &str = "fleece-";

/// The name of the bitmaps that count against the archive with this uuid, in 32 hexadecimal digits.
pub(crate) fn name(archive: &str) -> String {
    format!("{PREFIX}{archive}")
}

/// Whether a bitmap has a name of ours.
fn is_ours(name: &str) -> bool {
    let digits = name.strip_prefix(PREFIX).unwrap_or_default().as_bytes();
    digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit)
}

/// The bitmaps of one backup.
#[derive(Clone, Debug, Default)]
pub struct Tracking {
    /// The uuid of the archive that is being made, in 32 hexadecimal digits; `None`: nothing is tracked.
    pub(crate) new: Option<String>,
    /// For each disk the archive whose bitmap tells what has changed.
    pub(crate) old: Vec<Option<String>>,
}

impl Tracking {
    /// For the archive with the uuid `new`; `old` are those that the bitmaps of the disks, in their order, count against.
    #[must_use]
    pub fn new(new: String, old: Vec<Option<String>>) -> Self {
        Self {
            new: Some(new),
            old,
        }
    }

    /// The name of the bitmap that tells what has changed on disk `n`.
    #[must_use]
    pub fn bitmap(&self, n: usize) -> Option<String> {
        self.old.get(n)?.as_deref().map(name)
    }
}

/// Why a bitmap is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distrust {
    /// The disk was not in the archive.
    NewDisk,
    /// There is none: QEMU was restarted, the disk replugged or moved, or somebody has removed it.
    Missing,
    /// It was not saved properly.
    Inconsistent,
    /// A job or an export uses it.
    Busy,
    /// Somebody has stopped it.
    Stopped,
    /// It is not one of Fleece's, whatever its name.
    Foreign,
    /// The disk has another size than it had, in bytes.
    Resized(u64),
    /// The guest's writes reach another node: there is a snapshot since, or the disk was mirrored.
    OtherNode,
    /// The node has another image.
    OtherImage,
    /// It is another QEMU process.
    OtherQemu,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NewDisk => "the disk was not in the earlier archive",
            Self::Missing => {
                "there is none: the guest was restarted, or the disk replugged or moved"
            }
            Self::Inconsistent => "it was not saved when QEMU ended",
            Self::Busy => "somebody else uses it",
            Self::Stopped => "somebody has stopped it",
            Self::Foreign => "it was not made by Fleece",
            Self::Resized(before) => {
                return write!(f, "the disk had {before} bytes when it was added");
            }
            Self::OtherNode => {
                "writes do not reach it: a snapshot was taken since, or the disk was moved"
            }
            Self::OtherImage => "the disk has another image",
            Self::OtherQemu => "it is another QEMU process",
        };
        f.write_str(text)
    }
}

/// What a new generation will be.
///
/// # Errors
/// When QEMU does not answer.
pub fn generation(
    client: &Client,
    disks: &[Disk],
    archive: String,
    depth: u32,
) -> Result<Generation, Error> {
    let nodes = disk::nodes(client)?;
    Ok(Generation {
        archive,
        depth,
        qemu: process(client),
        sound: None,
        disks: disks.iter().map(|disk| tracked(disk, &nodes)).collect(),
    })
}

fn tracked(disk: &Disk, nodes: &Nodes) -> TrackedDisk {
    let file = fs::metadata(&disk.image).ok();
    // A throttle node above does not hear of a resize.
    let node = nodes.get(&disk.base);
    TrackedDisk {
        name: disk.name.clone(),
        node: disk.base.clone(),
        size: node.map_or(disk.size, |node| node.image.virtual_size),
        image: disk.image.clone(),
        file: file.map(|file| (file.dev(), file.ino())),
    }
}

/// QEMU's process, and when it was started, in the kernel's ticks (`proc(5)`, field 22 of `stat`).
fn process(client: &Client) -> Option<(u32, u64)> {
    let process = client.peer_process()?;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field may hold anything, in parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let started = fields.split_whitespace().nth(19)?.parse().ok()?;
    Some((process, started))
}

/// How many bytes each disk's bitmap of `generation` marks, or why it is not believed.
///
/// # Errors
/// When QEMU does not answer.
pub fn look(
    client: &Client,
    disks: &[Disk],
    generation: &Generation,
) -> Result<Vec<Result<u64, Distrust>>, Error> {
    let nodes = disk::nodes(client)?;
    let qemu = process(client);
    let bitmap = name(&generation.archive);
    let judge = |disk: &Disk| {
        let now = tracked(disk, &nodes);
        let before = generation
            .disks
            .iter()
            .find(|known| known.name == disk.name);
        let before = before.ok_or(Distrust::NewDisk)?;
        let bitmaps = nodes
            .get(&disk.base)
            .map_or(&[][..], |node| &node.dirty_bitmaps);
        let found = bitmaps
            .iter()
            .find(|found| found.name.as_deref() == Some(&bitmap));
        let elsewhere = || {
            let named = |found: &DirtyBitmap| found.name.as_deref() == Some(&bitmap);
            let old = nodes.get(&before.node);
            old.is_some_and(|node| node.dirty_bitmaps.iter().any(named))
        };
        match found {
            None if now.node != before.node && elsewhere() => Err(Distrust::OtherNode),
            None => Err(Distrust::Missing),
            Some(found) if found.inconsistent => Err(Distrust::Inconsistent),
            Some(found) if found.busy => Err(Distrust::Busy),
            Some(found) if !found.recording => Err(Distrust::Stopped),
            Some(found) if found.granularity != GRANULARITY => Err(Distrust::Foreign),
            _ if generation.qemu != qemu => Err(Distrust::OtherQemu),
            _ if now.node != before.node => Err(Distrust::OtherNode),
            _ if now.size != before.size => Err(Distrust::Resized(before.size)),
            _ if now != *before => Err(Distrust::OtherImage),
            Some(found) => Ok(found.count),
        }
    };
    Ok(disks.iter().map(judge).collect())
}

/// Adds a bitmap to each disk, all or none.
pub(crate) fn add(client: &Client, disks: &[Disk], archive: &str) -> Result<(), Error> {
    let add = |disk: &Disk| {
        let data = json!({
            "node": disk.base,
            "name": name(archive),
            "granularity": GRANULARITY,
        });
        Action::new("block-dirty-bitmap-add", data)
    };
    transact(client, disks.iter().map(add).collect())
        .map_err(Error::qemu("cannot add dirty bitmaps to the disks"))
}

/// Stops the bitmaps that tell what had changed at the instant, which has passed.
pub(crate) fn freeze(client: &Client, disks: &[Disk], tracking: &Tracking) -> Result<(), Error> {
    let stop = |(n, disk): (usize, &Disk)| {
        let data = json!({"node": disk.base, "name": tracking.bitmap(n)?});
        Some(Action::new("block-dirty-bitmap-disable", data))
    };
    transact(client, disks.iter().enumerate().filter_map(stop).collect())
        .map_err(Error::qemu("cannot stop the disks' dirty bitmaps"))
}

/// Leaves the bitmaps of the newest generation whose archive `is_complete`, and no others of those on record: what was
/// marked since goes into them.
///
/// # Errors
/// When QEMU refuses; the record says then what is there, and the next call does it.
pub fn settle(
    client: &Client,
    record: &Record,
    is_complete: &dyn Fn(&str) -> bool,
) -> Result<Option<Generation>, Error> {
    let mut generations = record.generations();
    if generations.is_empty() {
        return Ok(None);
    }
    let kept = generations
        .iter()
        .rposition(|known| is_complete(&known.archive));
    let newer = generations.split_off(kept.map_or(0, |kept| kept.saturating_add(1)));
    let kept = generations.pop();
    // The newest first: each goes into the one before it.
    for gone in newer.iter().rev() {
        take_back(
            client,
            &gone.archive,
            kept.as_ref().map(|kept| kept.archive.as_str()),
        )?;
    }
    for gone in &generations {
        take_back(client, &gone.archive, None)?;
    }
    record.note_generations(kept.as_slice())?;
    Ok(kept)
}

/// Removes the bitmaps of one archive, wherever they are; those of the archive `into` get what they mark, and go on.
fn take_back(client: &Client, archive: &str, into: Option<&str>) -> Result<(), Error> {
    let gone = name(archive);
    for (node, info) in disk::nodes(client)? {
        let has = |name: &str| {
            let named = |bitmap: &&DirtyBitmap| bitmap.name.as_deref() == Some(name);
            info.dirty_bitmaps.iter().find(named)
        };
        let Some(bitmap) = has(&gone) else {
            continue;
        };
        let remove = Action::new(
            "block-dirty-bitmap-remove",
            json!({"node": node, "name": gone}),
        );
        let into = into.map(name).filter(|into| has(into).is_some());
        let mut actions = Vec::new();
        if let Some(into) = &into {
            // One that cannot be merged leaves one behind that lies.
            if bitmap.inconsistent || !bitmap.recording {
                let both = json!({"node": node, "name": into});
                actions.push(Action::new("block-dirty-bitmap-remove", both));
            } else {
                let merge = json!({"node": node, "target": into, "bitmaps": [gone]});
                actions.push(Action::new("block-dirty-bitmap-merge", merge));
                let enable = json!({"node": node, "name": into});
                actions.push(Action::new("block-dirty-bitmap-enable", enable));
            }
        }
        actions.push(remove);
        transact(client, actions).map_err(Error::qemu(format!(
            "{node}: cannot remove the dirty bitmap {gone}"
        )))?;
    }
    Ok(())
}

/// Removes all bitmaps of ours from a QEMU, and what is on record of them; says how many there were.
///
/// # Errors
/// When QEMU refuses, because a backup uses them for example.
pub fn remove_all(client: &Client, record: &Record) -> Result<usize, Error> {
    let mut count = 0_usize;
    for (node, info) in disk::nodes(client)? {
        let names = info
            .dirty_bitmaps
            .iter()
            .filter_map(|bitmap| bitmap.name.as_deref());
        for name in names.filter(|name| is_ours(name)) {
            let remove = Action::new(
                "block-dirty-bitmap-remove",
                json!({"node": node, "name": name}),
            );
            transact(client, vec![remove]).map_err(Error::qemu(format!(
                "{node}: cannot remove the dirty bitmap {name}"
            )))?;
            count = count.saturating_add(1);
        }
    }
    record.note_generations(&[])?;
    Ok(count)
}

fn transact(client: &Client, actions: Vec<Action>) -> Result<(), fleece_qmp_client::Error> {
    if actions.is_empty() {
        return Ok(());
    }
    let transaction = Transaction {
        actions,
        properties: None,
    };
    client.execute(&transaction).map(drop)
}
