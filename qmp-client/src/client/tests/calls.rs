//! Commands and events on a connection.

use std::sync::mpsc::channel;

use serde::Serialize;

use super::*;
use crate::commands::QueryStatus;

#[test]
fn messages_may_come_byte_by_byte() {
    let server = Server::new(|mut talk| {
        for byte in GREETING.bytes() {
            talk.say([byte]);
        }
        let negotiation = talk.command();
        talk.answer(&negotiation, json!({}));
        let command = talk.command();
        let reply = json!({"return": version(9), "id": command["id"]}).to_string();
        for byte in reply.bytes() {
            talk.say([byte]);
        }
    });
    assert_eq!(
        server
            .client()
            .execute(&QueryVersion {})
            .unwrap()
            .qemu
            .major,
        9
    );
}

#[test]
fn replies_in_any_order_reach_their_commands() {
    let server = Server::ready(|mut talk| {
        let commands: Vec<_> = (0..3).map(|_| talk.command()).collect();
        talk.say(
            "{\"return\": {}}\n{\"return\": {}, \"id\": \"x\"}\n{\"return\": {}, \"id\": 1}\n",
        );
        for (number, command) in commands.iter().enumerate().rev() {
            talk.answer(command, json!(number));
        }
    });
    let commands = ["a", "b", "c"].map(|name| RawCommand::new(name, None));
    let results = server.client().pipeline(&commands);
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results, [0, 1, 2]);
}

#[test]
fn late_reply_is_not_taken_for_that_of_the_next_command() {
    let (passed, deadline_passed) = channel();
    let server = Server::ready(move |mut talk| {
        let first = talk.command();
        deadline_passed.recv().unwrap();
        talk.answer(&first, version(1));
        let second = talk.command();
        talk.answer(&second, version(2));
    });
    let client = server.client();
    let late = client.execute_within(&QueryVersion {}, SHORT).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Deadline);
    assert_eq!(late.command(), Some("query-version"));
    passed.send(()).unwrap();
    assert_eq!(client.execute(&QueryVersion {}).unwrap().qemu.major, 2);
}

#[test]
fn threads_share_a_connection() {
    let server = Server::ready(|mut talk| {
        for _ in 0..100 {
            let command = talk.command();
            let name = command["execute"].clone();
            talk.answer(&command, name);
        }
    });
    let client = server.client();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let client = client.clone();
            scope.spawn(move || {
                for _ in 0..25 {
                    assert_eq!(client.execute_raw(name, None).unwrap(), name);
                }
            });
        }
    });
}

#[test]
fn unread_events_do_not_hold_back_replies() {
    let server = Server::ready(|mut talk| {
        let command = talk.command();
        for number in 0..10_000 {
            talk.say(format!(
                "{{\"event\": \"E\", \"data\": {{\"number\": {number}}}}}\n"
            ));
        }
        talk.answer(&command, version(1));
    });
    let client = server.client();
    let events = client.subscribe();
    client.execute(&QueryVersion {}).unwrap();
    assert_eq!(
        usize::try_from(events.lost()).unwrap(),
        10_000 - Subscription::CAPACITY
    );
    let last = events
        .wait_for(|event| event.data["number"] == 9_999, SOON)
        .unwrap();
    assert!(last.is_some());
}

#[test]
fn subscribers_get_events_each_for_itself_and_from_when_they_subscribed() {
    let server = Server::ready(|mut talk| {
        for name in ["A", "B"] {
            let command = talk.command();
            talk.say(format!("{{\"event\": \"{name}\"}}"));
            talk.answer(&command, version(1));
        }
    });
    let client = server.client();
    let first = client.subscribe();
    drop(client.subscribe());
    client.execute(&QueryVersion {}).unwrap();
    let second = client.subscribe();
    client.execute(&QueryVersion {}).unwrap();
    let names = |events: &Subscription| {
        let next = || events.next(SOON).ok().flatten().map(|event| event.name);
        std::iter::from_fn(next).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(&first), names(&second)),
        (vec!["A".into(), "B".into()], vec!["B".into()])
    );
}

#[test]
fn reply_of_another_form_leaves_the_connection_usable() {
    let server = Server::ready(|mut talk| {
        let replies = [
            "7".into(),
            "[".repeat(5000) + &"]".repeat(5000),
            "{\"running\": 1}".into(),
        ];
        for reply in replies {
            let id = talk.command()["id"].clone();
            talk.say(format!("{{\"return\": {reply}, \"id\": {id}}}"));
        }
        let command = talk.command();
        talk.answer(&command, json!({"running": true, "status": "running"}));
    });
    let client = server.client();
    for _ in 0..3 {
        let error = client.execute(&QueryStatus {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedReply);
        assert!(std::error::Error::source(&error).is_some());
    }
    assert!(client.execute(&QueryStatus {}).unwrap().running);
}

#[test]
fn arguments_that_are_no_json_are_not_sent() {
    #[derive(Serialize)]
    struct Odd {
        map: std::collections::BTreeMap<Vec<u8>, u8>,
    }
    impl Command for Odd {
        const NAME: &'static str = "odd";
        type Reply = Value;
    }
    let server = Server::ready(|mut talk| {
        let command = talk.command();
        talk.answer(&command, version(1));
    });
    let client = server.client();
    let odd = Odd {
        map: [(vec![1], 1)].into_iter().collect(),
    };
    assert_eq!(
        client.execute(&odd).unwrap_err().kind(),
        ErrorKind::InvalidCommand
    );
    assert!(client.execute(&QueryVersion {}).is_ok());
}
