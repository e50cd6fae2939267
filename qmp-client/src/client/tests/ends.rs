//! How a connection ends.

use std::sync::mpsc::channel;

use super::*;

#[test]
fn oversized_message_ends_the_connection_with_that_cause() {
    let server = Server::ready(|mut talk| {
        talk.command();
        talk.say("{\"return\": \"");
        use std::io::Write as _;
        // It hangs up somewhere in here.
        let _ = talk
            .stream
            .write_all(&vec![b'x'; crate::framer::MAX_MESSAGE + 1]);
    });
    let client = server.client();
    // Unoptimised, reading that much takes a moment.
    let deadline = Duration::from_secs(120);
    let error = client
        .execute_within(&QueryVersion {}, deadline)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Oversized);
    assert_eq!(
        client.execute(&QueryVersion {}).unwrap_err().kind(),
        ErrorKind::Oversized
    );
}

#[test]
fn garbage_after_the_greeting_ends_calls_and_subscriptions_with_that_cause() {
    let server = Server::ready(|mut talk| {
        talk.command();
        talk.say("what?");
        talk.await_hangup();
    });
    let client = server.client();
    let events = client.subscribe();
    let error = client.execute(&QueryVersion {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!(
        error.to_string(),
        format!(
            "{}: query-version: protocol violation: it sent 'what?'",
            server.path().display()
        )
    );
    assert_eq!(events.next(SOON).unwrap_err().kind(), ErrorKind::Protocol);
    assert_eq!(
        client.subscribe().next(SOON).unwrap_err().kind(),
        ErrorKind::Protocol
    );
}

#[test]
fn hanging_up_in_the_middle_of_a_message_is_a_lost_connection() {
    let server = Server::ready(|mut talk| {
        let command = talk.command();
        talk.say(format!(
            "{{\"id\": {}, \"return\": {{\"qemu\"",
            command["id"]
        ));
    });
    let error = server.client().execute(&QueryVersion {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[test]
fn a_peer_that_stops_reading_costs_no_more_than_the_deadline_and_the_connection() {
    let (failed, deadline_passed) = channel();
    let server = Server::ready(move |mut talk| {
        deadline_passed.recv().unwrap();
        // What had got through, and then the end, although the client lives on.
        std::io::copy(&mut talk.commands, &mut std::io::sink()).unwrap();
    });
    let client = server.client();
    let command = |arguments| RawCommand {
        deadline: SHORT,
        ..RawCommand::new("c", arguments)
    };
    let big = Some(json!({"text": "x".repeat(8 << 20)}));
    for result in client.pipeline(&[command(big), command(None)]) {
        let error = result.unwrap_err();
        assert_eq!(
            (error.kind(), error.detail()),
            (ErrorKind::Closed, Some("it does not read"))
        );
    }
    failed.send(()).unwrap();
    drop(server);
    assert!(client.closed().is_some());
}

#[test]
fn dropping_the_last_clone_hangs_up() {
    let server = Server::ready(|mut talk| talk.await_hangup());
    let client = server.client();
    let events = client.subscribe();
    drop(client.clone());
    assert!(client.closed().is_none());
    drop(client);
    assert_eq!(events.next(SOON).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn an_interrupt_ends_waiting_at_once_and_what_is_done_all_the_same_waits_anew() {
    let server = Server::ready(|mut talk| {
        // The first command is never answered, the second one is.
        let _ = talk.command();
        let status = talk.command();
        talk.say(json!({"return": {}, "id": status["id"]}).to_string() + "\n");
    });
    let mut options = Options::default();
    let interrupt = options.interrupt.clone();
    options.deadline = SOON;
    let client = Client::connect(&Address::unix(server.path()), &options).unwrap();
    let firing = std::thread::spawn({
        let interrupt = interrupt.clone();
        move || {
            std::thread::sleep(Duration::from_millis(100));
            interrupt.fire();
        }
    });
    let start = std::time::Instant::now();
    let error = client.execute_raw("stop", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(start.elapsed() < Duration::from_secs(1));
    firing.join().unwrap();
    // Nothing is sent until that was heard.
    let error = client.execute_raw("stop", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    interrupt.hear();
    client.execute_raw("cont", None).unwrap();
}
