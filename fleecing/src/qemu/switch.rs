//! The switch: filters in, all at one instant, and out again.

use std::fs::File;
use std::time::{Duration, Instant};

use fleece_qmp_client::commands::{
    BlockJobCancel, BlockdevAdd, BlockdevDel, BlockdevReopen, Cont, QomSet, QueryBlock, QueryStatus,
};
use fleece_qmp_client::{Client, RawCommand};
use serde_json::{Value, json};

use crate::advice::{Advice, CleanUp};
use crate::disk::{self, Disk};
use crate::error::{Error, ErrorKind};
use crate::journal::record::Record;
use crate::journal::step::Step;
use crate::qemu::interference;
use crate::qemu::method::Method;
use crate::qemu::names;
use crate::qemu::ours::{self, Ours};
use crate::qemu::wait;

/// How the switch went.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Switched {
    /// How the filters got in.
    pub method: Method,
    /// How long the command took, from sending to the reply.
    pub took: Duration,
    /// How long the guest stood still, if it had to be stopped.
    pub paused: Option<Duration>,
}

/// Makes a filter for each disk, which nobody uses yet; the fleecing image of disk `n` is the node
/// `names::image(n)`. A job will make its own.
pub(crate) fn make_filters(
    client: &Client,
    method: Method,
    disks: &[Disk],
    cbw_timeout: Duration,
) -> Result<(), Error> {
    if method == Method::Job {
        return Ok(());
    }
    let graph = disk::graph(client)?;
    for (n, disk) in disks.iter().enumerate() {
        let below = match method {
            Method::Reopen => graph.child(&disk.root, "file").ok_or_else(|| {
                Error::new(
                    ErrorKind::Disks,
                    format!("{}: the disk has vanished", disk.name),
                )
            })?,
            _ => disk.root.as_str(),
        };
        let filter = json!({
            "driver": "copy-before-write",
            "node-name": names::filter(n),
            "file": below,
            "target": names::image(n),
            // Without it the guest's discards end here, and it believes that they were done.
            "discard": "unmap",
            "on-cbw-error": "break-snapshot",
            "cbw-timeout": cbw_timeout.as_secs().max(1),
        });
        client
            .execute(&BlockdevAdd(filter))
            .map_err(Error::qemu(format!(
                "{}: cannot make the filter",
                disk.name
            )))?;
    }
    Ok(())
}

/// Puts a filter above each disk, at one instant. [`make_filters`] has made them.
///
/// If it `stops` a guest that runs, all commands travel in one write, so that the pause lasts as long as QEMU needs and
/// no longer, even if we are killed in it. Otherwise there is one command, or a guest that stands still.
///
/// On failure some filters may be in; [`remove`] takes them out.
pub(crate) fn insert(
    client: &Client,
    record: &Record,
    method: Method,
    disks: &[Disk],
    stops: bool,
) -> Result<Switched, Error> {
    let start = Instant::now();
    let (commands, failure) = commands(method, disks);
    let paused = match stops && is_running(client)? {
        true => Some(run_stopped(client, record, commands, failure)?),
        false => {
            Step::Switching.reached();
            for RawCommand {
                name, arguments, ..
            } in commands
            {
                let done = client.execute_raw(&name, arguments);
                done.map_err(Error::qemu(failure))?;
            }
            None
        }
    };
    Ok(Switched {
        method,
        took: start.elapsed(),
        paused,
    })
}

/// What QEMU is told for the switch, and what it means that it refuses.
fn commands(method: Method, disks: &[Disk]) -> (Vec<RawCommand>, &'static str) {
    match method {
        Method::Job => (
            vec![start_jobs(disks)],
            "cannot start copy-before-write on all disks at one instant",
        ),
        Method::Reopen => (
            vec![reopen(disks)],
            "cannot insert the filters below the disks' top nodes",
        ),
        Method::Insert | Method::PausedInsert => (
            set_drives(disks),
            "cannot attach the filters to the guest's devices",
        ),
    }
}

