use super::*;
use crate::message::Message;

fn known(text: &str) -> Option<KnownEvent> {
    match Message::parse(text.as_bytes()).unwrap() {
        Message::Event(event) => event.known(),
        other => panic!("{other:?}"),
    }
}

/// The examples of QEMU's QAPI reference.
#[test]
fn events_are_understood_as_documented() {
    let cases = [
        (
            r#"{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}"#,
            KnownEvent::Stop {},
        ),
        (
            r#"{"event": "RESUME", "data": {"new": 1}}"#,
            KnownEvent::Resume {},
        ),
        (
            r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#,
            KnownEvent::Shutdown {
                guest: true,
                reason: "guest-shutdown".into(),
            },
        ),
        (
            r#"{"event": "RESET", "data": {"guest": false, "reason": "guest-reset"}}"#,
            KnownEvent::Reset {
                guest: false,
                reason: "guest-reset".into(),
            },
        ),
        (
            r#"{"event": "GUEST_PANICKED", "data": {"action": "pause", "info": {"type": "s390"}}}"#,
            KnownEvent::GuestPanicked {
                action: "pause".into(),
            },
        ),
        (
            r##"{"event": "BLOCK_IO_ERROR", "data": {"qom-path": "/machine/unattached/device[0]",
                "device": "ide0-hd1", "node-name": "#block212", "operation": "write",
                "action": "stop", "reason": "No space left on device", "nospace": true}}"##,
            KnownEvent::BlockIoError {
                device: "ide0-hd1".into(),
                node_name: Some("#block212".into()),
                operation: "write".into(),
                action: "stop".into(),
                nospace: true,
                reason: "No space left on device".into(),
            },
        ),
        (
            r#"{"event": "BLOCK_JOB_COMPLETED", "data": {"type": "backup", "device": "j",
                "len": 1, "offset": 0, "speed": 0, "error": "No space left on device"}}"#,
            KnownEvent::BlockJobCompleted {
                device: "j".into(),
                error: Some("No space left on device".into()),
            },
        ),
        (
            r#"{"event": "BLOCK_JOB_ERROR", "data": {"device": "j", "operation": "write",
                "action": "stop"}}"#,
            KnownEvent::BlockJobError {
                device: "j".into(),
                operation: "write".into(),
                action: "stop".into(),
            },
        ),
        (
            r#"{"event": "DEVICE_DELETED", "data": {"path": "/machine/peripheral/d"}}"#,
            KnownEvent::DeviceDeleted {
                device: None,
                path: "/machine/peripheral/d".into(),
            },
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(known(text), Some(expected), "{text}");
    }
}

#[test]
fn other_events_and_damaged_ones_are_unknown() {
    assert_eq!(
        known(r#"{"event": "RTC_CHANGE", "data": {"offset": 78}}"#),
        None
    );
    assert_eq!(known(r#"{"event": "SHUTDOWN"}"#), None);
    assert_eq!(
        known(r#"{"event": "SHUTDOWN", "data": {"guest": 1, "reason": ""}}"#),
        None
    );
}

#[test]
fn time_between_events_is_never_negative_and_never_overflows() {
    let at = |seconds, microseconds| Timestamp {
        seconds,
        microseconds,
    };
    assert_eq!(
        at(2, 1).since(at(1, 999_999)),
        Some(Duration::from_micros(2))
    );
    assert_eq!(at(1, 0).since(at(1, 1)), None);
    assert_eq!(at(i64::MAX, 0).since(at(0, 0)), None);
    assert_eq!(
        at(i64::MAX / 1_000_000, 0).since(at(i64::MIN / 1_000_000, 0)),
        None
    );
}
