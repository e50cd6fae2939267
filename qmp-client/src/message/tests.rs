use serde_json::json;

use super::*;

fn parse(text: &str) -> Message {
    Message::parse(text.as_bytes()).unwrap()
}

#[test]
fn greeting_holds_version_and_capabilities() {
    let Message::Greeting(greeting) = parse(
        r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10},
            "package": "Debian"}, "capabilities": ["oob"], "new": 1}}"#,
    ) else {
        panic!("not a greeting")
    };
    assert_eq!(greeting.version.to_string(), "10.0.2");
    assert_eq!(greeting.capabilities, ["oob"]);
}

#[test]
fn event_without_data_or_time_is_an_event() {
    let Message::Event(event) = parse(r#"{"event": "STOP"}"#) else {
        panic!("not an event")
    };
    assert_eq!((event.name.as_str(), event.data.len()), ("STOP", 0));
    assert_eq!(event.timestamp, Timestamp::default());
}

#[test]
fn reply_keeps_its_text_and_only_ids_of_our_form() {
    let reply = |text: &str| match parse(text) {
        Message::Reply(Reply { id, result }) => (id, result.unwrap().get().to_owned()),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        reply(r#"{"return": {"a": [1, 2]}, "id": 7}"#),
        (Some(7), r#"{"a": [1, 2]}"#.into())
    );
    assert_eq!(
        reply(r#"{"id": "7", "return": null}"#),
        (None, "null".into())
    );
    for id in [
        "-1",
        "1.5",
        "[7]",
        "{\"a\": 7}",
        "null",
        "18446744073709551616",
    ] {
        assert_eq!(
            reply(&format!(r#"{{"return": 0, "id": {id}}}"#)).0,
            None,
            "{id}"
        );
    }
}

#[test]
fn error_reply_has_class_and_description() {
    let text = r#"{"id": 1, "error": {"class": "DeviceNotFound", "desc": "no such"}}"#;
    let Message::Reply(reply) = parse(text) else {
        panic!("not a reply")
    };
    let error = Error::from(reply.result.unwrap_err());
    assert_eq!(
        error.class(),
        Some(crate::error::ErrorClass::DeviceNotFound)
    );
    assert_eq!(error.to_string(), "no such");
}

#[test]
fn what_qmp_never_sends_is_a_protocol_violation() {
    let deep = format!(
        r#"{{"event": "E", "data": {{"a": {}1{}}}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    for text in [
        "{}",
        r#"{"id": 1}"#,
        r#"{"return": 1, "error": {"class": "C", "desc": "d"}}"#,
        r#"{"return": 1, "return": 2}"#,
        r#"{"error": {"class": "C"}}"#,
        r#"{"error": "text"}"#,
        r#"{"event": 1}"#,
        r#"{"event": "E", "data": [1]}"#,
        r#"{"event": "E", "timestamp": {"seconds": 1e400, "microseconds": 0}}"#,
        r#"{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": -1}}}}"#,
        r#"{"QMP": {}}"#,
        "{\"event\": \"\\ud800\"}",
        &deep,
    ] {
        let error = Message::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{text}");
    }
    let invalid_utf8 = Message::parse(b"{\"return\": \"\xC3\x28\"}").unwrap_err();
    assert_eq!(invalid_utf8.kind(), ErrorKind::Protocol);
}

#[test]
fn timestamps_and_data_are_taken_as_sent() {
    let text = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "E", "data": {"a": {"b": 3}}}"#;
    let Message::Event(event) = parse(text) else {
        panic!("not an event")
    };
    assert_eq!(event.timestamp.microseconds, 2);
    assert_eq!(Value::Object(event.data), json!({"a": {"b": 3}}));
}

#[test]
fn oversized_events_are_refused_and_replies_of_that_size_are_not() {
    let text = "x".repeat(MAX_EVENT);
    let event = format!(r#"{{"event": "E", "data": {{"a": "{text}"}}}}"#);
    let error = Message::parse(event.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Oversized);
    parse(&format!(r#"{{"return": "{text}", "id": 1}}"#));
}
