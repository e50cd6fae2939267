//! Commands to the guest's shell, and their output, over its second serial port.
//!
//! The guest's `init` reads a line, runs it, and answers with its output and `@@END` and the status.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::error::{Error, ErrorKind};
use crate::process::{deadline, wait};

const READY: &str = "@@READY";
const FAILED: &str = "@@FAILED";
const END: &str = "@@END ";

/// A terminal in its canonical mode holds 4096 bytes, the end of the line among them (termios(3)).
const MAX_LINE: usize = 4095;

/// The host's end of the guest's shell.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Waits until the guest's shell is there.
    pub(crate) fn wait_ready(&mut self, deadline: Instant) -> Result<(), Error> {
        loop {
            let line = self.line("the guest's shell", deadline)?;
            if line.starts_with(READY) {
                return Ok(());
            }
            if line.starts_with(FAILED) {
                return Err(Error::new(ErrorKind::Unusable, line));
            }
        }
    }

    /// Runs one line of shell; gives its output, or an error unless its status is 0.
    pub(crate) fn run(&mut self, command: &str, timeout: Duration) -> Result<String, Error> {
        if command.contains('\n') || command.len() > MAX_LINE {
            let message = format!("not one line of at most {MAX_LINE} bytes: {command}");
            return Err(Error::new(ErrorKind::Unusable, message));
        }
        self.send(command)?;
        let deadline = deadline(timeout);
        let mut output = String::new();
        loop {
            let line = self.line(command, deadline)?;
            let Some((rest, status)) = line.split_once(END) else {
                output.push_str(&line);
                continue;
            };
            output.push_str(rest);
            return match status.trim() {
                "0" => Ok(output),
                status => {
                    let message = format!("in the guest: {command}: status {status}");
                    Err(Error::new(ErrorKind::Command, message).with(&output))
                }
            };
        }
    }

    /// Sends one line without waiting for an answer.
    pub(crate) fn send(&mut self, line: &str) -> Result<(), Error> {
        self.stream
            .write_all(format!("{line}\n").as_bytes())
            .map_err(Error::io(format!("send to the guest: {line}")))
    }

    /// The next line, its end included, without carriage returns.
    fn line(&mut self, waiting_for: &str, deadline: Instant) -> Result<String, Error> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let rest = self.received.split_off(end.saturating_add(1));
                let line = std::mem::replace(&mut self.received, rest);
                return Ok(String::from_utf8_lossy(&line).replace('\r', ""));
            }
            let mut events = [PollFd::new(&self.stream, PollFlags::IN)];
            wait(&mut events, deadline).map_err(Error::io("wait for the guest"))?;
            if events.iter().all(|event| event.revents().is_empty()) {
                let message = format!("waited in vain for the end of: {waiting_for}");
                let so_far = String::from_utf8_lossy(&self.received);
                return Err(Error::new(ErrorKind::Timeout, message).with(&so_far));
            }
            let mut buffer = [0; 4096];
            let count = self
                .stream
                .read(&mut buffer)
                .map_err(Error::io("read from the guest"))?;
            if count == 0 {
                let message = format!("the guest ended while waiting for: {waiting_for}");
                return Err(Error::new(ErrorKind::Exited, message));
            }
            self.received
                .extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    /// A channel to a guest that says `lines` and then is silent.
    fn guest(lines: &str) -> (Channel, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(lines.as_bytes()).unwrap();
        (Channel::new(ours), theirs)
    }

    #[test]
    fn output_and_status_are_told_apart_even_without_a_last_newline() {
        let (mut channel, _guest) = guest("one\r\ntwo@@END 0\r\n");
        assert_eq!(channel.run("x", SOON).unwrap(), "one\ntwo");
    }

    #[test]
    fn a_status_other_than_0_is_an_error_that_shows_the_output() {
        let (mut channel, _guest) = guest("no such file\n@@END 2\n");
        let error = channel.run("cat x", SOON).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Command);
        assert!(error.to_string().contains("no such file"), "{error}");
    }

    #[test]
    fn a_silent_guest_is_a_timeout() {
        let (mut channel, _guest) = guest("begun");
        let error = channel.run("x", Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }

    #[test]
    fn a_guest_that_ends_is_told_from_a_silent_one() {
        let (mut channel, guest) = guest("");
        drop(guest);
        let error = channel.wait_ready(deadline(SOON)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exited);
    }
}
