//! How a backup ended.

use std::time::Duration;

use fleece_plain_text::message;
use serde_json::Value;

/// The exit code of what is done, where something was not as it should be.
pub const DONE_WITH_WARNINGS: u8 = 3;

/// Kinds of errors that a second attempt cannot change: what was asked for, our own rules, and a signal.
const LASTING: [&str; 6] = [
    "usage",
    "request",
    "archive",
    "archive-damaged",
    "cancelled",
    "unsynced",
];

/// The exit code of a command line that makes no sense.
const USAGE: u8 = 2;

/// How a backup ended.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Ended {
    /// Its exit code, or 128 and the number of the signal that ended it.
    pub code: u8,
    /// The kind of the error that it told last, if it told one.
    pub kind: Option<String>,
    /// What it said of that, or last on standard error.
    pub message: Option<String>,
    /// What it told of its result.
    pub summary: Option<Value>,
    /// How long it took.
    pub took: Duration,
}

impl Ended {
    /// One of which only the code is known.
    #[must_use]
    pub fn with_code(code: u8) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }

    /// Takes in what it has told: the last error and the last summary count.
    pub fn note(&mut self, event: &Value) {
        let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
        match event.get("event").and_then(Value::as_str) {
            Some("error") => {
                self.kind = text("kind");
                self.message = text("message").map(|text| message(&text).into_owned());
            }
            Some("summary") => self.summary = Some(event.clone()),
            _ => {}
        }
    }

    /// Whether there is an archive, perhaps with warnings.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.code, 0 | DONE_WITH_WARNINGS)
    }

    /// Whether it may go better the next time. Not if it was refused: then nothing has changed since. One that was
    /// killed told no kind.
    #[must_use]
    pub fn may_go_better(&self) -> bool {
        let is_lasting = |kind: &str| LASTING.contains(&kind);
        !self.is_done() && self.code != USAGE && !self.kind.as_deref().is_some_and(is_lasting)
    }
}

/// The worst of these exit codes. Failures are worse than warnings, whatever their numbers.
#[must_use]
pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    let rank = |code: &u8| match *code {
        0 => (0, 0),
        DONE_WITH_WARNINGS => (1, 0),
        code => (2, code),
    };
    codes.into_iter().max_by_key(rank).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failure_is_worse_than_any_warning() {
        assert_eq!(worst([]), 0);
        assert_eq!(worst([0, 3, 0]), 3);
        assert_eq!(worst([3, 1, 0]), 1);
        assert_eq!(worst([1, 5, 3]), 5);
    }

    #[test]
    fn what_was_refused_is_not_tried_again_and_what_failed_is() {
        let failed = |code, kind: &str| {
            let mut ended = Ended::with_code(code);
            ended.note(&json!({"event": "error", "kind": kind, "message": "m"}));
            ended.may_go_better()
        };
        assert!(failed(5, "guest"));
        assert!(failed(6, "target"));
        assert!(failed(6, "storage"));
        assert!(!failed(1, "request"));
        assert!(!failed(143, "cancelled"));
        assert!(!Ended::with_code(0).may_go_better());
        assert!(!Ended::with_code(3).may_go_better());
        assert!(!Ended::with_code(2).may_go_better());
        // Killed.
        assert!(Ended::with_code(137).may_go_better());
    }

    #[test]
    fn the_last_words_count_and_are_one_line() {
        let mut ended = Ended::default();
        for text in ["first", "second\u{1b}[2J\nline"] {
            ended.note(&json!({"event": "error", "kind": "guest", "message": text}));
        }
        ended.note(&json!({"event": "status", "message": "no matter"}));
        assert_eq!(ended.kind.as_deref(), Some("guest"));
        let message = ended.message.unwrap();
        assert!(message.starts_with("second") && !message.contains(['\n', '\u{1b}']));
    }
}
