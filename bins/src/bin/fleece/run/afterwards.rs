//! What is due when all backups of a run have ended: older archives are pruned and verified, also those of guests that are
//! gone.
//!
//! Only archives of guests are looked at that this host has backed up itself: others may use the same target.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use fleece_backup_core::dump::{Backup, DumpDirectory};
use fleece_backup_core::{Error, at_target};
use fleece_fleecing::Place;
use fleece_guest_config::GuestId;
use fleece_settings::Settings;
use serde_json::{Value, json};

use super::guests::Guest;
use super::own::OwnCommand;
use super::workers::Workers;
use crate::advice;
use crate::options;
use fleece_bins::exit;

/// A target that does not tell what is there within this time is left alone.
const LOOK: Duration = Duration::from_secs(60);

/// What was done at a target.
pub(super) struct Done {
    what: &'static str,
    guest: Option<GuestId>,
    target: String,
    pub(super) code: u8,
    message: Option<String>,
}

impl Done {
    /// What people should know of it.
    pub(super) fn trouble(&self) -> Option<String> {
        let why = self.message.as_deref().unwrap_or("it has warnings");
        let guest = self.guest.as_ref().map(|guest| format!(" of {guest}"));
        let guest = guest.unwrap_or_default();
        (self.code != 0).then(|| format!("{} {}{guest}: {why}", self.what, self.target))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "what": self.what,
            "guest": self.guest.as_ref().map(GuestId::to_string),
            "target": self.target,
            "exit_code": self.code,
            "message": self.message,
        })
    }
}

/// Does it, one after the other.
pub(super) fn run(
    workers: &Workers<'_>,
    settings: &Settings,
    guests: &[Guest],
) -> Result<Vec<Done>, Error> {
    let known: BTreeSet<GuestId> = Place::known(&workers.places.state_dir())?
        .into_iter()
        .collect();
    let mut targets: Vec<&str> = Vec::new();
    for guest in guests.iter().filter(|guest| guest.refused.is_none()) {
        if !targets.contains(&&*guest.target) {
            targets.push(&guest.target);
        }
    }
    let mut all = Vec::new();
    for target in targets {
        let there = match there(workers, target) {
            Ok(there) => there,
            Err(error) => {
                let why = advice::text(&error);
                workers.show.line("WARN", "", &format!("{target}: {why}"));
                all.push(Done {
                    what: "list",
                    guest: None,
                    target: target.to_owned(),
                    code: exit::number(&error),
                    message: Some(why),
                });
                continue;
            }
        };
        for guest in there.iter().filter(|guest| known.contains(guest)) {
            // The backups of those of this run have pruned what is older.
            let is_gone = !guests.iter().any(|one| one.name == guest.to_string());
            let rules = is_gone
                .then(|| rules(settings, guest))
                .transpose()?
                .flatten();
            if let Some(rules) = rules {
                let mut prune = OwnCommand::new("prune", workers.places);
                prune.arg(target).arg(format!("--keep={rules}"));
                all.push(one(workers, "prune", guest, target, prune)?);
            }
            if let Some(days) = workers.arguments.verify_after {
                let mut verify = OwnCommand::new("verify", workers.places);
                verify.arg(target).arg(format!("--outdated-after={days}"));
                all.push(one(workers, "verify", guest, target, verify)?);
            }
            if workers.cancel.reason().is_some() {
                return Ok(all);
            }
        }
    }
    Ok(all)
}

fn one(
    workers: &Workers<'_>,
    what: &'static str,
    guest: &GuestId,
    target: &str,
    mut command: OwnCommand,
) -> Result<Done, Error> {
    command.arg(format!("--guest={guest}"));
    let name = guest.to_string();
    let ended = command.run(workers.cancel, &mut |told| {
        workers.show.told(usize::MAX, &name, told);
    })?;
    if let (false, Some(why)) = (ended.is_done(), &ended.message) {
        workers.show.failed(&name, why);
    }
    Ok(Done {
        what,
        guest: Some(guest.clone()),
        target: target.to_owned(),
        code: ended.code,
        message: ended.message,
    })
}

/// The guests of which there is an archive.
fn there(workers: &Workers<'_>, target: &str) -> Result<BTreeSet<GuestId>, Error> {
    let (place, storages) = (PathBuf::from(target), workers.places.storages()?);
    let look = move || DumpDirectory::open(&place, &storages)?.list();
    let backups = at_target("a look at what is there", LOOK, workers.cancel, look)?;
    Ok(backups.iter().filter_map(Backup::guest).cloned().collect())
}

/// What is kept of the archives of a guest that is not backed up any more; `None` if that is all.
fn rules(settings: &Settings, guest: &GuestId) -> Result<Option<String>, Error> {
    let none = ArgMatches::default();
    let set = options::options(settings, "backup", Some(&guest.to_string()), &none)?;
    let set = set.into_iter().find(|set| set.option == "prune-backups");
    let rules = set.and_then(|set| set.values.into_iter().next());
    Ok(rules.filter(|rules| {
        let parsed = rules.parse::<fleece_backup_core::dump::KeepRules>();
        !parsed.is_ok_and(|rules| rules.keeps_all())
    }))
}
