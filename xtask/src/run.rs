//! Running a program.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a task ends with: a note on success, a message for a person on failure.
pub(crate) type Outcome = Result<String, String>;

/// A program with its arguments, run in the workspace's folder.
pub(crate) struct Run {
    command: Command,
    line: String,
}

impl Run {
    pub(crate) fn new(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(workspace());
        Self {
            command,
            line: format!("{program} {}", arguments.join(" ")),
        }
    }

    pub(crate) fn cargo(arguments: &[&str]) -> Self {
        Self::new("cargo", arguments)
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    pub(crate) fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self.line = format!("{} {}", self.line, arguments.join(" "));
        self
    }

    /// Starts it, with its standard output for the caller.
    pub(crate) fn started(mut self) -> Result<Child, String> {
        let (input, output) = (Stdio::null(), Stdio::piped());
        let started = self.command.stdin(input).stdout(output).spawn();
        started.map_err(|error| self.failed(&error.to_string()))
    }

    /// Keeps the output to itself; gives the standard output, or on failure all of it as the error.
    pub(crate) fn quietly(mut self) -> Result<String, String> {
        let output = self.command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| self.failed(&error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(self.failed(&format!("{}\n{text}{errors}", output.status)))
    }

    /// Shows the output as it comes, and gives the lines of it that `wanted` picks.
    pub(crate) fn openly(mut self, wanted: fn(&str) -> bool) -> Result<Vec<String>, String> {
        let mut picked = Vec::new();
        let status = self
            .stream(|line| {
                if wanted(line) {
                    picked.push(line.to_owned());
                }
            })
            .map_err(|error| self.failed(&error.to_string()))?;
        match status {
            true => Ok(picked),
            false => Err(self.failed("failed, see above")),
        }
    }

    /// Both outputs go through one pipe, so that their lines keep their order.
    fn stream(&mut self, mut each: impl FnMut(&str)) -> io::Result<bool> {
        let (reader, writer) = io::pipe()?;
        self.command.stdin(Stdio::null());
        self.command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = self.command.spawn()?;
        // The command still holds the pipe's other end, which would never say that it is the end.
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            io::stdout().write_all(&line)?;
            each(&String::from_utf8_lossy(&line));
            line.clear();
        }
        Ok(child.wait()?.success())
    }

    fn failed(&self, why: &str) -> String {
        format!("{}: {}", self.line, why.trim_end())
    }
}

/// Whether a program is in the `PATH`.
pub(crate) fn has(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// What this thread starts from now on gets a processor only when nobody else wants it. Linux has a niceness for each
/// thread.
pub(crate) fn renice_this_thread() {
    let thread = fs::read_link("/proc/thread-self").unwrap_or_default();
    if let Some(number) = thread.file_name().and_then(OsStr::to_str) {
        // Without it, all is only slower.
        let _still_right = Run::new("renice", &["--priority", "19", "--pid", number]).quietly();
    }
}

/// Has Rust's standard library for `target`.
pub(crate) fn add_target(target: &str) -> Outcome {
    if !has("rustup") {
        return Err(format!("no rustup that would add the target {target}"));
    }
    Run::new("rustup", &["target", "add", target]).quietly()
}

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}
