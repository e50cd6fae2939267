//! The QEMU of a drill.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use fleece_plain_text::message;
use fleece_qmp_client::commands::{Quit, SystemPowerdown};
use fleece_qmp_client::{Address, Agent, Client, Options, Subscription};
use serde_json::json;

use super::Drill;
use super::marker::{Console, Marker};
use super::place::Place;
use crate::job::cancel::CancelToken;
use crate::report::error::{Error, ErrorKind};
use crate::restore::folder::{Isolation, SERIAL_LOG};
use crate::restore::start::{self, MONITOR};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long an agent and a service may take to answer, and how often they are asked.
const ANSWER: Duration = Duration::from_secs(2);

/// How long it is waited for a service that speaks first, as SSH does.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// How long a guest may take to power down before its file systems are checked, and a QEMU to end.
const POWER_DOWN: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(10);

/// Ends a program with the process that has started it, in whatever way that ends.
const SETPRIV: [&str; 3] = ["setpriv", "--pdeathsig", "KILL"];

/// Events after which no guest boots any more.
const FATAL: [&str; 3] = ["GUEST_PANICKED", "SHUTDOWN", "BLOCK_IO_ERROR"];

/// What was seen.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) boots: bool,
    pub(super) why: String,
}

/// A QEMU that is ended with the value.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    client: Client,
    events: Subscription,
}

