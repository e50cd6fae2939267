//! Programs that drive storages: started without a shell, never waited for without end.

mod feed;

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fleece_plain_text::words;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, OFlags, fcntl_getfl, fcntl_setfl, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::error::{Error, ErrorKind};
pub(crate) use feed::Feed;

/// Where system programs live. The caller's `PATH` is not asked.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// What a program may print: a list of 100,000 volumes of 160 bytes each fits.
const MAX_OUTPUT: usize = 16 << 20;
/// How long a killed program may take to go.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs programs; tests put a transcript in the place of the system.
pub(crate) trait Runner: fmt::Debug + Send + Sync {
    /// Runs `argv`, gives it `input`, and returns what it printed on standard output.
    ///
    /// # Errors
    ///
    /// `CommandMissing`; `CommandFailed` with what it printed on standard error; `Unreachable`
    /// after `timeout`, when it and all its children have been killed.
    fn run_with(&self, argv: &[&str], input: &[u8], timeout: Duration) -> Result<Vec<u8>, Error>;

    /// Runs `argv` for text, without input.
    fn run(&self, argv: &[&str], timeout: Duration) -> Result<String, Error> {
        let output = self.run_with(argv, b"", timeout)?;
        String::from_utf8(output).map_err(|_| failed(argv, "its output is not UTF-8"))
    }
}

/// The programs of this host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System;

impl Runner for System {
    fn run_with(&self, argv: &[&str], input: &[u8], timeout: Duration) -> Result<Vec<u8>, Error> {
        let io = |source| failed(argv, "cannot be run").caused_by(source);
        let mut child = command(argv)?
            .stdin(input_file(input).map_err(io)?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io)?;
        let ended = attend(&mut child, timeout).map_err(io);
        if !matches!(ended, Ok(Some(_))) {
            kill(&mut child);
        }
        let Some(Ended {
            status,
            stdout,
            stderr,
        }) = ended?
        else {
            return Err(too_late(argv, timeout));
        };
        if stdout.len() >= MAX_OUTPUT {
            return Err(failed(
                argv,
                &format!("printed more than {MAX_OUTPUT} bytes"),
            ));
        }
        if !status.success() {
            return Err(failed(
                argv,
                &format!("failed with {status}: {}", summary(&stderr)),
            ));
        }
        Ok(stdout)
    }
}

/// A program in the environment that all get.
fn command(argv: &[&str]) -> Result<Command, Error> {
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| failed(argv, "no program is named"))?;
    let mut command = Command::new(find(program)?);
    command
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .env("LVM_SUPPRESS_FD_WARNINGS", "1")
        .env("PATH", DIRECTORIES.join(":"))
        .current_dir("/")
        // A group of its own, so that its children can be killed with it.
        .process_group(0);
    Ok(command)
}

/// The absolute path of a program, which may be given as one.
fn find(program: &str) -> Result<PathBuf, Error> {
    let mut places = DIRECTORIES
        .iter()
        .map(|directory| Path::new(directory).join(program));
    places.find(|path| path.is_file()).ok_or_else(|| {
        let message = format!("the program is not installed in {}", DIRECTORIES.join(", "));
        Error::new(ErrorKind::CommandMissing, program, message)
    })
}

/// Standard input as a file in memory: whether the program reads it or not, nobody waits.
fn input_file(input: &[u8]) -> std::io::Result<Stdio> {
    if input.is_empty() {
        return Ok(Stdio::null());
    }
    let mut file = File::from(memfd_create("fleece-input", MemfdFlags::CLOEXEC)?);
    file.write_all(input)?;
    file.rewind()?;
    Ok(Stdio::from(file))
}

/// Drains both pipes until the program ends; `None` if the time is up first.
///
/// It ends when the process ends, not when the pipes close: a daemon that it leaves behind may
/// keep them open.
fn attend(child: &mut Child, timeout: Duration) -> std::io::Result<Option<Ended>> {
    let deadline = Instant::now().checked_add(timeout);
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut stdout = Pipe::new(child.stdout.take())?;
    let mut stderr = Pipe::new(child.stderr.take())?;
    loop {
        let ended = wait_for_any(&[Some(process.as_fd()), stdout.fd(), stderr.fd()], deadline)?;
        stdout.drain()?;
        stderr.drain()?;
        match ended {
            Ready::Process => {
                let status = child.wait()?;
                return Ok(Some(Ended {
                    status,
                    stdout: stdout.data,
                    stderr: stderr.data,
                }));
            }
            Ready::Output => {}
            Ready::Nothing => return Ok(None),
        }
    }
}

