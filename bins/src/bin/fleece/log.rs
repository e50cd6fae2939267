//! What people and programs see: vzdump's lines, or JSON.

use std::cell::Cell;
use std::io::Write as _;
use std::time::Instant;

use fleece_backup_core::{Error, Event, Progress, Reporter, Warning, units};
use fleece_plain_text::message;
use serde_json::{Value, json};

use fleece_bins::events;

use crate::advice;

/// Prints events.
pub(crate) struct Log {
    json: bool,
    /// Standard output carries an archive; JSON goes to standard error then.
    stdout_is_data: bool,
    last_line: Cell<Option<(Instant, u64)>>,
}

impl Log {
    pub(crate) fn new(json: bool, stdout_is_data: bool) -> Self {
        Self {
            json,
            stdout_is_data,
            last_line: Cell::new(None),
        }
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

    fn text(&self, level: &str, message: &str) {
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
        match (event, self.json) {
            (Event::Info(info), false) => self.text("INFO", &message(info)),
            (Event::Warning(warning), false) => self.text("WARN", &told(warning)),
            (Event::Progress(progress), false) => self.progress_line(progress),
            (Event::Info(info), true) => {
                self.object(&events::status(info));
            }
            (Event::Warning(warning), true) => {
                self.object(&events::warning(&told(warning)));
            }
            (Event::Progress(progress), true) => self.object(&events::status_of(json!({
                "total": progress.total,
                "done": progress.done,
                "read": progress.read,
                "zero": progress.zero,
                "written": progress.written,
                "elapsed": progress.elapsed.as_secs_f64(),
                "rate": progress.rate,
                "write_rate": progress.write_rate,
                "eta": progress.eta.map(|eta| eta.as_secs_f64()),
                "depth": progress.depth,
                "fleecing": progress.fleecing,
                "fleecing_limit": progress.fleecing_limit,
            }))),
            _ => {}
        }
    }
}

fn told(warning: &Warning) -> String {
    message(&advice::with(&warning.message, warning.advice.as_ref())).into_owned()
}