fn is_running(client: &Client) -> Result<bool, Error> {
    let status = client.execute(&QueryStatus {});
    let status = status.map_err(Error::qemu("cannot query whether the guest is running"))?;
    Ok(status.running)
}

/// Runs commands while the guest stands still, and returns for how long it did.
fn run_stopped(
    client: &Client,
    record: &Record,
    mut commands: Vec<RawCommand>,
    failure: &str,
) -> Result<Duration, Error> {
    let events = client.subscribe();
    // `stop` flushes all disks while the guest stands still; what is flushed before costs it nothing.
    sync_images(client)?;
    record.note_paused(true)?;
    commands.insert(0, RawCommand::new("stop", None));
    commands.push(RawCommand::new("cont", None));
    let sent = Instant::now();
    let replies = client.pipeline_to_the_end(&commands, || Step::Switching.reached());
    let took = sent.elapsed();
    if !matches!(replies.last(), Some(Ok(_))) {
        client.execute(&Cont {}).map_err(Error::qemu(
            "the guest was stopped for the switch and cannot be continued; continue it with `cont`",
        ))?;
    }
    record.note_paused(false)?;
    for reply in replies {
        reply.map_err(Error::qemu(failure))?;
    }
    let mut moments = ["STOP", "RESUME"].map(|name| {
        events
            .wait_for(|event| event.name == name, Duration::from_millis(500))
            .ok()
            .flatten()
    });
    let paused = match &mut moments {
        [Some(stopped), Some(resumed)] => resumed.timestamp.since(stopped.timestamp),
        _ => None,
    };
    // Without the events it was at most as long as the commands took.
    Ok(paused.unwrap_or(took))
}

/// Takes the filters of ours out, wherever they are. Nothing may read through them any more.
pub(crate) fn remove(client: &Client, ours: &Ours) -> Result<(), Error> {
    cancel_jobs(client, ours)?;
    let nodes = disk::nodes(client)?;
    // A job has taken its filter along.
    let filters = ours.filters.iter().filter(|name| nodes.contains_key(*name));
    let filters: Vec<&str> = filters.map(String::as_str).collect();
    let mut passed = pass_by(client, &filters);
    for filter in filters {
        let gone = client
            .execute(&BlockdevDel {
                node_name: filter.to_owned(),
            })
            .map_err(|error| match interference::holder(client, filter) {
                Some(holder) => Error::caused(ErrorKind::Qemu, holder, error)
                    .advise(Advice::CleanUpAfterwards(CleanUp::default())),
                None => Error::qemu(format!("cannot remove the filter {filter}"))(error),
            });
        // Of what went wrong with a filter the last tells most; the other filters go all the same.
        if gone.is_err() && passed.is_ok() {
            passed = gone.map(drop);
        }
    }
    passed
}

/// Leads the guest, and the overlays of snapshots that somebody has taken meanwhile, past `filters` to the
/// disks below.
pub(crate) fn pass_by(client: &Client, filters: &[&str]) -> Result<(), Error> {
    let nodes = disk::nodes(client)?;
    let graph = disk::graph(client)?;
    let mut reopen = Vec::new();
    let mut overlays = Vec::new();
    let mut first = Ok(());
    for &filter in filters {
        let Some(below) = graph.child(filter, "file") else {
            continue;
        };
        for (parent, role) in graph.parents(filter) {
            let name = parent.name.as_str();
            if role == "backing" {
                overlays.push((filter, name, below));
            } else if let Some(mut options) = nodes
                .get(name)
                .and_then(|node| disk::reopen_options(name, node))
            {
                options.insert(role.into(), below.into());
                reopen.push(Value::Object(options));
                // They name all that was below this node.
                let named = interference::overlays(&graph, name);
                overlays.extend(named.map(|overlay| (filter, overlay, name)));
            }
        }
        let restored = restore_drives(client, filter, below).map_err(|error| {
            match interference::holder(client, filter) {
                Some(holder) => Error::caused(ErrorKind::Qemu, holder, error)
                    .advise(Advice::CleanUpAfterwards(CleanUp::default())),
                None => error,
            }
        });
        first = first.and(restored);
    }
    if !reopen.is_empty() {
        client
            .execute(&BlockdevReopen { options: reopen })
            .map_err(Error::qemu(
                "cannot remove the filters from below the disks' top nodes",
            ))?;
    }
    for (filter, overlay, base) in overlays {
        let rebased = interference::rebase(client, filter, overlay, base);
        first = first.and(rebased);
    }
    first
}

