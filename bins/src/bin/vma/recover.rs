//! `vma recover`.

use std::io::Read;

#[cfg(windows)]
use fleece_archive_io::recover_into;
use fleece_archive_io::{Input, RecoveredDisk, Recovery};
#[cfg(unix)]
use fleece_backup_core::restore::recover_into;
use fleece_bins::{exit, signals};
use fleece_vma_format::VMSTATE;
use fleece_vma_format::verify::{Damage, Watch};
use serde_json::{Value, json};

use super::cli::RecoverArgs;
use super::failure::{Failure, Result};
use super::input::{index, open};
use super::report;
use super::report::print_text;
use super::verify::{tell, untold};

/// Restores all that is intact, and says what is not.
pub(super) fn recover(args: &RecoverArgs) -> Result<()> {
    let mut input = open(&args.archive)?;
    let mut index = known(args, &input)?;
    let known = index.as_mut().map(|index| index as &mut dyn Read);
    let (directory, cancel) = (&args.directory, signals::token());
    let recovery: Recovery =
        recover_into::<Failure>(directory, &mut input, known, &mut Tell, cancel)?;
    if !report::is_events() {
        // Whether anybody reads it makes no difference to the work.
        let _ = print_text(&as_text(&recovery));
    }
    untold(recovery.damages);
    // The damage counts more than whether anybody reads this.
    let _ = report::summary(|| {
        json!({
            "directory": args.directory,
            "damages": recovery.damages,
            "payload_checked": index.is_some(),
            "devices": recovery.disks.iter().map(as_json).collect::<Vec<_>>(),
        })
    });
    match recovery.damages {
        0 if index.is_none() => {
            report::note("no damage found, but the payload has not been checked: there is no index")
        }
        0 => {}
        count => {
            if report::is_events() {
                return Err(Failure::silent(exit::DAMAGE));
            }
            let damages = if count == 1 { "damage" } else { "damages" };
            let message = format!("{count} {damages} found, what is intact has been restored");
            return Err(Failure::damage(Some(message)));
        }
    }
    Ok(())
}

/// One that cannot be had is not needed, unless it was asked for.
fn known(args: &RecoverArgs, input: &Input) -> Result<Option<Box<dyn Read + Send>>> {
    match index(input, args.index.as_deref()) {
        Ok(index) => Ok(index.map(|(_, index)| index)),
        Err(failure) if args.index.is_some() => Err(failure),
        Err(failure) => {
            report::warning(failure.message());
            Ok(None)
        }
    }
}

fn as_text(recovery: &Recovery) -> String {
    let mut text = String::new();
    for RecoveredDisk {
        name,
        size,
        lost,
        map,
        ..
    } in &recovery.disks
    {
        text.push_str(&format!("{name}: {lost} of {size} bytes lost, see {map}\n"));
    }
    if recovery.has_vmstate {
        // How long it was, the archive does not tell.
        text.push_str(&format!(
            "{VMSTATE}: what is there of it is in vmstate.bin\n"
        ));
    }
    text
}

fn as_json(disk: &RecoveredDisk) -> Value {
    json!({"name": disk.name, "size": disk.size, "lost": disk.lost, "map": disk.map})
}

struct Tell;

impl Watch for Tell {
    fn damage(&mut self, damage: Damage) {
        // Whether anybody reads it makes no difference to the work.
        let _ = tell(&damage);
    }
}
