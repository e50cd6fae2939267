use serde_json::{Value, json};

use super::*;

fn schema(entities: Value) -> Schema {
    serde_json::from_value(entities).unwrap()
}

/// A command with a union in a list, like `transaction`, and an alternate, like `BlockdevRef`.
fn example() -> Schema {
    schema(json!([
        {"name": "do", "meta-type": "command", "arg-type": "1", "ret-type": "0"},
        {"name": "1", "meta-type": "object", "members": [{"name": "actions", "type": "[2]"}]},
        {"name": "[2]", "meta-type": "array", "element-type": "2"},
        {"name": "2", "meta-type": "object", "tag": "type",
         "members": [{"name": "type", "type": "3"}],
         "variants": [{"case": "a", "type": "4"}, {"case": "b", "type": "5"}]},
        {"name": "3", "meta-type": "enum", "members": [{"name": "a"}, {"name": "b"}],
         "values": ["a", "b"]},
        {"name": "4", "meta-type": "object", "members": [{"name": "data", "type": "int"}]},
        {"name": "5", "meta-type": "object", "members": [{"name": "data", "type": "6"}]},
        {"name": "6", "meta-type": "alternate", "members": [{"type": "str"}, {"type": "4"}]},
        {"name": "int", "meta-type": "builtin", "json-type": "int"},
        {"name": "str", "meta-type": "builtin", "json-type": "string"},
        {"name": "DONE", "meta-type": "event", "arg-type": "1"},
    ]))
}

#[test]
fn paths_lead_through_lists_unions_and_alternates() {
    let schema = example();
    assert!(schema.has_argument("do", &["actions"]));
    assert!(schema.has_argument("do", &["actions", "type"]));
    assert!(schema.has_argument("do", &["actions", "data"]));
    assert!(schema.has_argument("do", &["actions", "data", "data"]));
    assert!(!schema.has_argument("do", &["actions", "data", "data", "data"]));
    assert!(!schema.has_argument("do", &["data"]));
    assert!(
        !schema.has_argument("DONE", &["actions"]),
        "an event has no arguments"
    );
    assert!(
        !schema.has_argument("1", &["actions"]),
        "a type is not a command"
    );
}

#[test]
fn only_enumerations_have_values() {
    let schema = example();
    assert!(schema.has_value("do", &["actions", "type"], "b"));
    assert!(!schema.has_value("do", &["actions", "type"], "c"));
    assert!(
        !schema.has_value("do", &["actions"], "type"),
        "that is a member"
    );
}

#[test]
fn schema_without_a_command_answers_no_to_everything_about_it() {
    let schema = schema(json!([]));
    assert!(!schema.has_command("blockdev-add"));
    assert!(!schema.has_blockdev_driver("raw"));
    assert!(!schema.has_blockdev_option("raw", "file"));
}

#[test]
fn types_that_contain_themselves_do_no_harm() {
    let schema = schema(json!([
        {"name": "do", "meta-type": "command", "arg-type": "1"},
        {"name": "1", "meta-type": "object", "members": [{"name": "a", "type": "1"}],
         "variants": [{"case": "x", "type": "1"}]},
        {"name": "list", "meta-type": "command", "arg-type": "[2]"},
        {"name": "[2]", "meta-type": "array", "element-type": "[2]"},
    ]));
    assert!(schema.has_argument("do", &["a"; 1000]));
    assert!(!schema.has_argument("list", &["a"]));
}