fn start_jobs(disks: &[Disk]) -> RawCommand {
    let actions = disks.iter().enumerate().map(|(n, disk)| {
        json!({
            "type": "blockdev-backup",
            "data": {
                "job-id": names::job(n),
                "device": disk.base,
                "target": names::image(n),
                "sync": "none",
                "filter-node-name": names::filter(n),
                "on-cbw-error": "break-snapshot",
                "auto-dismiss": true,
            },
        })
    });
    let actions = Value::from_iter(actions);
    RawCommand::new("transaction", Some(json!({ "actions": actions })))
}

fn cancel_jobs(client: &Client, ours: &Ours) -> Result<(), Error> {
    let left = || -> Result<Vec<String>, Error> {
        let ids = ours::jobs(client)?.into_iter().map(|job| job.id);
        Ok(ids.filter(|id| ours.jobs.contains(id)).collect())
    };
    for id in left()? {
        // It may have ended by itself since; the wait below tells.
        let _ = client.execute(&BlockJobCancel {
            device: id,
            force: Some(true),
        });
    }
    wait::until_gone(client, "backup jobs", left)
}

fn reopen(disks: &[Disk]) -> RawCommand {
    let options = disks.iter().enumerate().filter_map(|(n, disk)| {
        let mut options = disk.top.reopen_options()?.clone();
        options.insert("file".into(), names::filter(n).into());
        Some(Value::Object(options))
    });
    let options = Value::from_iter(options);
    RawCommand::new("blockdev-reopen", Some(json!({ "options": options })))
}

/// Attaches the filters to the guest's devices.
fn set_drives(disks: &[Disk]) -> Vec<RawCommand> {
    let disks = disks.iter().enumerate();
    let commands = disks.filter_map(|(n, disk)| {
        let path = disk.device_path.as_deref()?;
        Some(set_drive(path, &names::filter(n)))
    });
    commands.collect()
}

fn set_drive(path: &str, node: &str) -> RawCommand {
    RawCommand::new(
        "qom-set",
        Some(json!({"path": path, "property": "drive", "value": node})),
    )
}

/// Gives the devices that are attached to `filter` the node below it.
fn restore_drives(client: &Client, filter: &str, below: &str) -> Result<(), Error> {
    let blocks = client
        .execute(&QueryBlock {})
        .map_err(Error::qemu("cannot list the guest's disks"))?;
    for block in blocks {
        let node = block
            .inserted
            .as_ref()
            .and_then(|medium| medium.node_name.as_deref());
        if let (true, Some(path)) = (node == Some(filter), disk::device_path(&block)) {
            client
                .execute(&QomSet {
                    path: path.clone(),
                    property: "drive".into(),
                    value: below.into(),
                })
                .map_err(Error::qemu(format!(
                    "cannot reattach {path} to its disk {below}"
                )))?;
        }
    }
    Ok(())
}

/// Pushes the images' dirty pages to disk. Only a help: what cannot be opened is left to QEMU.
fn sync_images(client: &Client) -> Result<(), Error> {
    for node in disk::nodes(client)?.values() {
        if node.drv == "file" && !node.ro {
            let _ = File::open(&node.file).and_then(|file| file.sync_data());
        }
    }
    Ok(())
}
