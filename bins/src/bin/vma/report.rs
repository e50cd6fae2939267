//! What is told besides what was asked for: lines for people on standard error, or events for programs.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::sync::OnceLock;

use fleece_bins::events;
use fleece_plain_text::message;
use serde_json::Value;

use super::failure::{Failure, Result, Told};

/// Where events go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Events {
    Stdout,
    /// Standard output carries an archive or a disk.
    Stderr,
}

static EVENTS: OnceLock<Events> = OnceLock::new();

/// From now on, everything is told as events.
pub(super) fn as_events(stdout_is_data: bool) {
    let _ = EVENTS.set(match stdout_is_data {
        true => Events::Stderr,
        false => Events::Stdout,
    });
}

/// Whether everything is told as events.
pub(super) fn is_events() -> bool {
    EVENTS.get().is_some()
}

/// Tells an event, if a program wants to know.
pub(super) fn event(event: &Value) -> Result<()> {
    match EVENTS.get() {
        None => Ok(()),
        Some(Events::Stdout) => print_text(&format!("{event}\n")),
        Some(Events::Stderr) => writeln!(io::stderr(), "{event}")
            .map_err(|e| Failure::io("cannot write to standard error", e)),
    }
}

/// Tells what the command has found or done, if a program wants to know.
pub(super) fn summary(fields: impl FnOnce() -> Value) -> Result<()> {
    match is_events() {
        true => event(&events::summary(fields())),
        false => Ok(()),
    }
}

/// Tells something that is not as it should be, while work goes on.
pub(super) fn warning(text: impl Display) {
    told(
        events::warning,
        format_args!("warning: {text}"),
        &text.to_string(),
    );
}

/// Tells what is worth knowing.
pub(super) fn note(text: impl Display) {
    told(
        events::status,
        format_args!("note: {text}"),
        &text.to_string(),
    );
}

fn told(event_of: fn(&str) -> Value, line: impl Display, text: &str) {
    if is_events() {
        // Nobody is left to tell that nobody listens.
        let _ = event(&event_of(text));
    } else {
        talk(format_args!("vma: {line}"));
    }
}

/// Tells why the command has failed, or what is not as it should be.
pub(super) fn failure(failure: &Failure) {
    match failure.told() {
        None => {}
        Some(Told::Warning(message)) => warning(message),
        Some(Told::Error(kind, message)) if is_events() => {
            // Nobody is left to tell that nobody listens.
            let _ = event(&events::error(kind, message.unwrap_or(kind)));
        }
        Some(Told::Error(_, Some(message))) => talk(format_args!("vma: {message}")),
        Some(Told::Error(_, None)) => {}
    }
}

/// Prints a line to standard error. Where that cannot be written to, nothing is left to be done:
/// work goes on, which `eprintln` would end by a panic.
pub(super) fn talk(line: impl Display) {
    let line = line.to_string();
    let _ = writeln!(io::stderr(), "{}", message(&line));
}

/// Prints to standard output at once, so that whoever waits for the line gets it.
pub(super) fn print_text(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::output)
}
