//! A store of behaviour, moto, and faults on the way to a store.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod proxy;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Starts moto on a port that is free, and tells which. It ends with its standard input.
const SCRIPT: &str = "
import logging, sys
logging.getLogger('werkzeug').disabled = True
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
";

/// A moto, which ends when this is dropped.
pub(crate) struct Moto {
    child: Child,
    pub(crate) port: u16,
}

impl Moto {
    /// None, after a `SKIP:` line, where Python has no moto.
    pub(crate) fn start() -> Option<Self> {
        let python = fleece_lab::require("python3")?;
        let mut child = Command::new(python)
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let Ok(port) = line.trim().parse() else {
            let mut said = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut said);
            let _ = child.wait();
            assert!(said.contains("No module named"), "{said}");
            fleece_lab::skip(
                "Python has no moto: PYTHONPATH=target/peers/python after cargo ci --only packages",
            );
            return None;
        };
        let moto = Self { child, port };
        moto.bucket("backups", false);
        moto.bucket("locked", true);
        Some(moto)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn bucket(&self, name: &str, lock: bool) {
        let lock = if lock {
            "x-amz-bucket-object-lock-enabled: true\r\n"
        } else {
            ""
        };
        let answer = self.ask(&format!(
            "PUT /{name} HTTP/1.1\r\nhost: 127.0.0.1\r\n{lock}content-length: 0\r\nconnection: close\r\n\r\n"
        ));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    pub(crate) fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
