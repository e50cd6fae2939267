//! What people and programs see: vzdump's lines, or JSON.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::time::{Duration, Instant};

use fleece_backup_core::dump::Recorder;
use fleece_backup_core::{Error, Event, Progress, Reporter, Warning, units};
use fleece_fleet::Journal;
use fleece_plain_text::message;
use serde_json::{Value, json};

use fleece_bins::events;

use crate::advice;
use crate::watch::Watch;

/// Prints events.
pub(crate) struct Log {
    json: bool,
    /// Standard output carries an archive; JSON goes to standard error then.
    stdout_is_data: bool,
    /// Only what is wrong is said.
    quiet: bool,
    last_line: Cell<Option<(Instant, u64)>>,
    last_result: RefCell<Option<Value>>,
    /// What others see of the backup that runs.
    watch: RefCell<Option<Watch>>,
    journal: Option<Journal>,
    /// What all lines are about, in the journal.
    fields: RefCell<Vec<(&'static str, String)>>,
    /// What keeps all that is said, while a run goes on.
    recorder: RefCell<Option<Recorder>>,
}

/// While this is there, others see how the backup goes.
pub(crate) struct Watched<'a>(&'a Log);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.watch.take();
        self.0.fields.take();
    }
}

impl Log {
    pub(crate) fn new(json: bool, quiet: bool, stdout_is_data: bool) -> Self {
        Self {
            json,
            stdout_is_data,
            quiet,
            last_line: Cell::new(None),
            last_result: RefCell::default(),
            watch: RefCell::default(),
            journal: Journal::of_environment(),
            fields: RefCell::default(),
            recorder: RefCell::default(),
        }
    }

