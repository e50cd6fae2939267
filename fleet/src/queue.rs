//! Which backup begins when.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::ended::Ended;

/// One backup to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    name: String,
    target: String,
}

impl Task {
    /// The backup of a guest to a target, whatever those are.
    #[must_use]
    pub fn new(name: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            target: target.into(),
        }
    }

    /// The guest.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// How many backups run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// On this host.
    pub all: NonZeroUsize,
    /// To one target.
    pub per_target: NonZeroUsize,
}

impl Default for Limits {
    /// One after the other.
    fn default() -> Self {
        let one = NonZeroUsize::MIN;
        Self {
            all: one,
            per_target: one,
        }
    }
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// Begin this backup.
    #[non_exhaustive]
    Begin {
        /// The number of the task.
        task: usize,
        /// How many attempts this is.
        attempt: u32,
    },
    /// Wait for the end of one, or for so long.
    Wait(Option<Duration>),
    /// All have ended.
    Done,
}

/// The backups of a run, in their order.
///
/// One that failed is tried once more, behind all others, if it [may go better](Ended::may_go_better).
#[derive(Clone, Debug)]
pub struct Queue {
    tasks: Vec<Task>,
    waiting: VecDeque<Waiting>,
    /// Their numbers, and how many attempts it took.
    running: Vec<(usize, u32)>,
    limits: Limits,
    retry_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    task: usize,
    attempt: u32,
    not_before: Duration,
}

impl Queue {
    /// Those backups. A second attempt comes that long after the first has failed, or never.
    #[must_use]
    pub fn new(tasks: Vec<Task>, limits: Limits, retry_after: Option<Duration>) -> Self {
        let waiting = (0..tasks.len()).map(|task| Waiting {
            task,
            attempt: 1,
            not_before: Duration::ZERO,
        });
        Self {
            waiting: waiting.collect(),
            tasks,
            running: Vec::new(),
            limits,
            retry_after,
        }
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// A task by its number.
    ///
    /// # Panics
    /// If there is no such number: it comes from [`Next::Begin`].
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "as documented")]
    pub fn task(&self, number: usize) -> &Task {
        &self.tasks[number]
    }

    /// What is to be done at `now`, since the beginning.
    pub fn next(&mut self, now: Duration) -> Next {
        if self.waiting.is_empty() {
            return match self.running.is_empty() {
                true => Next::Done,
                false => Next::Wait(None),
            };
        }
        if self.running.len() >= self.limits.all.get() {
            return Next::Wait(None);
        }
        let free: Vec<usize> = (0..self.waiting.len())
            .filter(|&at| self.waiting.get(at).is_some_and(|one| self.has_room(one)))
            .collect();
        let due = |at: &&usize| {
            self.waiting
                .get(**at)
                .is_some_and(|one| one.not_before <= now)
        };
        if let Some(&at) = free.iter().find(due)
            && let Some(Waiting { task, attempt, .. }) = self.waiting.remove(at)
        {
            self.running.push((task, attempt));
            return Next::Begin { task, attempt };
        }
        let times = free.iter().filter_map(|&at| self.waiting.get(at));
        let first = times.map(|one| one.not_before.saturating_sub(now)).min();
        Next::Wait(first)
    }

    /// Whether fewer run to its target than may.
    fn has_room(&self, waiting: &Waiting) -> bool {
        let target = |task: usize| self.tasks.get(task).map(Task::target);
        let same = self.running.iter();
        let same = same.filter(|(task, _)| target(*task) == target(waiting.task));
        same.count() < self.limits.per_target.get()
    }

    /// A backup has ended; returns whether it will be tried again.
    pub fn ended(&mut self, task: usize, ended: &Ended, now: Duration) -> bool {
        let Some(at) = self.running.iter().position(|(one, _)| *one == task) else {
            return false;
        };
        let (_, attempt) = self.running.remove(at);
        let Some(wait) = self.retry_after else {
            return false;
        };
        if attempt > 1 || !ended.may_go_better() {
            return false;
        }
        self.waiting.push_back(Waiting {
            task,
            attempt: 2,
            not_before: now.saturating_add(wait),
        });
        true
    }

    /// Forgets what has not begun, and tries nothing again: the run is to end. Returns the numbers.
    pub fn give_up(&mut self) -> Vec<usize> {
        self.retry_after = None;
        self.waiting.drain(..).map(|waiting| waiting.task).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn queue(targets: &[&str], all: usize, per_target: usize) -> Queue {
        let tasks = targets.iter().enumerate();
        let tasks = tasks.map(|(n, target)| Task::new(n.to_string(), *target));
        let limits = Limits {
            all: NonZeroUsize::new(all).unwrap(),
            per_target: NonZeroUsize::new(per_target).unwrap(),
        };
        Queue::new(tasks.collect(), limits, Some(seconds(30)))
    }

    /// What begins at `now`.
    fn begin(queue: &mut Queue, now: u64) -> Vec<usize> {
        let mut begun = Vec::new();
        while let Next::Begin { task, .. } = queue.next(seconds(now)) {
            begun.push(task);
        }
        begun
    }

    #[test]
    fn as_many_run_as_host_and_target_may_have_in_their_order() {
        let mut queue = queue(&["a", "a", "a", "b", "b"], 3, 2);
        assert_eq!(begin(&mut queue, 0), [0, 1, 3]);
        assert!(!queue.ended(3, &Ended::with_code(0), seconds(1)));
        // Two run to a.
        assert_eq!(begin(&mut queue, 1), [4]);
        queue.ended(0, &Ended::with_code(0), seconds(2));
        assert_eq!(begin(&mut queue, 2), [2]);
        for task in [1, 2, 4] {
            assert_eq!(queue.next(seconds(3)), Next::Wait(None));
            queue.ended(task, &Ended::with_code(0), seconds(3));
        }
        assert_eq!(queue.next(seconds(3)), Next::Done);
    }

    #[test]
    fn one_that_failed_is_tried_once_more_behind_the_others() {
        let mut queue = queue(&["a", "a"], 1, 1);
        assert_eq!(begin(&mut queue, 0), [0]);
        assert!(queue.ended(0, &Ended::with_code(5), seconds(10)));
        assert_eq!(begin(&mut queue, 10), [1]);
        queue.ended(1, &Ended::with_code(0), seconds(20));
        assert_eq!(queue.next(seconds(20)), Next::Wait(Some(seconds(20))));
        let again = queue.next(seconds(40));
        assert!(matches!(
            again,
            Next::Begin {
                task: 0,
                attempt: 2,
                ..
            }
        ));
        assert!(!queue.ended(0, &Ended::with_code(5), seconds(50)));
        assert_eq!(queue.next(seconds(50)), Next::Done);
    }

    #[test]
    fn a_run_that_is_given_up_begins_nothing_more() {
        let mut queue = queue(&["a"; 3], 1, 1);
        assert_eq!(begin(&mut queue, 0), [0]);
        assert_eq!(queue.give_up(), [1, 2]);
        assert_eq!(queue.next(seconds(0)), Next::Wait(None));
        assert!(!queue.ended(0, &Ended::with_code(5), seconds(1)));
        assert_eq!(queue.next(seconds(1)), Next::Done);
    }
}
