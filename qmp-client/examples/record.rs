//! Records the conversations under `tests/transcripts`.
//!
//! ```text
//! cargo run -p fleece-qmp-client --example record -- machine >machine-7.2.jsonl
//! cargo run -p fleece-qmp-client --example record -- storage-daemon >storage-daemon-7.2.jsonl
//! ```
//!
//! It starts the program, stands between it and the client while the scenario of that name
//! runs, and writes each message that passes: `{"client": …}` or `{"server": …}`, as it came,
//! but with commands numbered from 1 and with `query-qmp-schema` trimmed to what can be reached
//! from [`KEPT`].

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a tool for whoever changes this crate: it may panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fleece_qmp_client::Client;
use serde_json::{Value, json};

#[path = "../tests/peers/scenario.rs"]
mod scenario;

use scenario::{IMAGE_SIZE, IMAGES, MACHINE, STORAGE_DAEMON, Scenario};

/// The commands and events whose description stays in a schema.
const KEPT: [&str; 6] = [
    "blockdev-add",
    "blockdev-backup",
    "transaction",
    "block-export-add",
    "nbd-server-start",
    "BLOCK_JOB_ERROR",
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named = |scenario: &Scenario| arguments.first().is_some_and(|name| name == scenario.name);
    let Some(scenario) = [MACHINE, STORAGE_DAEMON].into_iter().find(named) else {
        eprintln!("usage: record machine|storage-daemon [PROGRAM]");
        std::process::exit(2);
    };
    // A path is meant from here, not from where the program will run.
    let program = match arguments.get(1) {
        Some(program) => std::path::absolute(program).unwrap(),
        None => scenario.program.into(),
    };
    for line in record(scenario, &program) {
        println!("{line}");
    }
}

fn record(scenario: Scenario, program: &Path) -> Vec<String> {
    let version = Command::new(program)
        .arg("--version")
        .output()
        .unwrap()
        .stdout;
    let version = String::from_utf8(version).unwrap();
    let about = json!({"about": {
        "program": version.lines().next().unwrap(), "arguments": scenario.arguments,
        "schema trimmed to": KEPT,
    }});

    let directory = tempfile::TempDir::new().unwrap();
    for image in IMAGES {
        let file = std::fs::File::create(directory.path().join(image)).unwrap();
        file.set_len(IMAGE_SIZE).unwrap();
    }
    let mut process = Command::new(program)
        .args(scenario.arguments)
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let server = connect(&directory.path().join("qmp"));
    let path = directory.path().join("recorder");
    let listener = UnixListener::bind(&path).unwrap();
    let tape = Arc::new(Mutex::new(Tape::default()));
    let relays = {
        let tape = Arc::clone(&tape);
        thread::spawn(move || relay(listener.accept().unwrap().0, server, &tape))
    };
    let client = Client::connect_unix(&path).unwrap();
    (scenario.talk)(&client);
    drop(client);
    relays.join().unwrap();
    process.wait().unwrap();

    let mut lines = vec![about.to_string()];
    lines.append(&mut tape.lock().unwrap().lines);
    lines
}

fn connect(path: &Path) -> UnixStream {
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Passes everything on in both directions until both ends have hung up.
fn relay(mut client: UnixStream, mut server: UnixStream, tape: &Mutex<Tape>) {
    let (mut to_client, from_server) = (
        client.try_clone().unwrap(),
        BufReader::new(server.try_clone().unwrap()),
    );
    thread::scope(|scope| {
        scope.spawn(move || {
            for line in from_server.lines().map_while(Result::ok) {
                tape.lock().unwrap().add("server", &line);
                if to_client
                    .write_all(format!("{line}\r\n").as_bytes())
                    .is_err()
                {
                    break;
                }
            }
            let _ = to_client.shutdown(std::net::Shutdown::Both);
        });
        // What the client sends in one piece stays in one piece.
        let mut piece = Vec::new();
        let mut buffer = [0; 64 << 10];
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            piece.extend_from_slice(&buffer[..length]);
            if piece.ends_with(b"\n") {
                for line in piece.lines() {
                    tape.lock().unwrap().add("client", &line.unwrap());
                }
                if server.write_all(&std::mem::take(&mut piece)).is_err() {
                    break;
                }
            }
        }
        let _ = server.shutdown(std::net::Shutdown::Both);
    });
}

#[derive(Default)]
struct Tape {
    lines: Vec<String>,
    /// The client's ids and the numbers that stand for them.
    ids: BTreeMap<String, usize>,
}

impl Tape {
    fn add(&mut self, who: &str, text: &str) {
        let mut text = text.to_owned();
        let mut message: Value = serde_json::from_str(&text).unwrap();
        if message["return"]
            .as_array()
            .is_some_and(|list| list.iter().any(is_schema))
        {
            trim(message["return"].as_array_mut().unwrap());
            text = message.to_string();
        }
        if let Some(id) = message.get("id").map(Value::to_string) {
            let next = self.ids.len() + 1;
            text = text.replace(&id, &self.ids.entry(id.clone()).or_insert(next).to_string());
        }
        self.lines.push(format!("{{\"{who}\": {text}}}"));
    }
}

fn is_schema(entity: &Value) -> bool {
    entity["meta-type"] == "command"
}

/// Keeps what can be reached from [`KEPT`].
fn trim(entities: &mut Vec<Value>) {
    let by_name: BTreeMap<&str, &Value> = entities
        .iter()
        .map(|entity| (entity["name"].as_str().unwrap(), entity))
        .collect();
    let mut reached = BTreeSet::new();
    let mut left: Vec<&str> = KEPT.to_vec();
    while let Some(name) = left.pop() {
        let Some(entity) = by_name.get(name) else {
            continue;
        };
        if reached.insert(name.to_owned()) {
            left.extend(entity["arg-type"].as_str());
            left.extend(entity["element-type"].as_str());
            for list in ["members", "variants"] {
                let list = entity[list].as_array().into_iter().flatten();
                left.extend(list.filter_map(|member| member["type"].as_str()));
            }
        }
    }
    entities.retain(|entity| reached.contains(entity["name"].as_str().unwrap()));
}
