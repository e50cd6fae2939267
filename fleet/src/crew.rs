//! The backups of a queue, from the first to the last.

use std::collections::BTreeMap;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, never, select};

use crate::ended::Ended;
use crate::queue::{Next, Queue};
use crate::worker::{BACKLOG, Told, Worker};

/// The exit code of what could not be started.
const NOT_STARTED: u8 = 1;

/// Who knows what the tasks of a queue are, and is told how they go. Tasks go by their numbers.
pub trait Crew {
    /// The process of a task.
    fn command(&self, task: usize) -> Command;

    /// An attempt begins.
    fn begins(&self, task: usize, attempt: u32);

    /// A task has told something.
    fn told(&self, task: usize, told: &Told);

    /// An attempt has ended; whether there will be another.
    fn ended(&self, task: usize, ended: &Ended, again: bool);

    /// No further task is begun, and those that run are asked to end; why, in words.
    fn gives_up(&self) -> String;
}

/// Runs all tasks: how each ended, and how many attempts that took. Once `stop` fires, or after `window`, nothing more is
/// begun, and what runs is asked to end; what was never begun then has failed.
///
/// # Errors
/// A process cannot be waited for.
pub fn run(
    mut queue: Queue,
    crew: &dyn Crew,
    stop: &Receiver<()>,
    window: Option<Duration>,
) -> io::Result<Vec<(Ended, u32)>> {
    let mut results = vec![(Ended::default(), 0); queue.len()];
    let (to, from) = bounded(BACKLOG);
    let mut running: BTreeMap<usize, Worker> = BTreeMap::new();
    let start = Instant::now();
    let mut stop = stop.clone();
    let mut over = window.map_or_else(never, crossbeam_channel::after);
    loop {
        let wait = match queue.next(start.elapsed()) {
            Next::Begin { task, attempt } => {
                let Some(result) = results.get_mut(task) else {
                    continue;
                };
                result.1 = attempt;
                crew.begins(task, attempt);
                match Worker::start(&mut crew.command(task), task, &to) {
                    Ok(worker) => drop(running.insert(task, worker)),
                    Err(error) => {
                        result.0 = Ended::with_code(NOT_STARTED);
                        result.0.message = Some(format!("cannot be started: {error}"));
                        let again = queue.ended(task, &result.0, start.elapsed());
                        crew.ended(task, &result.0, again);
                    }
                }
                continue;
            }
            Next::Wait(time) => time.unwrap_or(Duration::from_secs(60)),
            Next::Done => return Ok(results),
        };
        let mut is_over = false;
        select! {
            recv(from) -> told => {
                let Ok((task, told)) = told else { return Ok(results) };
                if let Some(worker) = running.get_mut(&task) {
                    worker.note(&told);
                }
                crew.told(task, &told);
                if told == Told::Silent && let Some(worker) = running.remove(&task) {
                    let ended = worker.wait()?;
                    let again = queue.ended(task, &ended, start.elapsed());
                    crew.ended(task, &ended, again);
                    if let Some(result) = results.get_mut(task) {
                        result.0 = ended;
                    }
                }
            }
            recv(stop) -> _ => is_over = true,
            recv(over) -> _ => is_over = true,
            default(wait) => {}
        }
        if is_over {
            (stop, over) = (never(), never());
            let why = crew.gives_up();
            running.values().for_each(Worker::terminate);
            for task in queue.give_up() {
                // One that waits for its second attempt has failed already.
                if let Some((ended, 0)) = results.get_mut(task) {
                    *ended = Ended::with_code(NOT_STARTED);
                    ended.message = Some(format!("not begun: {why}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Limits, Task};
    use std::cell::RefCell;
    use std::num::NonZeroUsize;

    /// Shells, each with its script, and what was told of them.
    struct Shells(Vec<&'static str>, RefCell<Vec<String>>);

    impl Shells {
        fn run(&self, window: Option<Duration>, stop: &Receiver<()>) -> Vec<(u8, u32)> {
            let tasks = self.0.iter().map(|_| Task::new("g", "t")).collect();
            let mut limits = Limits::default();
            limits.all = NonZeroUsize::new(2).unwrap();
            limits.per_target = limits.all;
            let queue = Queue::new(tasks, limits, Some(Duration::ZERO));
            let results = run(queue, self, stop, window).unwrap();
            results.iter().map(|(ended, n)| (ended.code, *n)).collect()
        }

        fn note(&self, text: String) {
            self.1.borrow_mut().push(text);
        }
    }

    impl Crew for Shells {
        fn command(&self, task: usize) -> Command {
            let mut command = Command::new("sh");
            command.arg("-c").arg(self.0[task]);
            command
        }

        fn begins(&self, task: usize, attempt: u32) {
            self.note(format!("begins {task} {attempt}"));
        }

        fn told(&self, task: usize, told: &Told) {
            if let Told::Line(line) = told {
                self.note(format!("{task}: {line}"));
            }
        }

        fn ended(&self, task: usize, ended: &Ended, again: bool) {
            self.note(format!("ended {task} {} {again}", ended.code));
        }

        fn gives_up(&self) -> String {
            "enough".into()
        }
    }

    #[test]
    fn all_have_their_turn_and_one_that_failed_has_another() {
        let shells = Shells(
            vec!["echo one", "exit 5", "exit 2", "exit 3"],
            RefCell::default(),
        );
        let results = shells.run(None, &never());
        assert_eq!(results, [(0, 1), (5, 2), (2, 1), (3, 1)]);
        let told = shells.1.into_inner();
        assert!(told.contains(&"0: one".to_owned()), "{told:?}");
        assert!(told.contains(&"ended 1 5 true".to_owned()), "{told:?}");
        assert!(told.contains(&"ended 1 5 false".to_owned()), "{told:?}");
    }

    #[test]
    fn after_the_window_what_runs_is_ended_and_nothing_more_begins() {
        let shells = Shells(vec!["exec sleep 600"; 3], RefCell::default());
        let results = shells.run(Some(Duration::from_millis(100)), &never());
        assert_eq!(results, [(143, 1), (143, 1), (1, 0)]);
        // A signal does the same.
        let stop = bounded(0).1;
        let shells = Shells(vec!["exec sleep 600"; 3], RefCell::default());
        assert_eq!(shells.run(None, &stop)[2], (1, 0));
    }
}
