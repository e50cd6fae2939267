//! The monitor of a domain's QEMU, through libvirt (`virsh qemu-monitor-command`).
//!
//! libvirt owns that monitor and passes commands on, one at a time, each under its lock on the domain; it calls
//! what we do there unsupported, and marks the domain as tainted (`custom-monitor`). What Fleece changes in the
//! block graph is there between libvirt's own operations only, and taken back. The guest is stopped and continued by
//! libvirt's own commands.

use std::os::fd::BorrowedFd;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use fleece_qmp_client::commands::QueryVersion;
use fleece_qmp_client::{
    Client, Command as _, Error as QmpError, ErrorKind as QmpErrorKind, Greeting, Interrupt,
    Monitor, Options, RawCommand, Subscription, Version, parse_reply,
};
use serde_json::value::{RawValue, to_raw_value};

use crate::address::DomainAddress;
use crate::command::{monitor_command, own_command};
use crate::error::{Error, ErrorKind};
use crate::events::Listener;
use crate::process;
use crate::replies;
use crate::shell::{MAX_LINE, Shell};
use crate::virsh::Virsh;

/// Connects to the monitor of a domain that runs.
///
/// # Errors
/// [`QmpErrorKind::NotRunning`] if libvirt says that there is no such domain, or that it is off;
/// [`QmpErrorKind::Connect`] if libvirt does not answer, and `Permission`, `Deadline` or `Interrupted`.
pub fn connect(domain: &DomainAddress, options: &Options) -> Result<Client, QmpError> {
    let peer = domain.to_string();
    let mut monitor = DomainMonitor {
        virsh: Virsh::at(domain.uri(), &options.interrupt),
        domain: domain.clone(),
        greeting: None,
        shell: Mutex::new(None),
        slowest: Mutex::new(Duration::ZERO),
        listener: OnceLock::new(),
        peer,
    };
    let version = monitor.call(QueryVersion::NAME, None, None, options.deadline)?;
    let version: Version = serde_json::from_str(version.get()).map_err(|error| {
        let error = QmpError::new(QmpErrorKind::UnexpectedReply).with_source(error);
        error.at(&monitor.peer).during(QueryVersion::NAME)
    })?;
    monitor.greeting = Some(Greeting::new(version));
    Ok(Client::over(monitor))
}

/// A domain's monitor.
#[derive(Debug)]
struct DomainMonitor {
    virsh: Virsh,
    domain: DomainAddress,
    /// `None` until QEMU has told its version.
    greeting: Option<Greeting>,
    shell: Mutex<Option<Shell>>,
    /// The longest that one of the last queries took.
    slowest: Mutex<Duration>,
    listener: OnceLock<Listener>,
    peer: String,
}

/// How long a libvirt that is being started is waited for.
const RESTART: Duration = Duration::from_secs(10);