/// A program that has ended, and what it printed.
struct Ended {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

enum Ready {
    Process,
    Output,
    Nothing,
}

/// Waits for the first of the file descriptors, the process, or any other.
fn wait_for_any(
    fds: &[Option<BorrowedFd<'_>>],
    deadline: Option<Instant>,
) -> std::io::Result<Ready> {
    let now = Instant::now();
    let left = deadline.map_or(Duration::ZERO, |deadline| {
        deadline.saturating_duration_since(now)
    });
    if left.is_zero() {
        return Ok(Ready::Nothing);
    }
    let fds = fds.iter().flatten();
    let mut polled: Vec<_> = fds
        .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
        .collect();
    match poll(&mut polled, Timespec::try_from(left).ok().as_ref()) {
        Ok(0) => Ok(Ready::Nothing),
        Ok(_) if polled.first().is_some_and(|fd| !fd.revents().is_empty()) => Ok(Ready::Process),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(Ready::Output),
        Err(error) => Err(error.into()),
    }
}

fn kill(child: &mut Child) {
    // Nothing more can be done about a failure: a process that ignores this signal waits inside
    // the kernel, and is left behind.
    let pid = Pid::from_child(child);
    let _ = kill_process_group(pid, Signal::KILL);
    if let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) {
        let deadline = Instant::now().checked_add(LAST_WORDS);
        let _ = wait_for_any(&[Some(process.as_fd())], deadline);
    }
    let _ = child.try_wait();
}

/// One end of a pipe and what came out of it.
struct Pipe<R> {
    reader: Option<R>,
    data: Vec<u8>,
}

impl<R: Read + AsFd> Pipe<R> {
    fn new(reader: Option<R>) -> std::io::Result<Self> {
        if let Some(reader) = &reader {
            fcntl_setfl(reader, fcntl_getfl(reader)? | OFlags::NONBLOCK)?;
        }
        Ok(Self {
            reader,
            data: Vec::new(),
        })
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.reader.as_ref().map(AsFd::as_fd)
    }

