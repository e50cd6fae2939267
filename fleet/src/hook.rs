//! Programs of others that are called at certain moments: with a deadline, in a process group of their own.

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use fleece_plain_text::words_of;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::{Error, ErrorKind};

/// How long a program that is told to end has for it.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// How often it is looked whether it has ended: what it has started may keep its output open.
const LOOK: Duration = Duration::from_millis(20);

/// How long what it said last is waited for, once it has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The longest line of its output, in bytes.
const MAX_LINE: u64 = 4096;

/// A call of a program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hook {
    program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What is in its environment; nothing else is, if [`is_bare`](Self::is_bare).
    pub environment: Vec<(String, OsString)>,
    /// Whether it gets nothing of our own environment.
    pub is_bare: bool,
    /// What it reads on standard input.
    pub input: Vec<u8>,
    /// After this long it is ended.
    pub limit: Duration,
}

impl Hook {
    /// A call of that program with nothing, for at most ten minutes.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            is_bare: false,
            input: Vec::new(),
            limit: Duration::from_secs(600),
        }
    }

    /// Calls it, and waits for its end; `tell` gets each line that it prints, and `stop` says whether it must end.
    /// What it has started and left running goes on if it ended by itself, and is ended with it otherwise.
    ///
    /// # Errors
    /// Unless it ended by itself with exit code 0.
    pub fn call(&self, tell: &mut dyn FnMut(&str), stop: &dyn Fn() -> bool) -> Result<(), Error> {
        let failed = |error| Error::start(&self.name(), error);
        let (output, mut child) = self.spawn().map_err(failed)?;
        self.feed(&mut child).map_err(failed)?;
        let lines = listen(output).map_err(failed)?;
        let deadline = Instant::now().checked_add(self.limit);
        loop {
            let is_silent = match lines.recv_timeout(LOOK) {
                Ok(line) => {
                    tell(&line);
                    continue;
                }
                Err(error) => error == RecvTimeoutError::Disconnected,
            };
            if let Some(status) = child.try_wait().map_err(failed)? {
                // What it has said may still be on its way; what it has started may go on talking, and is not waited for.
                let end = Instant::now().checked_add(LAST_WORDS);
                while let Some(Ok(line)) = end.map(|end| lines.recv_deadline(end)) {
                    tell(&line);
                }
                return self.verdict(status);
            }
            if stop() {
                end(&mut child);
                let message = format!("{} was ended", self.name());
                return Err(Error::new(ErrorKind::Stopped, message));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                end(&mut child);
                let limit = self.limit.as_secs();
                let message = format!("{} took longer than {limit} s, and was ended", self.name());
                return Err(Error::new(ErrorKind::Deadline, message));
            }
            if is_silent {
                thread::sleep(LOOK);
            }
        }
    }

    fn spawn(&self) -> io::Result<(PipeReader, Child)> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(&self.program);
        if self.is_bare {
            command.env_clear();
        }
        command.args(&self.arguments).process_group(0);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(match self.input.is_empty() {
            true => Stdio::null(),
            false => Stdio::piped(),
        });
        command.stdout(writer.try_clone()?).stderr(writer);
        // Our ends of the pipe go with the command.
        Ok((reader, command.spawn()?))
    }

    /// Gives it its input, without waiting for it to be read.
    fn feed(&self, child: &mut Child) -> io::Result<()> {
        let Some(mut stdin) = child.stdin.take() else {
            return Ok(());
        };
        let input = self.input.clone();
        // Not reading is no error.
        let feed = move || drop(stdin.write_all(&input));
        thread::Builder::new().name("hook".into()).spawn(feed)?;
        Ok(())
    }

    fn verdict(&self, status: ExitStatus) -> Result<(), Error> {
        let how = match (status.code(), status.signal()) {
            (Some(0), _) => return Ok(()),
            (Some(code), _) => format!("failed with exit code {code}"),
            (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
        };
        let message = format!("{} {how}", self.name());
        Err(Error::new(ErrorKind::Failed, message))
    }

    /// The program and its first argument, which for a hook is the moment.
    fn name(&self) -> String {
        let program = Path::new(&self.program).display();
        match self.arguments.first() {
            Some(first) if !self.is_shell() => format!("{program} {}", first.display()),
            _ => program.to_string(),
        }
    }

    fn is_shell(&self) -> bool {
        self.program.as_path() == Path::new("sh")
    }
}

/// Passes on its lines.
fn listen(output: PipeReader) -> io::Result<Receiver<String>> {
    let (to, lines) = bounded(64);
    let listen = move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            match output.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line.trim_ascii().is_empty() => {}
                // Who does not listen any more does not keep it waiting.
                Ok(_) => drop(to.send(words_of(&line))),
            }
        }
    };
    thread::Builder::new().name("hook".into()).spawn(listen)?;
    Ok(lines)
}

/// Ends it, and all that is in its process group.
fn end(child: &mut Child) {
    let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return;
    };
    let _ = kill_process_group(group, Signal::TERM);
    let begun = Instant::now();
    while begun.elapsed() < LAST_CHANCE && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(LOOK);
    }
    // Also what it has left behind.
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Hook {
        let mut hook = Hook::new("/bin/sh");
        hook.arguments = vec!["-c".into(), script.into()];
        hook
    }

    fn said(hook: &Hook) -> (Vec<String>, Result<(), ErrorKind>) {
        let mut lines = Vec::new();
        let result = hook.call(&mut |line| lines.push(line.to_owned()), &|| false);
        (lines, result.map_err(|error| error.kind()))
    }

    #[test]
    fn it_gets_its_input_and_only_its_environment_and_its_lines_are_told() {
        let mut hook = shell("cat; echo; echo TARGET=$TARGET HOME=$HOME; echo oops >&2");
        hook.is_bare = true;
        hook.environment.push(("TARGET".into(), "/to".into()));
        hook.input = b"{}".to_vec();
        let (lines, result) = said(&hook);
        assert_eq!(lines, ["{}", "TARGET=/to HOME=", "oops"]);
        assert_eq!(result, Ok(()));
    }

    #[test]
    fn one_that_reads_nothing_and_one_that_fails_say_so() {
        let mut hook = shell("exit 3");
        hook.input = vec![b'x'; 1 << 20];
        assert_eq!(said(&hook).1, Err(ErrorKind::Failed));
        let error = hook.call(&mut |_| {}, &|| false).unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh -c failed with exit code 3");
        assert_eq!(said(&Hook::new("/none")).1, Err(ErrorKind::Start));
    }

    #[test]
    fn one_that_hangs_is_ended_with_all_that_it_has_started() {
        let mut hook = shell("trap '' TERM; sleep 600 & echo $!; wait");
        hook.limit = Duration::from_millis(300);
        let (lines, result) = said(&hook);
        assert_eq!(result, Err(ErrorKind::Deadline));
        // What it has started has ended, too, though perhaps nobody has waited for it yet.
        let has_ended = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", lines[0]));
            !stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !has_ended() {
            assert!(Instant::now() < deadline, "it runs on");
            thread::yield_now();
        }
        assert_eq!(
            shell("sleep 600")
                .call(&mut |_| {}, &|| true)
                .unwrap_err()
                .kind(),
            ErrorKind::Stopped
        );
    }

    #[test]
    fn what_it_leaves_running_is_not_waited_for() {
        let begun = Instant::now();
        let (lines, result) = said(&shell("sleep 5 & echo begun"));
        assert_eq!((lines, result), (vec!["begun".to_owned()], Ok(())));
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
}
