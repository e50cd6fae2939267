//! The agent's client against agents that misbehave.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const SOON: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

/// An agent that runs a script with its first client.
fn agent(script: impl FnOnce(Guest) + Send + 'static) -> (Agent, JoinHandle<()>) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("qga");
    let listener = UnixListener::bind(&path).unwrap();
    let agent = Agent::connect_unix(&path).unwrap();
    let stream = listener.accept().unwrap().0;
    let commands = BufReader::new(stream.try_clone().unwrap());
    (
        agent,
        std::thread::spawn(move || script(Guest { stream, commands })),
    )
}

struct Guest {
    stream: UnixStream,
    commands: BufReader<UnixStream>,
}

impl Guest {
    fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// The next command; whether it came after a restart byte, and itself.
    fn command(&mut self) -> (bool, Value) {
        let mut line = Vec::new();
        self.commands.read_until(b'\n', &mut line).unwrap();
        let restarts = line.first() == Some(&RESTART);
        (
            restarts,
            serde_json::from_slice(&line[usize::from(restarts)..]).unwrap(),
        )
    }

    /// Answers one `guest-sync-delimited` as `qemu-ga` does.
    fn sync(&mut self) {
        let (restarts, sync) = self.command();
        assert!(restarts);
        assert_eq!(sync["execute"], "guest-sync-delimited");
        self.say([RESTART]);
        self.answer(sync["arguments"]["id"].clone());
    }

    fn answer(&mut self, result: Value) {
        self.say(json!({"return": result}).to_string() + "\n");
    }
}

#[test]
fn freezing_and_thawing_tell_state_and_counts() {
    let (mut agent, guest) = agent(|mut guest| {
        let script = [
            ("guest-ping", json!({})),
            ("guest-fsfreeze-status", json!("thawed")),
            ("guest-fsfreeze-freeze", json!(2)),
            ("guest-fsfreeze-status", json!("frozen")),
            ("guest-fsfreeze-thaw", json!(2)),
        ];
        for (name, result) in script {
            guest.sync();
            assert_eq!(guest.command(), (false, json!({"execute": name})));
            guest.answer(result);
        }
    });
    agent.ping(SOON).unwrap();
    assert_eq!(agent.fsfreeze_status(SOON).unwrap(), FreezeStatus::Thawed);
    assert_eq!(agent.fsfreeze_freeze(SOON).unwrap(), 2);
    assert_eq!(agent.fsfreeze_status(SOON).unwrap(), FreezeStatus::Frozen);
    assert_eq!(agent.fsfreeze_thaw(SOON).unwrap(), 2);
    guest.join().unwrap();
}

#[test]
fn what_was_meant_for_others_is_passed_over() {
    let (mut agent, guest) = agent(|mut guest| {
        guest.say("return\": \"half of a reply}\n{\"return\": 5}\n");
        let (_, sync) = guest.command();
        guest.say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\n");
        guest.say("{\"return\": 6}\n{\"half\": \"");
        guest.say([RESTART]);
        guest.answer(sync["arguments"]["id"].clone());
        guest.command();
        guest.answer(json!(7));
    });
    assert_eq!(agent.fsfreeze_thaw(SOON).unwrap(), 7);
    guest.join().unwrap();
}

#[test]
fn late_reply_is_not_taken_for_that_of_the_next_command() {
    let (passed, deadline_passed) = channel();
    let (mut agent, guest) = agent(move |mut guest| {
        loop {
            let (_, command) = guest.command();
            match command["execute"].as_str().unwrap() {
                "guest-sync-delimited" => {
                    guest.say([RESTART]);
                    guest.answer(command["arguments"]["id"].clone());
                }
                "guest-fsfreeze-freeze" => {
                    deadline_passed.recv().unwrap();
                    guest.answer(json!(1));
                }
                _ => break guest.answer(json!(2)),
            }
        }
    });
    let late = agent.fsfreeze_freeze(SHORT).unwrap_err();
    assert_eq!(
        (late.kind(), late.command()),
        (ErrorKind::Deadline, Some("guest-fsfreeze-freeze"))
    );
    passed.send(()).unwrap();
    assert_eq!(agent.fsfreeze_thaw(SOON).unwrap(), 2);
    guest.join().unwrap();
}

#[test]
fn an_agent_that_is_not_there_costs_no_more_than_the_deadline() {
    let (done, finished) = channel::<()>();
    let (mut agent, guest) = agent(move |_guest| {
        let _ = finished.recv();
    });
    let error = agent.ping(SHORT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(
        error.to_string().contains("is the guest agent running?"),
        "{error}"
    );
    drop(done);
    guest.join().unwrap();
}

#[test]
fn a_flood_of_other_messages_costs_no_more_than_the_deadline() {
    let (mut agent, guest) = agent(
        |mut guest| {
            while guest.stream.write_all(b"{\"return\": 0}\n").is_ok() {}
        },
    );
    assert_eq!(agent.ping(SHORT).unwrap_err().kind(), ErrorKind::Deadline);
    drop(agent);
    guest.join().unwrap();
}

#[test]
fn refusals_and_odd_replies_are_told_apart() {
    let (mut agent, guest) = agent(|mut guest| {
        let replies = [
            r#"{"error": {"class": "CommandNotFound", "desc": "disabled"}}"#,
            r#"{"return": "many"}"#,
            r#"{"return": -1}"#,
            r#"{"event": "E"}"#,
        ];
        for reply in replies {
            guest.sync();
            guest.command();
            guest.say(reply);
        }
    });
    let mut kind = || agent.fsfreeze_freeze(SOON).unwrap_err().kind();
    assert_eq!(
        kind(),
        ErrorKind::Command(crate::error::ErrorClass::CommandNotFound)
    );
    assert_eq!(kind(), ErrorKind::UnexpectedReply);
    assert_eq!(kind(), ErrorKind::UnexpectedReply);
    assert_eq!(kind(), ErrorKind::Protocol);
    guest.join().unwrap();
}

#[test]
fn what_a_guest_says_in_an_error_is_words_and_not_many() {
    let (mut agent, guest) = agent(|mut guest| {
        guest.sync();
        guest.command();
        let desc = format!("no\nINFO: \u{1b}[2Jdone\u{202e}{}", "x".repeat(60_000));
        let error = json!({"error": {"class": "GenericError", "desc": desc}});
        guest.say(format!("{error}\n"));
    });
    let error = agent.fsfreeze_status(SOON).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("no INFO: ?[2Jdone?xxx"), "{said}");
    assert!(
        said.len() < 700 && !said.contains(char::is_control),
        "{said}"
    );
    guest.join().unwrap();
}

#[test]
fn hanging_up_is_a_lost_connection() {
    let (mut agent, guest) = agent(|mut guest| {
        guest.command();
    });
    assert_eq!(agent.ping(SOON).unwrap_err().kind(), ErrorKind::Closed);
    guest.join().unwrap();
}