    /// Takes what is there. What is beyond the limit is read and dropped.
    fn drain(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 16 << 10];
        while let Some(reader) = &mut self.reader {
            match reader.read(&mut buffer) {
                Ok(0) => self.reader = None,
                Ok(n) => {
                    let room = MAX_OUTPUT.saturating_sub(self.data.len());
                    self.data.extend(buffer.iter().take(n).take(room));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

pub(crate) fn failed(argv: &[&str], message: &str) -> Error {
    Error::new(ErrorKind::CommandFailed, command_line(argv), message)
}

fn too_late(argv: &[&str], timeout: Duration) -> Error {
    let message = format!("does not end within {} seconds", timeout.as_secs());
    Error::new(ErrorKind::Unreachable, command_line(argv), message)
}

fn command_line(argv: &[&str]) -> String {
    format!("'{}'", words(&argv.join(" ")))
}

/// The last lines of what a program complained about.
fn summary(stderr: &[u8]) -> String {
    /// More of it than is told, so that the end of it is, in bytes.
    const END: usize = 64 << 10;
    let start = stderr.len().saturating_sub(END);
    let text = String::from_utf8_lossy(stderr.get(start..).unwrap_or_default());
    let lines = text.lines().map(str::trim);
    let mut lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    // Where nothing else is said, that may be the reason.
    if lines.iter().any(|line| !is_noise(line)) {
        lines.retain(|line| !is_noise(line));
    }
    let last = lines
        .iter()
        .skip(lines.len().saturating_sub(4))
        .copied()
        .collect::<Vec<_>>();
    match last.is_empty() {
        true => "it says nothing about why".to_owned(),
        false => words(&last.join("; ")),
    }
}

/// What programs say beside the reason why they fail, and which is none: all that they call a warning; LVM of
/// descriptors that it inherits, of thin pools and of drives without a medium; Ceph of its own start, in lines like
/// `2026-01-01T00:00:00.000+0000 7f00 0 …`, of which those of level -1 are errors.
fn is_noise(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let is_dated = words
        .next()
        .is_some_and(|word| word.len() > 20 && word.contains("T") && word.contains(':'));
    let of_ceph = is_dated
        && words
            .nth(1)
            .is_some_and(|level| level.parse::<u8>().is_ok());
    let starts = [
        "warning:",
        "for thin pool auto extension activation/",
        "did not load config file, using default settings",
    ];
    let lower = line.to_ascii_lowercase();
    of_ceph
        || (line.starts_with("File descriptor ") && line.contains(" leaked on "))
        || line.ends_with("open failed: No medium found")
        || starts.iter().any(|start| lower.starts_with(start))
}

#[cfg(test)]
pub(crate) mod transcript;

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    /// A named pipe in a folder of its own.
    pub(super) fn fifo() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        (directory, path)
    }

    fn sh(script: &str, input: &[u8], timeout: Duration) -> Result<Vec<u8>, Error> {
        System.run_with(&["sh", "-c", script], input, timeout)
    }

    #[test]
    fn both_pipes_are_drained_however_much_comes() {
        let script = "head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero";
        assert_eq!(sh(script, b"", MINUTE).unwrap().len(), 3_000_000);
        let error = sh("head -c 20000000 /dev/zero", b"", MINUTE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CommandFailed);
    }

    #[test]
    fn complaints_are_words_and_not_many() {
        let script = "head -c 3000000 /dev/zero >&2; echo >&2; for n in 1 2 3; do echo a >&2; done; printf '\\n\\033[2Jno\\r\\nERROR: all lost' >&2; exit 1";
        let error = sh(script, b"", MINUTE).unwrap_err().to_string();
        assert!(
            error.contains("?[2Jno; ERROR: all lost") || error.contains("???"),
            "{error}"
        );
        assert!(
            error.len() < 2000 && !error.contains(char::is_control),
            "{error}"
        );
    }

    #[test]
    fn noise_hides_no_cause() {
        let noise = [
            "WARNING: PV /dev/sdb in VG fast is using an old PV header, modify the VG to update.",
            "/dev/sr0: open failed: No medium found",
            "File descriptor 9 (pipe:[1]) leaked on lvcreate invocation. Parent PID 7: fleece",
            "WARNING: You have not turned on protection against thin pools running out of space.",
            "2026-01-01T00:00:00.000+0000 7f00dead 1 librados: starting",
        ];
        let causes = [
            "Volume group \"fast\" has insufficient free space (1 extents): 2 required.",
            "2026-01-01T00:00:00.000+0000 7f00dead -1 auth: unable to find a keyring",
            "cannot create 'tank/x': out of space",
        ];
        for cause in causes {
            // Far more of it than is told, before and behind.
            let noise = format!("{}\n", noise.join("\n")).repeat(3);
            let said = format!("{noise}\n{cause}\n{noise}\n");
            let told = summary(said.as_bytes());
            assert!(told.contains(cause) && !told.contains("leaked"), "{told}");
        }
        assert!(summary(noise.join("\n").as_bytes()).contains("leaked"));
        let environment = sh("echo $LVM_SUPPRESS_FD_WARNINGS", b"", MINUTE);
        assert_eq!(environment.unwrap(), b"1\n");
    }

    #[test]
    fn input_arrives_whole_and_may_be_ignored() {
        let input = vec![b'x'; 300_000];
        assert_eq!(sh("cat", &input, MINUTE).unwrap(), input);
        assert_eq!(sh("echo done", &input, MINUTE).unwrap(), b"done\n");
        assert_eq!(sh("cat", b"", MINUTE).unwrap(), b"");
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let (_directory, fifo) = fifo();
        // Reading the FIFO ends when the last process that holds it open has died.
        let script = format!("exec 3<>{0}; (sleep 600 >{0}) & wait", fifo.display());
        let started = Instant::now();
        let reader = std::thread::spawn(move || std::fs::read(fifo));
        let error = sh(&script, b"", SECOND).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(reader.join().unwrap().unwrap().is_empty());
        assert!(started.elapsed() < MINUTE);
    }

    #[test]
    fn a_daemon_left_behind_is_not_waited_for() {
        let (_directory, fifo) = fifo();
        // The daemon holds the pipes open until it is told to end, which is after the answer.
        let script = format!("cat {} & echo done", fifo.display());
        assert_eq!(sh(&script, b"", MINUTE).unwrap(), b"done\n");
        std::fs::write(&fifo, "").unwrap();
    }

    #[test]
    fn a_failure_tells_the_command_and_its_last_words() {
        let error = sh("echo one >&2; echo two >&2; exit 5", b"", MINUTE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CommandFailed);
        let text = error.to_string();
        assert!(
            text.contains("exit status: 5") && text.ends_with("one; two"),
            "{text}"
        );
    }

    #[test]
    fn a_program_that_is_not_installed_is_told_apart() {
        let error = System.run(&["no-such-program"], SECOND).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CommandMissing);
    }

    #[test]
    fn the_environment_is_clean_and_the_language_is_c() {
        let environment = System.run(&["env"], MINUTE).unwrap();
        let mut lines: Vec<_> = environment.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "LC_ALL=C",
                "LVM_SUPPRESS_FD_WARNINGS=1",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
            ]
        );
    }
}
