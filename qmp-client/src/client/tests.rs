//! The client against servers that misbehave.

mod calls;
mod connect;
mod ends;

use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::commands::QueryVersion;
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
