//! `fleece verify`

use std::path::Path;
use std::process::ExitCode;

use fleece_backup_core::dump::{Backup, Checked, DumpDirectory};
use fleece_backup_core::{CancelToken, Error, ErrorKind};
use serde_json::json;

use crate::cli::{Places, Verify};
use crate::log::Log;
use crate::{beside, signals, target};

/// Verifies all that is named; damage in one does not keep the others from being looked at.
pub(crate) fn run(arguments: &Verify, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let cancel = signals::token()?;
    let storages = places.storages()?;
    let mut damaged = 0_usize;
    for place in &arguments.places {
        let found = match Path::new(place).is_file() {
            true => {
                let (directory, backup) = beside::find(place)?;
                (directory, vec![backup])
            }
            false => {
                let directory = target::backups(place, &storages)?;
                let backups = directory.list()?;
                (directory, backups)
            }
        };
        for backup in &found.1 {
            let checked = check(&found.0, backup, &cancel, log)?;
            damaged = damaged.saturating_add(usize::from(checked.damages > 0));
        }
    }
    if damaged > 0 {
        let message = format!(
            "{damaged} of the archives are damaged; `vma recover` gives back what is whole in them"
        );
        return Err(Error::new(ErrorKind::Damage, message));
    }
    Ok(ExitCode::SUCCESS)
}

fn check(
    directory: &DumpDirectory,
    backup: &Backup,
    cancel: &CancelToken,
    log: &Log,
) -> Result<Checked, Error> {
    let name = backup.file_name();
    let mut tell = |damage: String| log.warning(&format!("{name}: {damage}"));
    let checked = directory.verify(backup, cancel, &mut tell)?;
    let verdict = match checked {
        Checked { damages: 1.., .. } => "damaged",
        Checked { deep: true, .. } => "sound",
        Checked { .. } => "structure sound; without an index the payload cannot be checked",
    };
    log.info(&format!("{name}: {verdict}"));
    log.result(&json!({
        "file": name,
        "damages": checked.damages,
        "payload_checked": checked.deep,
    }));
    Ok(checked)
}
