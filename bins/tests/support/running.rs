//! A backup at work.

use std::io::{BufRead as _, BufReader, Lines, PipeReader};
use std::process::{Child, Command, Stdio};

use super::ended::Ended;

/// A program that runs, and what it says.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Lines<BufReader<PipeReader>>,
    said: Vec<String>,
}

impl Running {
    /// Starts `fleece backup`, or another command, with `--json`.
    pub(crate) fn start(command: &mut Command) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        command.arg("--json").stdout(writer.try_clone().unwrap());
        Self::spawn(command, reader, writer)
    }

    /// The same for one that writes an archive to standard output, which is left in `child`.
    pub(crate) fn start_streaming(command: &mut Command) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        command.arg("--json").stdout(Stdio::piped());
        Self::spawn(command, reader, writer)
    }

    /// Starts `command` as a backup of guest 7 that takes long, and waits until it reads.
    pub(crate) fn begin(command: &mut Command) -> Self {
        let mut running = Self::start(command.args(["--vmid", "7", "--bwlimit", "4M"]));
        running.until("\"done\":");
        running
    }

    fn spawn(command: &mut Command, reader: PipeReader, writer: std::io::PipeWriter) -> Self {
        let child = command.stderr(writer).spawn().unwrap();
        // The pipe ends with the child, not with the command that started it.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self {
            child,
            lines: BufReader::new(reader).lines(),
            said: Vec::new(),
        }
    }

    /// Waits for a line with `text`, and returns it.
    pub(crate) fn until(&mut self, text: &str) -> String {
        self.find(|line| line.contains(text))
            .unwrap_or_else(|| panic!("it never said '{text}':\n{}", self.said.join("\n")))
    }

    /// Waits for the first line that `wanted` accepts.
    pub(crate) fn find(&mut self, mut wanted: impl FnMut(&str) -> bool) -> Option<String> {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            self.said.push(line.clone());
            if wanted(&line) {
                return Some(line);
            }
        }
        None
    }

    /// Sends a signal, such as `-INT`.
    pub(crate) fn signal(&self, name: &str) {
        super::signal(self.child.id(), name);
    }

    /// Most memory that it has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.unwrap().parse::<u64>().unwrap() << 10
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        self.find(|_| false);
        let status = self.child.wait().unwrap();
        Ended {
            status,
            said: self.said.join("\n"),
        }
    }
}
