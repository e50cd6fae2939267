//! Backups as processes of this program.

use std::path::Path;
use std::process::Command;

use fleece_backup_core::{CancelToken, Error, Places};
use fleece_fleet::{Crew, Ended, Limits, Queue, Task, Told};

use super::guests::Guest;
use super::own::{OwnCommand, lost};
use super::show::Show;
use crate::cli::run::Run;

/// The directory within what they share in which each has a file that tells what its fleecing images hold.
pub(super) const FLEECING: &str = "fleecing";

pub(super) struct Workers<'a> {
    pub(super) arguments: &'a Run,
    pub(super) places: &'a Places,
    pub(super) show: &'a Show<'a>,
    pub(super) cancel: &'a CancelToken,
    /// The directory of what they share, unless nothing is done.
    pub(super) shared: Option<&'a Path>,
}

/// Those of the guests that can be backed up, by their tasks.
struct Those<'w, 'g> {
    workers: &'w Workers<'w>,
    guests: Vec<&'g Guest>,
}

impl Workers<'_> {
    /// Backs up all of them; how each ended, and how many attempts that took.
    pub(super) fn run(&self, guests: &[Guest]) -> Result<Vec<(Ended, u32)>, Error> {
        let arguments = self.arguments;
        let those = Those {
            workers: self,
            guests: guests
                .iter()
                .filter(|guest| guest.refused.is_none())
                .collect(),
        };
        for guest in guests {
            if let Some((_, why)) = &guest.refused {
                self.show.failed(&guest.name, why);
            }
        }
        let tasks: Vec<Task> = those.guests.iter().map(|guest| guest.task()).collect();
        let mut limits = Limits::default();
        limits.all = arguments.jobs;
        limits.per_target = arguments.jobs_per_target.unwrap_or(arguments.jobs);
        let tries = !arguments.no_retry && !arguments.dry_run;
        let queue = Queue::new(tasks, limits, tries.then_some(arguments.retry_after));
        let done = fleece_fleet::run(queue, &those, self.cancel.fired(), arguments.window);
        let mut done = done.map_err(lost)?.into_iter();
        let each = guests.iter().map(|guest| match &guest.refused {
            None => done.next().unwrap_or_default(),
            Some((code, why)) => {
                let mut ended = Ended::with_code(*code);
                ended.message = Some(why.clone());
                (ended, 0)
            }
        });
        Ok(each.collect())
    }

    fn backup(&self, task: usize, guest: &Guest) -> OwnCommand {
        let arguments = self.arguments;
        let mut command = OwnCommand::new("backup", self.places);
        command.args(&guest.way);
        if let Some(shared) = self.shared {
            if let Some(limit) = arguments.bwlimit {
                command.arg(format!("--shared-bwlimit={limit}"));
                command.arg("--shared-in").arg(shared.join("bandwidth"));
            }
            if let Some(limit) = arguments.fleecing_limit {
                let file = shared.join(FLEECING).join(task.to_string());
                command.arg(format!("--shared-fleecing-limit={limit}"));
                command.arg("--shared-fleecing-in").arg(file);
            }
        }
        if arguments.dry_run {
            command.arg("--dry-run");
        }
        let job = arguments.job.as_deref().unwrap_or_default();
        command.arg(format!("--of-job={job}"));
        let hooks = &arguments.hooks;
        if let Some(script) = hooks.script.as_ref().filter(|_| !guest.has_script) {
            command.arg("--script").arg(script);
            command.arg(format!("--hook-timeout={}", hooks.hook_timeout.as_secs()));
        }
        command
    }
}

impl Those<'_, '_> {
    fn name(&self, task: usize) -> &str {
        let guest = self.guests.get(task);
        guest.map(|guest| &*guest.name).unwrap_or_default()
    }
}

impl Crew for Those<'_, '_> {
    fn command(&self, task: usize) -> Command {
        match self.guests.get(task) {
            Some(guest) => self.workers.backup(task, guest).into_command(),
            None => OwnCommand::new("backup", self.workers.places).into_command(),
        }
    }

    fn begins(&self, task: usize, attempt: u32) {
        self.workers.show.begin(task, self.name(task), attempt);
    }

    fn told(&self, task: usize, told: &Told) {
        self.workers.show.told(task, self.name(task), told);
    }

    fn ended(&self, task: usize, ended: &Ended, again: bool) {
        self.workers.show.ended(task, self.name(task), ended, again);
    }

    fn gives_up(&self) -> String {
        let why = match self.workers.cancel.reason() {
            Some(reason) => reason.to_string(),
            None => "the time of the run is over (--window)".to_owned(),
        };
        self.workers.show.giving_up(&why);
        why
    }
}