impl Running {
    pub(super) fn start(job: &Drill, place: &Place) -> Result<Self, Error> {
        let guest = place.guest();
        let [program, arguments @ ..] = SETPRIV;
        let mut command = Command::new(program);
        command.args(arguments).arg(start::script_of(&guest));
        // The guest is told to start when its events are listened to.
        command.args(["-S", "-display", "none", "-no-reboot"]);
        if let Some(accelerator) = &job.accelerator {
            command.args(["-machine", &format!("accel={accelerator}")]);
        }
        if let Some(memory) = job.memory {
            command.args(["-m", &format!("{memory}M")]);
        }
        let mut child = start::spawn(&guest, command, "the guest does not start")?;
        let connected = Client::connect(&Address::Unix(place.socket(MONITOR)), &Options::default());
        let connected = connected.and_then(|client| {
            let events = client.subscribe();
            client.execute(&fleece_qmp_client::commands::Cont {})?;
            Ok((client, events))
        });
        match connected {
            Ok((client, events)) => Ok(Self {
                child,
                client,
                events,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(Error::caused(
                    ErrorKind::Guest,
                    "QEMU's monitor cannot be used",
                    error,
                ))
            }
        }
    }

    /// Waits for all markers, or for one of the default ones.
    pub(super) fn wait(
        &mut self,
        job: &Drill,
        place: &Place,
        isolation: &Isolation,
        cancel: &CancelToken,
    ) -> Result<Shown, Error> {
        let default = [Marker::Serial("login:".to_owned()), Marker::Agent];
        let (markers, one_will_do) = match job.markers.as_slice() {
            [] => (&default[..], true),
            markers => (markers, false),
        };
        let mut watch = Watch::new(markers, place, isolation);
        let end = Instant::now().checked_add(job.timeout);
        loop {
            if let Some(reason) = cancel.reason() {
                return Err(Error::cancelled(reason));
            }
            let ended = self.child.try_wait().ok().flatten();
            let fatal = watch.take_events(&self.events);
            watch.look();
            let (seen, missing) = watch.parted();
            if missing.is_empty() || (one_will_do && !seen.is_empty()) {
                let words: Vec<String> = seen.iter().map(|marker| marker.words()).collect();
                let why = words.join(", ");
                return Ok(Shown { boots: true, why });
            }
            let words: Vec<String> = missing.iter().map(|marker| marker.words()).collect();
            let words = words.join(if one_will_do { " or " } else { ", " });
            let no = |why: String| Ok(Shown { boots: false, why });
            if let Some(status) = ended {
                return no(format!("QEMU has ended ({status}) without {words}"));
            }
            if let Some(event) = fatal {
                return no(format!("the guest has ended ({event}) without {words}"));
            }
            if end.is_none_or(|end| Instant::now() > end) {
                return no(format!("the time is over without {words}"));
            }
            let _ = cancel.fired().recv_timeout(LOOK);
        }
    }

    /// Keeps the screen in a file.
    pub(super) fn screenshot(&self, path: &Path) -> Result<PathBuf, String> {
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        let is_png = path.extension().is_some_and(|ending| ending == "png");
        let mut arguments = json!({ "filename": path });
        if is_png && let Some(object) = arguments.as_object_mut() {
            // Since QEMU 7.1.
            object.insert("format".to_owned(), "png".into());
        }
        self.client
            .execute_raw("screendump", Some(arguments))
            .map_err(|error| message(&error.to_string()).into_owned())?;
        Ok(path)
    }

    /// Ends it; with `in_order`, the guest may power down before.
    pub(super) fn end(mut self, in_order: bool) {
        if in_order && self.client.execute(&SystemPowerdown {}).is_ok() {
            self.await_end(POWER_DOWN);
        }
        let _ = self.client.execute(&Quit {});
        self.await_end(END);
    }

    fn await_end(&mut self, time: Duration) {
        let end = Instant::now().checked_add(time);
        while end.is_some_and(|end| Instant::now() < end)
            && matches!(self.child.try_wait(), Ok(None))
        {
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Which markers were seen so far.
struct Watch<'a> {
    markers: &'a [Marker],
    place: &'a Place,
    isolation: &'a Isolation,
    seen: Vec<bool>,
    console: Console,
    log: Option<File>,
    events: Vec<String>,
    asked: Option<Instant>,
}

impl<'a> Watch<'a> {
    fn new(markers: &'a [Marker], place: &'a Place, isolation: &'a Isolation) -> Self {
        Self {
            markers,
            place,
            isolation,
            seen: vec![false; markers.len()],
            console: Console::default(),
            log: None,
            events: Vec::new(),
            asked: None,
        }
    }

    /// Notes what QEMU reports; returns what ends a guest.
    fn take_events(&mut self, events: &Subscription) -> Option<String> {
        let mut fatal = None;
        while let Ok(Some(event)) = events.next(Duration::ZERO) {
            if FATAL.contains(&event.name.as_str()) {
                fatal = Some(event.name.clone());
            }
            let is_wanted = |marker: &Marker| *marker == Marker::Event(event.name.clone());
            if self.markers.iter().any(is_wanted) {
                self.events.push(event.name);
            }
        }
        fatal
    }

    fn look(&mut self) {
        let console = self.read_console().unwrap_or_default();
        let is_due = self.asked.is_none_or(|asked| asked.elapsed() > ANSWER);
        if is_due {
            self.asked = Some(Instant::now());
        }
        for (marker, seen) in self.markers.iter().zip(&mut self.seen) {
            *seen = *seen
                || match marker {
                    Marker::Serial(text) => console.contains(text),
                    Marker::Event(name) => self.events.contains(name),
                    Marker::Agent => is_due && answers_as_agent(self.place),
                    Marker::Port(port) => {
                        is_due && self.isolation.host_port(*port).is_some_and(answers_at)
                    }
                };
        }
    }

    /// Reads what is new on the console; returns the texts that were waited for and are there.
    fn read_console(&mut self) -> io::Result<Vec<String>> {
        let log = match &mut self.log {
            Some(log) => log,
            None => self
                .log
                .insert(File::open(self.place.guest().join(SERIAL_LOG))?),
        };
        let texts = self.markers.iter().filter_map(|marker| match marker {
            Marker::Serial(text) => Some((text.clone(), false)),
            _ => None,
        });
        let mut patterns: Vec<(String, bool)> = texts.collect();
        let mut new = vec![0; 64 << 10];
        loop {
            let length = log.read(&mut new)?;
            let Some(new) = new.get(..length).filter(|new| !new.is_empty()) else {
                break;
            };
            self.console.take(new, &mut patterns);
        }
        let seen = patterns.into_iter().filter(|(_, seen)| *seen);
        Ok(seen.map(|(text, _)| text).collect())
    }

    fn parted(&self) -> (Vec<&Marker>, Vec<&Marker>) {
        let all = self.markers.iter().zip(&self.seen);
        let (seen, missing): (Vec<_>, Vec<_>) = all.partition(|(_, seen)| **seen);
        let only =
            |of: Vec<(&'a Marker, &bool)>| of.into_iter().map(|(marker, _)| marker).collect();
        (only(seen), only(missing))
    }
}

fn answers_as_agent(place: &Place) -> bool {
    let mut options = Options::default();
    options.deadline = ANSWER;
    let agent = Agent::connect(&Address::Unix(place.socket("agent.sock")), &options);
    agent.is_ok_and(|mut agent| agent.ping(ANSWER).is_ok())
}

/// Whether a service of the guest says something: QEMU itself takes the connection, whether there is a service or not.
fn answers_at(port: u16) -> bool {
    let ask = || -> io::Result<bool> {
        let address = (std::net::Ipv4Addr::LOCALHOST, port).into();
        let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
        stream.set_read_timeout(Some(FIRST_WORD))?;
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(length) => Ok(length > 0),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                stream.write_all(b"\r\n\r\n")?;
                Ok(stream.read(&mut byte)? > 0)
            }
            Err(error) => Err(error),
        }
    };
    ask().unwrap_or(false)
}
