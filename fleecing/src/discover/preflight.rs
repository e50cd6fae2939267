//! What is in the way of a backup, found before anything is touched.
//!
//! | what | why it is in the way |
//! |---|---|
//! | the guest migrates, or waits for a migration | its disks are or will be another host's |
//! | a disk that others may write too | they write past the filter, so that the instant is lost silently |
//! | somebody's job on a disk | it moves the disk's data from node to node below the filter |
//! | a disk that has no room already | saving old data cannot help it |

mod graph;

use fleece_qmp_client::Client;
use fleece_qmp_client::Command as _;
use fleece_qmp_client::Schema;
use fleece_qmp_client::commands::{QueryBlock, QueryMigrate, QueryStatus};
use serde_json::Value;

use graph::Obstacle;

use crate::advice::Advice;
use crate::discover::qom;
use crate::disk::{self, Disk};
use crate::error::{Error, ErrorKind};

/// Refuses a guest that is not, or not for long, where its QEMU is. Its disks cannot even be listed well
/// before.
///
/// # Errors
/// [`ErrorKind::Unsafe`] with the next step.
pub fn check_guest(client: &Client) -> Result<(), Error> {
    let schema = client
        .schema()
        .map_err(Error::qemu("cannot read QEMU's schema"))?;
    // A storage daemon has no guest.
    if !schema.has_command(QueryStatus::NAME) {
        return Ok(());
    }
    let status = client
        .execute(&QueryStatus {})
        .map_err(Error::qemu("cannot query the guest's state"))?;
    let migration = client.execute(&QueryMigrate {}).map_err(Error::qemu(
        "cannot query whether the guest is being migrated",
    ))?;
    let migration = migration.status.as_deref().unwrap_or("none");
    refuse_proxmoxs_backup(client, &schema)?;
    match out_of_place(&status.status, migration) {
        Some(reason) => Err(Error::new(ErrorKind::Unsafe, reason)),
        None => Ok(()),
    }
}

/// Refuses a guest that Proxmox's own QEMU is backing up: only that one has `query-backup`.
fn refuse_proxmoxs_backup(client: &Client, schema: &Schema) -> Result<(), Error> {
    const QUERY: &str = "query-backup";
    if !schema.has_command(QUERY) {
        return Ok(());
    }
    let backup = client.execute_raw(QUERY, None);
    let backup = backup.map_err(Error::qemu("cannot query Proxmox's backup"))?;
    match backup.get("status").and_then(Value::as_str) {
        Some("active") => {
            let message =
                "the guest is being backed up by Proxmox; wait for that backup, or stop it";
            Err(Error::new(ErrorKind::Unsafe, message))
        }
        _ => Ok(()),
    }
}

/// Why a guest cannot be backed up in a `RunState` and a `MigrationStatus` of QAPI; states that are
/// unknown are no obstacle.
fn out_of_place(state: &str, migration: &str) -> Option<String> {
    let why = match (state, migration) {
        ("inmigrate", _) => {
            "waits for a migration to this host, and its disks are still another host's; back it up \
             where it runs, or here when it has arrived"
        }
        ("postmigrate", _) => {
            "has been migrated away; back it up where it runs now, or continue it here (`cont`) if the \
             migration was given up"
        }
        ("save-vm" | "restore-vm", _) => {
            "is being saved or restored as a whole; back it up afterwards"
        }
        ("finish-migrate" | "colo", _)
        | (
            _,
            "setup"
            | "active"
            | "device"
            | "pre-switchover"
            | "wait-unplug"
            | "cancelling"
            | "colo"
            | "postcopy-device"
            | "postcopy-active"
            | "postcopy-paused"
            | "postcopy-recover"
            | "postcopy-recover-setup",
        ) => {
            "is being migrated; back it up where it runs when that is done, or cancel the migration \
             (`migrate_cancel`)"
        }
        _ => return None,
    };
    Some(format!("the guest {why}"))
}

/// Refuses disks that a filter could not guard.
///
/// # Errors
/// [`ErrorKind::Unsafe`] with all that is in the way, and what to do about each.
pub(crate) fn check_disks(client: &Client, disks: &[Disk]) -> Result<(), Error> {
    let graph = disk::graph(client)?;
    let mut refusals = Vec::new();
    let mut excluded = Vec::new();
    for disk in disks {
        let refusal = match graph::obstacle(&graph, disk) {
            Some(refusal) => Some(refusal),
            None => obstacle(client, disk)?,
        };
        if let Some(refusal) = refusal {
            refusals.push(format!("{}: {}", disk.name, refusal.reason));
            excluded.extend(refusal.can_exclude.then(|| device_name(&disk.name)));
        }
    }
    if refusals.is_empty() {
        return Ok(());
    }
    let advice = (!excluded.is_empty()).then_some(Advice::ExcludeDisks(excluded));
    Err(Error::new(ErrorKind::Unsafe, refusals.join("; ")).advise(advice))
}

fn obstacle(client: &Client, disk: &Disk) -> Result<Option<Obstacle>, Error> {
    let Some(path) = disk.device_path.as_deref() else {
        return Ok(None);
    };
    if qom::get(client, path, "share-rw")? == Some(Value::Bool(true)) {
        let reason =
            "it is shared with others (share-rw=on), and what they write cannot be saved before";
        return Ok(Some(Obstacle {
            reason: reason.into(),
            can_exclude: true,
        }));
    }
    let blocks = client
        .execute(&QueryBlock {})
        .map_err(Error::qemu("cannot list the guest's disks"))?;
    let full = blocks
        .iter()
        .filter(|block| disk::device_path(block).as_deref() == Some(path))
        .any(|block| block.io_status.as_deref() == Some("nospace"));
    let reason = "its storage is full, so QEMU has stopped the guest; free some space there, and continue the guest \
                  (`cont`)";
    Ok(full.then(|| Obstacle {
        reason: reason.into(),
        can_exclude: false,
    }))
}

fn device_name(disk: &str) -> String {
    disk.strip_prefix("drive-").unwrap_or(disk).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_backed_up_where_it_is_at_home_whether_it_runs_or_not() {
        for state in [
            "running",
            "paused",
            "prelaunch",
            "shutdown",
            "suspended",
            "io-error",
        ] {
            for migration in ["none", "completed", "failed", "cancelled"] {
                assert_eq!(out_of_place(state, migration), None, "{state} {migration}");
            }
        }
    }

    #[test]
    fn a_guest_on_its_way_is_refused_with_the_next_step() {
        for (state, migration, word) in [
            ("inmigrate", "none", "when it has arrived"),
            ("inmigrate", "active", "when it has arrived"),
            ("postmigrate", "completed", "where it runs now"),
            ("running", "active", "migrate_cancel"),
            ("running", "postcopy-active", "migrate_cancel"),
            ("paused", "setup", "migrate_cancel"),
            ("finish-migrate", "device", "migrate_cancel"),
            ("save-vm", "none", "back it up afterwards"),
        ] {
            let told = out_of_place(state, migration).unwrap();
            assert!(told.contains(word), "{told}");
        }
    }
}
