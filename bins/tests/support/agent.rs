//! A guest's agent that can fall mute at a chosen command, which the real one cannot be made to do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

pub(crate) struct FakeAgent {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    frozen: bool,
    /// Commands that are neither done nor answered.
    mute: Vec<&'static str>,
    asked: Vec<String>,
}

impl FakeAgent {
    pub(crate) fn start(socket: PathBuf) -> Self {
        let listener = UnixListener::bind(&socket).unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let agent = Self {
            socket,
            state: Arc::clone(&state),
        };
        // It goes with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || serve(&client.unwrap(), &state));
            }
        });
        agent
    }

    pub(crate) fn path(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn mute(&self, commands: &[&'static str]) {
        self.state.lock().unwrap().mute = commands.to_vec();
    }

    pub(crate) fn set_frozen(&self) {
        self.state.lock().unwrap().frozen = true;
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.state.lock().unwrap().frozen
    }

    /// Waits until a command has been asked for.
    pub(crate) fn until_asked(&self, command: &str) {
        while !self
            .state
            .lock()
            .unwrap()
            .asked
            .iter()
            .any(|asked| asked == command)
        {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

fn serve(client: &UnixStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(client.try_clone().unwrap());
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .is_ok_and(|length| length > 0)
    {
        line.retain(|byte| *byte != 0xff);
        if let Ok(command) = serde_json::from_slice::<Value>(&line)
            && let Some(answer) = state.lock().unwrap().answer(&command)
        {
            if command["execute"] == "guest-sync-delimited" {
                let _ = { client }.write_all(&[0xff]);
            }
            let _ = { client }.write_all(format!("{answer}\n").as_bytes());
        }
        line.clear();
    }
}

impl State {
    fn answer(&mut self, command: &Value) -> Option<Value> {
        let name = command["execute"].as_str().unwrap();
        self.asked.push(name.to_owned());
        if self.mute.contains(&name) {
            return None;
        }
        let result = match name {
            "guest-sync-delimited" => command["arguments"]["id"].clone(),
            "guest-fsfreeze-status" if self.frozen => json!("frozen"),
            "guest-fsfreeze-status" => json!("thawed"),
            "guest-fsfreeze-freeze" => {
                self.frozen = true;
                json!(1)
            }
            "guest-fsfreeze-thaw" => json!(u64::from(std::mem::take(&mut self.frozen))),
            "guest-get-fsinfo" => json!([]),
            _ => json!({}),
        };
        Some(json!({"return": result}))
    }
}