    /// Lets others see how a backup goes; in the journal, its lines have these fields.
    pub(crate) fn watched(&self, watch: Watch, fields: &[(&'static str, &str)]) -> Watched<'_> {
        self.watch.replace(Some(watch));
        let fields = fields.iter().filter(|(_, value)| !value.is_empty());
        let fields = fields.map(|(key, value)| (*key, (*value).to_owned()));
        self.fields.replace(fields.collect());
        Watched(self)
    }

    /// The last result that was told.
    pub(crate) fn last_result(&self) -> Option<Value> {
        self.last_result.borrow().clone()
    }

    /// Whether only what is wrong is to be said.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// From now on all that is said is kept, too.
    pub(crate) fn record(&self, recorder: Recorder) {
        self.recorder.replace(Some(recorder));
    }

    /// What was kept, which ends here; `error` is its last line.
    pub(crate) fn recorded(&self, error: Option<&Error>) -> Option<Recorder> {
        let mut recorder = self.recorder.take()?;
        if let Some(error) = error {
            recorder.line("ERROR", &advice::text(error));
        }
        Some(recorder)
    }

    pub(crate) fn info(&self, message: &str) {
        self.report(&Event::Info(message.to_owned()));
    }

    pub(crate) fn warning(&self, message: &str) {
        self.report(&Event::Warning(message.to_owned().into()));
    }

    pub(crate) fn error(&self, error: &Error) {
        if self.json {
            self.object(&events::error(error.kind().word(), &advice::text(error)));
        } else {
            self.text("ERROR", &advice::text(error));
        }
    }

    /// What the command has found or done, for programs: all of it, or one of several things.
    pub(crate) fn result(&self, result: &Value) {
        self.last_result.replace(Some(result.clone()));
        if self.json {
            self.object(&events::summary(result.clone()));
        }
    }

    /// What the command is for, when no program reads it.
    pub(crate) fn data(&self, text: &str) {
        if !self.json {
            // Nobody to tell that nobody listens.
            let _ = write!(std::io::stdout().lock(), "{text}");
        }
    }

    /// Whether nobody asked for JSON.
    pub(crate) fn is_for_people(&self) -> bool {
        !self.json
    }

    /// An event of another process, for programs.
    pub(crate) fn pass_on(&self, event: &Value) {
        if self.json {
            self.object(event);
        }
    }

    /// A line for people, about a guest.
    pub(crate) fn line(&self, level: &str, guest: &str, message: &str) {
        if !self.json {
            let fields = vec![("FLEECE_GUEST", guest.to_owned())];
            let before = self.fields.replace(fields);
            self.text(level, message);
            self.fields.replace(before);
        }
    }

    fn text(&self, level: &str, message: &str) {
        if let Some(recorder) = &mut *self.recorder.borrow_mut() {
            recorder.line(level, message);
        }
        if self.json || (self.quiet && level == "INFO") {
            return;
        }
        if let Some(journal) = &self.journal {
            let fields = self.fields.borrow();
            let fields: Vec<_> = fields
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(key, value)| (*key, &**value))
                .collect();
            if journal.line(level, message, &fields) {
                return;
            }
        }
        let mut stderr = std::io::stderr().lock();
        // Nobody to tell that nobody listens.
        let _ = writeln!(stderr, "{level}: {message}");
    }

    fn object(&self, object: &Value) {
        let _ = if self.stdout_is_data {
            writeln!(std::io::stderr().lock(), "{object}")
        } else {
            writeln!(std::io::stdout().lock(), "{object}")
        };
    }

    /// A line when the percentage has changed, but not more often than every two seconds.
    fn progress_line(&self, progress: &Progress) {
        let percent = units::percent(progress.done, progress.total);
        let due = self.last_line.get().is_none_or(|(at, last)| {
            last != percent && (at.elapsed().as_secs() >= 2 || percent == 100)
        });
        if !due {
            return;
        }
        self.last_line.set(Some((Instant::now(), percent)));
        let mut line = format!(
            "{percent:3}% ({} of {}) in {}, read: {}, write: {}",
            units::bytes(progress.done),
            units::bytes(progress.total),
            units::duration(progress.elapsed),
            units::rate(progress.rate),
            units::rate(progress.write_rate),
        );
        if let Some(eta) = progress.eta.filter(|_| percent < 100) {
            line.push_str(&format!(", ETA: {}", units::duration(eta)));
        }
        if let Some(fleecing) = progress.fleecing {
            line.push_str(&format!(", fleecing: {}", units::bytes(fleecing)));
            if let Some(limit) = progress.fleecing_limit {
                line.push_str(&format!(" of {}", units::bytes(limit)));
            }
        }
        self.text("INFO", &line);
    }
}

impl Reporter for Log {
    fn report(&self, event: &Event) {
        let mut watch = self.watch.borrow_mut();
        let said = watch.as_mut().and_then(|watch| watch.take(event));
        drop(watch);
        if let Some(recorder) = &mut *self.recorder.borrow_mut() {
            recorder.take(event);
        }
        match event {
            Event::Info(info) => self.text("INFO", &message(info)),
            Event::Warning(warning) => self.text("WARN", &told(warning)),
            Event::Progress(progress) => self.progress_line(progress),
            _ => {}
        }
        match event {
            _ if !self.json => {}
            Event::Info(info) => self.object(&events::status(info)),
            Event::Warning(warning) => self.object(&events::warning(&told(warning))),
            Event::Progress(progress) => self.object(&events::status_of(numbers(progress))),
            _ => {}
        }
        if let Some(said) = said {
            self.warning(&said);
        }
    }
}

/// Progress for programs.
fn numbers(progress: &Progress) -> Value {
    let latency = progress.latency;
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    json!({
        "total": progress.total,
        "done": progress.done,
        "read": progress.read,
        "zero": progress.zero,
        "written": progress.written,
        "elapsed": progress.elapsed.as_secs_f64(),
        "rate": progress.rate,
        "write_rate": progress.write_rate,
        "eta": seconds(progress.eta),
        "depth": progress.depth,
        "fleecing": progress.fleecing,
        "fleecing_limit": progress.fleecing_limit,
        "latency_p50": seconds(latency.map(|latency| latency.median)),
        "latency_p99": seconds(latency.map(|latency| latency.slow)),
    })
}

fn told(warning: &Warning) -> String {
    message(&advice::with(&warning.message, warning.advice.as_ref())).into_owned()
}
