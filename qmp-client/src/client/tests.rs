//! The client against servers that misbehave.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use serde::Serialize;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::commands::{AddFd, QueryStatus, QueryVersion};
use crate::error::ErrorKind;

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 10},
    "package": ""}, "capabilities": ["oob"]}}"#;
const SOON: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

/// A server that runs a script with its first client, and then hangs up.
struct Server {
    directory: TempDir,
    script: Option<JoinHandle<()>>,
}

impl Server {
    fn new(script: impl FnOnce(Talk) + Send + 'static) -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join("qmp")).unwrap();
        let run = move || script(Talk::new(listener.accept().unwrap().0));
        Self {
            directory,
            script: Some(std::thread::spawn(run)),
        }
    }

    /// A server that has greeted and let the client in before the script starts.
    fn ready(script: impl FnOnce(Talk) + Send + 'static) -> Self {
        Self::new(|mut talk| {
            talk.let_in();
            script(talk);
        })
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("qmp")
    }

    fn client(&self) -> Client {
        Client::connect_unix(self.path()).unwrap()
    }

    /// Why a client that waits this long is not let in.
    fn refused(&self, deadline: Duration) -> Error {
        Client::connect(
            &Address::unix(self.path()),
            &Options {
                deadline,
                ..Options::default()
            },
        )
        .unwrap_err()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let failed = self
            .script
            .take()
            .is_some_and(|script| script.join().is_err());
        assert!(
            !failed || std::thread::panicking(),
            "the server's script failed"
        );
    }
}

/// The server's side of a connection.
struct Talk {
    stream: UnixStream,
    commands: BufReader<UnixStream>,
}

impl Talk {
    fn new(stream: UnixStream) -> Self {
        let commands = BufReader::new(stream.try_clone().unwrap());
        Self { stream, commands }
    }

    fn let_in(&mut self) {
        self.say(GREETING);
        let negotiation = self.command();
        assert_eq!(negotiation["execute"], "qmp_capabilities");
        self.answer(&negotiation, json!({}));
    }

    fn say(&mut self, text: impl AsRef<[u8]>) {
        use std::io::Write as _;
        self.stream.write_all(text.as_ref()).unwrap();
    }

    fn command(&mut self) -> Value {
        let mut line = String::new();
        self.commands.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn answer(&mut self, command: &Value, result: Value) {
        let id = &command["id"];
        self.say(json!({"return": result, "id": id}).to_string() + "\r\n");
    }

    fn await_hangup(&mut self) {
        assert_eq!(self.commands.read_line(&mut String::new()).unwrap(), 0);
    }
}

fn version(major: u32) -> Value {
    json!({"qemu": {"major": major, "minor": 0, "micro": 0}, "package": ""})
}

#[test]
fn events_before_the_greeting_are_passed_over() {
    let server = Server::new(|mut talk| {
        talk.say("{\"event\": \"POWERDOWN\"}\r\n{\"return\": {}, \"id\": 4}\r\n");
        talk.let_in();
    });
    assert_eq!(server.client().greeting().version.qemu.major, 10);
}

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
fn refused_negotiation_is_told_in_the_words_of_the_server() {
    let server = Server::new(|mut talk| {
        talk.say(GREETING);
        let id = talk.command()["id"].clone();
        let error = json!({"class": "GenericError", "desc": "not you"});
        talk.say(json!({"error": error, "id": id}).to_string());
        talk.await_hangup();
    });
    let error = Client::connect_unix(server.path()).unwrap_err();
    assert_eq!(error.detail(), Some("not you"));
}

#[test]
fn silence_means_that_another_client_is_connected() {
    let silent = Server::new(|mut talk| talk.await_hangup());
    assert_eq!(silent.refused(SHORT).kind(), ErrorKind::Busy);
}

#[test]
fn a_server_of_another_protocol_is_found_out_at_once() {
    for other in [
        "NBDMAGICIHAVEOPT\0\x03",
        "SSH-2.0-OpenSSH\r\n",
        "{\"QMP\": 1}",
        "{ nonsense }",
    ] {
        let server = Server::new(move |mut talk| {
            talk.say(other);
            talk.await_hangup();
        });
        assert_eq!(server.refused(SOON).kind(), ErrorKind::NotQmp, "{other:?}");
    }
}

#[test]
fn a_server_that_never_greets_is_not_a_qmp_server() {
    let server = Server::new(|mut talk| {
        talk.say("{\"event\": \"E\"}{\"return\": {}}{");
        talk.await_hangup();
    });
    assert_eq!(
        server.refused(Duration::from_secs(1)).kind(),
        ErrorKind::NotQmp
    );
}

#[test]
fn hanging_up_instead_of_greeting_is_a_lost_connection() {
    assert_eq!(Server::new(drop).refused(SOON).kind(), ErrorKind::Closed);
}

#[test]
fn addresses_without_a_server_say_why() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| Client::connect_unix(directory.path().join(name)).unwrap_err();
    let missing = at("missing");
    assert_eq!(missing.kind(), ErrorKind::NoSocket);
    assert!(
        missing.to_string().contains("missing: no such socket"),
        "{missing}"
    );
    drop(UnixListener::bind(directory.path().join("stale")).unwrap());
    assert_eq!(at("stale").kind(), ErrorKind::Refused);
    std::fs::write(directory.path().join("file"), "").unwrap();
    assert_eq!(at("file").kind(), ErrorKind::Refused);
    assert_eq!(at(&"x".repeat(200)).kind(), ErrorKind::Connect);

    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = Address::Tcp(format!("127.0.0.1:{port}"));
    let error = Client::connect(&address, &Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[test]
fn a_tcp_server_is_served_but_gets_no_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap().to_string());
    let server = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(GREETING.as_bytes()).unwrap();
        let commands = BufReader::new(stream.try_clone().unwrap());
        for line in commands.lines() {
            let command: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let reply = json!({"return": version(3), "id": command["id"]}).to_string();
            stream.write_all(reply.as_bytes()).unwrap();
        }
    });
    let client = Client::connect(&address, &Options::default()).unwrap();
    let file = tempfile::tempfile().unwrap();
    let error = client
        .execute_with_fd(&AddFd::default(), file.as_fd())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidCommand);
    assert_eq!(client.execute(&QueryVersion {}).unwrap().qemu.major, 3);
    drop(client);
    server.join().unwrap();
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
