//! Backups as processes of this program.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, never, select};
use fleece_backup_core::{CancelToken, Error, Places};
use fleece_fleet::{Ended, Limits, Next, Queue, Task, Told, Worker};

use super::guests::Guest;
use super::own::{BACKLOG, OwnCommand, lost};
use super::show::Show;
use crate::cli::run::Run;
use fleece_bins::exit;

pub(super) struct Workers<'a> {
    pub(super) arguments: &'a Run,
    pub(super) places: &'a Places,
    pub(super) show: &'a Show<'a>,
    pub(super) cancel: &'a CancelToken,
}

impl Workers<'_> {
    /// Backs up all of them; how each ended, and how many attempts that took.
    pub(super) fn run(&self, guests: &[Guest]) -> Result<Vec<(Ended, u32)>, Error> {
        let arguments = self.arguments;
        let mut results: Vec<(Ended, u32)> = Vec::new();
        let mut numbers = Vec::new();
        for (number, guest) in guests.iter().enumerate() {
            let mut ended = Ended::default();
            if let Some(refused) = &guest.refused {
                ended.code = exit::USAGE;
                ended.message = Some(refused.clone());
                self.show.failed(&guest.name, refused);
            } else {
                numbers.push(number);
            }
            results.push((ended, 0));
        }
        let tasks: Vec<Task> = numbers
            .iter()
            .filter_map(|&number| guests.get(number))
            .map(Guest::task)
            .collect();
        let mut limits = Limits::default();
        limits.all = arguments.jobs;
        limits.per_target = arguments.jobs_per_target.unwrap_or(arguments.jobs);
        let tries = !arguments.no_retry && !arguments.dry_run;
        let mut queue = Queue::new(tasks, limits, tries.then_some(arguments.retry_after));
        let (to, from) = bounded(BACKLOG);
        let mut running: BTreeMap<usize, Worker> = BTreeMap::new();
        let start = Instant::now();
        let mut end = self.ends();
        loop {
            let wait = match queue.next(start.elapsed()) {
                Next::Begin {
                    task,
                    attempt,
                    share,
                    ..
                } => {
                    let Some((guest, result)) = numbers
                        .get(task)
                        .and_then(|&number| Some((guests.get(number)?, results.get_mut(number)?)))
                    else {
                        continue;
                    };
                    result.1 = attempt;
                    self.show.begin(task, &guest.name, attempt);
                    match self.backup(guest, share).start(task, &to) {
                        Ok(worker) => drop(running.insert(task, worker)),
                        Err(error) => {
                            result.0.code = exit::ERROR;
                            result.0.message = Some(format!("cannot be started: {error}"));
                            queue.ended(task, &Ended::with_code(exit::USAGE), start.elapsed());
                        }
                    }
                    continue;
                }
                Next::Done => break,
                Next::Wait(time) => time.unwrap_or(Duration::from_secs(60)),
                _ => break,
            };
            select! {
                recv(from) -> told => {
                    let Ok((task, told)) = told else { break };
                    let guest = numbers.get(task).and_then(|&number| guests.get(number));
                    let name = guest.map(|guest| &*guest.name).unwrap_or_default();
                    if let Some(worker) = running.get_mut(&task) {
                        worker.note(&told);
                    }
                    self.show.told(task, name, &told);
                    if told != Told::Silent {
                        continue;
                    }
                    let Some(worker) = running.remove(&task) else { continue };
                    let ended = worker.wait().map_err(lost)?;
                    let again = queue.ended(task, &ended, start.elapsed());
                    self.show.ended(task, name, &ended, again);
                    let result = numbers.get(task).and_then(|&number| results.get_mut(number));
                    if let Some(result) = result {
                        result.0 = ended;
                    }
                }
                recv(end.0) -> _ => {
                    running.values().for_each(Worker::terminate);
                    for task in queue.give_up() {
                        let result = numbers.get(task).and_then(|&number| results.get_mut(number));
                        // One that waits for its second attempt has failed already.
                        if let Some((ended, 0)) = result {
                            ended.code = exit::ERROR;
                            ended.message = Some(format!("not begun: {}", self.why()));
                        }
                    }
                    self.show.giving_up(&self.why());
                    end = (never(), never());
                }
                recv(end.1) -> _ => {
                    // The same on the way of the first.
                    end.0 = fired();
                }
                default(wait) => {}
            }
        }
        Ok(results)
    }

    fn backup(&self, guest: &Guest, share: NonZeroUsize) -> OwnCommand {
        let part = |whole: Option<u64>, own: Option<u64>| {
            let part = whole.map(|whole| whole.checked_div(share.get() as u64).unwrap_or(whole));
            // A limit of nothing is none.
            part.map(|part| own.map_or(part, |own| own.min(part)).max(1))
        };
        let mut command = OwnCommand::new("backup", self.places);
        command.args(&guest.way);
        for (option, part) in [
            ("--bwlimit", part(self.arguments.bwlimit, guest.bwlimit)),
            (
                "--fleecing-limit",
                part(self.arguments.fleecing_limit, guest.fleecing_limit),
            ),
        ] {
            if let Some(part) = part {
                command.arg(format!("{option}={part}"));
            }
        }
        if self.arguments.dry_run {
            command.arg("--dry-run");
        }
        let job = self.arguments.job.as_deref().unwrap_or_default();
        command.arg(format!("--of-job={job}"));
        let hooks = &self.arguments.hooks;
        if let Some(script) = hooks.script.as_ref().filter(|_| !guest.has_script) {
            command.arg("--script").arg(script);
            command.arg(format!("--hook-timeout={}", hooks.hook_timeout.as_secs()));
        }
        command
    }

    /// What ends the run before all is done: a signal, and the end of its window.
    fn ends(&self) -> (Receiver<()>, Receiver<Instant>) {
        let window = self.arguments.window.map(crossbeam_channel::after);
        (self.cancel.fired().clone(), window.unwrap_or_else(never))
    }

    fn why(&self) -> String {
        match self.cancel.reason() {
            Some(reason) => reason.to_string(),
            None => "the time of the run is over (--window)".to_owned(),
        }
    }
}

/// A channel that has fired.
fn fired() -> Receiver<()> {
    bounded(0).1
}
