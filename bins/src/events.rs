//! What both programs print with `--json`: one object a line, each with its `event`. `docs/JSON.md` describes them.

use fleece_plain_text::message;
use serde_json::{Value, json};

/// What is going on, in words.
#[must_use]
pub fn status(text: &str) -> Value {
    json!({"event": "status", "message": message(text)})
}

/// What is going on, in numbers and names.
#[must_use]
pub fn status_of(fields: Value) -> Value {
    with_event("status", fields)
}

/// Something is not as it should be, and the work goes on or is done all the same.
#[must_use]
pub fn warning(text: &str) -> Value {
    json!({"event": "warning", "message": message(text)})
}

/// Something failed or is damaged; `kind` is one of those that `docs/JSON.md` lists.
#[must_use]
pub fn error(kind: &str, text: &str) -> Value {
    json!({"event": "error", "kind": kind, "message": message(text)})
}

/// What a command has found or done.
#[must_use]
pub fn summary(fields: Value) -> Value {
    with_event("summary", fields)
}

/// An object with the fields of another one, too.
#[must_use]
pub fn with(object: Value, more: Value) -> Value {
    match (object, more) {
        (Value::Object(mut object), Value::Object(more)) => {
            object.extend(more);
            Value::Object(object)
        }
        (object, _) => object,
    }
}

fn with_event(event: &str, fields: Value) -> Value {
    with(fields, json!({"event": event}))
}
