//! A backup that is a process of its own.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use fleece_plain_text::words_of;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::ended::Ended;

/// The longest line that is taken in, in bytes: no event comes near it.
const MAX_LINE: u64 = 1 << 20;

/// How many events may wait to be taken in.
pub(crate) const BACKLOG: usize = 256;

/// What a worker tells.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Told {
    /// An event, as `docs/JSON.md` describes them.
    Event(Value),
    /// A line on standard error, which is none.
    Line(String),
    /// It will tell no more: [`Worker::wait`] for its end.
    Silent,
}

/// A process that tells in lines of JSON how it goes.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    since: Instant,
    ended: Ended,
}

impl Worker {
    /// Starts it, in a process group of its own: signals of a terminal go to us alone. What it tells goes to `to`, with
    /// `number`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        command: &mut Command,
        number: usize,
        to: &Sender<(usize, Told)>,
    ) -> io::Result<Self> {
        command.process_group(0).stdin(Stdio::null());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let worker = Self {
            child,
            since: Instant::now(),
            ended: Ended::default(),
        };
        let to = to.clone();
        thread::Builder::new()
            .name("worker".into())
            .spawn(move || listen(out, err, &|told| drop(to.send((number, told)))))?;
        Ok(worker)
    }

    /// Runs it to its end, or asks it to end once `stop` fires; `tell` gets what it tells.
    ///
    /// # Errors
    /// It cannot be started, or not be waited for.
    pub fn run(
        command: &mut Command,
        stop: &Receiver<()>,
        tell: &mut dyn FnMut(&Told),
    ) -> io::Result<Ended> {
        let (to, from) = bounded(BACKLOG);
        let mut worker = Self::start(command, 0, &to)?;
        drop(to);
        let mut stop = stop.clone();
        loop {
            select! {
                recv(from) -> told => match told {
                    Ok((_, told)) => {
                        worker.note(&told);
                        tell(&told);
                    }
                    Err(_) => return worker.wait(),
                },
                recv(stop) -> _ => {
                    worker.terminate();
                    stop = never();
                }
            }
        }
    }

    /// Takes in what it has told.
    pub fn note(&mut self, told: &Told) {
        match told {
            Told::Event(event) => self.ended.note(event),
            // An error of the command line is no event.
            Told::Line(line) if self.ended.kind.is_none() => {
                let text = line.strip_prefix("error: ").unwrap_or(line);
                self.ended.message.get_or_insert_with(|| text.to_owned());
            }
            _ => {}
        }
    }

    /// Asks it to end in order. Asked twice it ends at once, so nobody should.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It is not waited for yet, so the number is still its own.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Those of `wait(2)`.
    pub fn wait(mut self) -> io::Result<Ended> {
        let status = self.child.wait()?;
        self.ended.code = code(status);
        self.ended.took = self.since.elapsed();
        match status.signal() {
            Some(signal) => self.ended.message = Some(format!("ended by signal {signal}")),
            None if self.ended.is_done() => self.ended.message = None,
            None => {}
        }
        Ok(self.ended)
    }
}

/// As a shell reports it.
fn code(status: ExitStatus) -> u8 {
    let signal = || status.signal().map(|signal| signal.saturating_add(128));
    let code = status.code().or_else(signal).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// Passes on what it tells until it has closed both.
fn listen(out: Option<impl Read>, err: Option<impl Read + Send>, tell: &(dyn Fn(Told) + Sync)) {
    thread::scope(|scope| {
        scope.spawn(|| {
            for_lines(err, |line| tell(Told::Line(words_of(line))));
        });
        for_lines(out, |line| {
            tell(match serde_json::from_slice(line) {
                Ok(event @ Value::Object(_)) => Told::Event(event),
                _ => Told::Line(words_of(line)),
            });
        });
    });
    tell(Told::Silent);
}

/// Lines that are not empty; a longer one than may be comes in parts.
fn for_lines(from: Option<impl Read>, mut each: impl FnMut(&[u8])) {
    let Some(from) = from else {
        return;
    };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.trim_ascii().is_empty() => {}
            Ok(_) => each(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::unbounded;

    /// What a script tells, and how it ends.
    fn told(script: &str, also: impl FnOnce(&Worker)) -> (Vec<Told>, Ended) {
        let (to, from) = unbounded();
        let mut command = Command::new("sh");
        let mut worker = Worker::start(command.args(["-c", script]), 7, &to).unwrap();
        drop(to);
        also(&worker);
        let mut all = Vec::new();
        for (number, told) in from {
            assert_eq!(number, 7);
            worker.note(&told);
            all.push(told);
        }
        (all, worker.wait().unwrap())
    }

    #[test]
    fn it_passes_on_events_and_lines_and_ends_with_its_code() {
        let (all, ended) = told(
            r#"echo '{"event":"status","message":"a"}'; echo '{"event":"error","kind":"guest","message":"gone"}'; exit 5"#,
            |_| {},
        );
        assert!(matches!(
            &all[..],
            [Told::Event(_), Told::Event(_), Told::Silent]
        ));
        assert_eq!((ended.code, ended.kind.as_deref()), (5, Some("guest")));
        assert_eq!(ended.message.as_deref(), Some("gone"));

        let (_, ended) = told("echo 'error: no such option' >&2; exit 2", |_| {});
        assert_eq!(ended.message.as_deref(), Some("no such option"));
        assert_eq!(ended.kind, None);
    }

    #[test]
    fn one_that_is_told_to_end_ends_and_one_that_was_killed_says_so() {
        let (_, ended) = told("exec sleep 60", Worker::terminate);
        assert_eq!(ended.code, 143);
        let (_, ended) = told("kill -KILL $$", |_| {});
        assert_eq!(ended.code, 137);
        assert_eq!(ended.message.as_deref(), Some("ended by signal 9"));
    }
}