impl DomainMonitor {
    /// Runs one command in the `virsh` that stays.
    fn ask(
        &self,
        line: &str,
        is_query: bool,
        deadline: Duration,
    ) -> Result<Box<RawValue>, QmpError> {
        let start = Instant::now();
        let timeout = deadline.min(RESTART);
        loop {
            let left = deadline.saturating_sub(start.elapsed());
            let error = match self.ask_once(line, left) {
                Ok(reply) => {
                    if is_query {
                        self.note(start.elapsed());
                    }
                    return reply;
                }
                Err(error) => error,
            };
            // A libvirt that has just been started, or has lost its own, may not know that a domain runs.
            let error = match error.kind() {
                ErrorKind::NotRunning | ErrorKind::NoDomain
                    if process::of(&self.domain).is_some() =>
                {
                    let message = "libvirt says that the domain does not run, but its QEMU does";
                    Error::new(ErrorKind::Unreachable, message)
                }
                _ => error,
            };
            // What never reached libvirt, or only asks something, can be said again.
            let again = match error.kind() {
                ErrorKind::Unreachable => true,
                ErrorKind::Lost => is_query,
                _ => false,
            };
            if !again || start.elapsed() >= timeout || self.virsh.interrupt.wait().is_interrupted()
            {
                return Err(error.into_qmp());
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn ask_once(
        &self,
        line: &str,
        deadline: Duration,
    ) -> Result<Result<Box<RawValue>, QmpError>, Error> {
        let start = Instant::now();
        let mut shell = self.shell(deadline)?;
        let running = match shell.as_mut() {
            Some(running) => running,
            None => shell.insert(Shell::start(&self.virsh)?),
        };
        let left = deadline.saturating_sub(start.elapsed());
        let answer = running.run(line, left, &self.virsh).inspect_err(|_| {
            *shell = None;
        })?;
        let error = match replies::line(&answer) {
            Some(reply) => return Ok(parse_reply(reply.as_bytes())),
            None if is_monitor_command(line) => replies::error(&answer),
            None => match replies::own(&answer) {
                Ok(reply) => return Ok(Ok(reply)),
                Err(error) => error,
            },
        };
        if matches!(error.kind(), ErrorKind::Lost | ErrorKind::Unreachable) {
            *shell = None;
        }
        Err(error)
    }

    /// The `virsh` that stays, once nobody else uses it.
    fn shell(&self, deadline: Duration) -> Result<MutexGuard<'_, Option<Shell>>, Error> {
        let start = Instant::now();
        loop {
            match self.shell.try_lock() {
                Ok(shell) => return Ok(shell),
                Err(TryLockError::Poisoned(shell)) => return Ok(shell.into_inner()),
                Err(TryLockError::WouldBlock) if start.elapsed() >= deadline => {
                    let message = "another command has not been answered";
                    return Err(Error::new(ErrorKind::Deadline, message));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// A new query weighs as much as all before it, so that one slow one is forgotten again.
    fn note(&self, took: Duration) {
        let mut slowest = self.slowest.lock().unwrap_or_else(PoisonError::into_inner);
        *slowest = took.max(slowest.saturating_add(took).div_f64(2.0));
    }

    /// Runs commands in a `virsh` of their own, which goes on if we are killed.
    fn run(
        &self,
        commands: &[String],
        fd: Option<BorrowedFd<'_>>,
        deadline: Duration,
        sent: &mut dyn FnMut(),
    ) -> Result<(String, String), Error> {
        let mut command = self.virsh.command();
        if let Some(fd) = fd {
            let fd = fd.try_clone_to_owned();
            let fd = fd.map_err(|error| {
                Error::new(ErrorKind::Refused, "cannot pass a descriptor").with_source(error)
            })?;
            command.stdin(Stdio::from(fd));
        }
        command.arg(replies::script(commands));
        let running = self.virsh.begin(command)?;
        sent();
        let (output, _, said) = running.hear(deadline)?;
        Ok((output, said))
    }

    fn fail(&self, error: QmpError, command: &str) -> QmpError {
        error.at(&self.peer).during(command)
    }
}

fn is_monitor_command(line: &str) -> bool {
    line.starts_with("qemu-monitor-command")
}

/// Whether a command changes nothing.
fn is_query(name: &str) -> bool {
    name.starts_with("query-") || matches!(name, "qom-get" | "qom-list")
}

impl Monitor for DomainMonitor {
    fn peer(&self) -> &str {
        &self.peer
    }

    fn greeting(&self) -> &Greeting {
        static UNKNOWN: OnceLock<Greeting> = OnceLock::new();
        let unknown = || Greeting::new(Version::default());
        let greeting = self.greeting.as_ref();
        greeting.unwrap_or_else(|| UNKNOWN.get_or_init(unknown))
    }

    fn interrupt(&self) -> &Interrupt {
        &self.virsh.interrupt
    }

    fn peer_process(&self) -> Option<u32> {
        process::of(&self.domain)
    }

    fn passes_descriptors(&self) -> bool {
        self.domain.is_local()
    }

    fn round_trip(&self) -> Option<Duration> {
        Some(*self.slowest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn call(
        &self,
        name: &str,
        arguments: Option<&RawValue>,
        fd: Option<BorrowedFd<'_>>,
        deadline: Duration,
    ) -> Result<Box<RawValue>, QmpError> {
        let uuid = self.domain.uuid();
        let line = own_command(uuid, name)
            .unwrap_or_else(|| monitor_command(uuid, name, arguments, fd.is_some()));
        let reply = match fd {
            None if line.len() <= MAX_LINE => self.ask(&line, is_query(name), deadline),
            fd => self
                .run(std::slice::from_ref(&line), fd, deadline, &mut || {})
                .map_err(Error::into_qmp)
                .and_then(|(output, said)| {
                    let mut replies = replies::of(&output, &[line], &said);
                    replies
                        .pop()
                        .unwrap_or_else(|| Err(Error::said(&said).into_qmp()))
                }),
        };
        reply.map_err(|error| self.fail(error, name))
    }

    fn call_all(
        &self,
        commands: &[RawCommand],
        _to_the_end: bool,
        sent: &mut dyn FnMut(),
    ) -> Vec<Result<Box<RawValue>, QmpError>> {
        let deadline = commands
            .iter()
            .fold(Duration::ZERO, |sum, c| sum.saturating_add(c.deadline));
        let lines = commands.iter().map(|command| {
            if let Some(own) = own_command(self.domain.uuid(), &command.name) {
                return Ok(own);
            }
            let arguments = command.arguments.as_ref().map(to_raw_value).transpose();
            let arguments = arguments
                .map_err(|error| QmpError::new(QmpErrorKind::InvalidCommand).with_source(error))?;
            Ok(monitor_command(
                self.domain.uuid(),
                &command.name,
                arguments.as_deref(),
                false,
            ))
        });
        let lines: Result<Vec<String>, QmpError> = lines.collect();
        let results = lines.and_then(|lines| {
            let run = self.run(&lines, None, deadline, sent);
            let (output, said) = run.map_err(Error::into_qmp)?;
            Ok(replies::of(&output, &lines, &said))
        });
        let results = results.unwrap_or_else(|error| vec![Err(error); commands.len()]);
        let named = results.into_iter().zip(commands);
        named
            .map(|(result, command)| result.map_err(|error| self.fail(error, &command.name)))
            .collect()
    }

    fn subscribe(&self) -> Subscription {
        let listener = || Listener::start(&self.virsh, self.domain.uuid());
        self.listener.get_or_init(listener).subscribe()
    }

    /// There is no connection that could end, since each command finds its own; but there may be no QEMU any more.
    fn closed(&self) -> Option<QmpError> {
        const TIMEOUT: Duration = Duration::from_secs(5);
        let status = self.call("query-status", None, None, TIMEOUT);
        status.err().filter(QmpError::is_gone)
    }
}
