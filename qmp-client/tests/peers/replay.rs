//! A server that says what another one said.

use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use fleece_qmp_client::Client;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::scenario::Scenario;

/// Runs the scenario against the transcript of a version of QEMU: the client must send what is
/// recorded, and gets the recorded answers and events.
pub(crate) fn run(scenario: Scenario, version: &str) {
    let transcript = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let transcript = transcript.join(format!("{}-{version}.jsonl", scenario.name));
    let transcript = std::fs::read_to_string(transcript).unwrap();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("qmp");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || serve(&listener.accept().unwrap().0, &transcript));
    let client = Client::connect_unix(&path).unwrap();
    (scenario.talk)(&client);
    drop(client);
    server.join().unwrap();
}

/// One line of a transcript.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// How it was made.
    About {},
    Client(Value),
    Server(Value),
}

fn serve(stream: &UnixStream, transcript: &str) {
    let mut commands =
        serde_json::Deserializer::from_reader(BufReader::new(stream)).into_iter::<Value>();
    // Each connection chooses its own ids.
    let mut ids = HashMap::new();
    for (number, line) in (1..).zip(transcript.lines()) {
        match serde_json::from_str(line).unwrap() {
            Line::About {} => {}
            Line::Client(mut recorded) => {
                let mut sent = commands.next().expect("the client hung up early").unwrap();
                let id =
                    |message: &mut Value| message.as_object_mut().unwrap().remove("id").unwrap();
                ids.insert(id(&mut recorded).to_string(), id(&mut sent));
                assert_eq!(sent, recorded, "line {number}");
            }
            Line::Server(mut message) => {
                if let Some(id) = message.get_mut("id") {
                    *id = ids[&id.to_string()].clone();
                }
                let mut stream = stream;
                stream
                    .write_all(format!("{message}\r\n").as_bytes())
                    .unwrap();
            }
        }
    }
}
