//! Events of a domain's QEMU, as `virsh qemu-monitor-event` prints them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fleece_qmp_client::{Event, Feed, MAX_EVENT, Subscription, Timestamp};
use serde_json::Map;

use crate::virsh::Virsh;

/// A `virsh` that listens ends after this many seconds, and the next begins: when we are killed, none is left for
/// longer.
const LISTENS: &str = "60";

/// How long a `virsh` that failed is not tried again: libvirt may be about to be restarted.
const PAUSE: Duration = Duration::from_millis(500);

/// What listens for a domain's events, from the first subscription on.
#[derive(Debug)]
pub(crate) struct Listener {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    feeds: Mutex<Vec<Feed>>,
    child: Mutex<Option<Child>>,
    ends: AtomicBool,
}

impl Listener {
    pub(crate) fn start(virsh: &Virsh, uuid: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let (theirs, virsh, uuid) = (Arc::clone(&shared), virsh.clone(), uuid.to_owned());
        let name = "libvirt events".to_owned();
        let thread = thread::Builder::new().name(name);
        let thread = thread.spawn(move || theirs.listen(&virsh, &uuid));
        if let Err(error) = &thread {
            tracing::warn!(%error, "no events of the guest");
        }
        Self {
            shared,
            thread: thread.ok(),
        }
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        let (feed, subscription) = Subscription::fed();
        lock(&self.shared.feeds).push(feed);
        subscription
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        if let Some(child) = lock(&self.shared.child).as_mut() {
            let _ = child.kill();
        }
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn listen(&self, virsh: &Virsh, uuid: &str) {
        while !self.ends.load(Ordering::SeqCst) {
            if !self.listen_once(virsh, uuid) && !self.ends.load(Ordering::SeqCst) {
                thread::park_timeout(PAUSE);
            }
        }
    }

    /// Listens until `virsh` ends; whether it did so by itself.
    fn listen_once(&self, virsh: &Virsh, uuid: &str) -> bool {
        let mut command = virsh.command();
        command
            .args(["qemu-monitor-event", "--loop", "--timeout", LISTENS])
            .args(["--domain", uuid])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let output = {
            let mut running = lock(&self.child);
            if self.ends.load(Ordering::SeqCst) {
                return true;
            }
            let Ok(mut child) = command.spawn() else {
                return false;
            };
            let output = child.stdout.take();
            *running = Some(child);
            output
        };
        for line in lines(output) {
            if let Some(event) = parse(&line) {
                lock(&self.feeds).retain(|feed| feed.push(event.clone(), line.len()));
            }
        }
        let child = lock(&self.child).take();
        child.is_some_and(|mut child| child.wait().is_ok_and(|status| status.success()))
    }
}

/// Lines of bounded length.
fn lines(output: Option<std::process::ChildStdout>) -> impl Iterator<Item = String> {
    let mut output = output.map(BufReader::new);
    std::iter::from_fn(move || {
        let output = output.as_mut()?;
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_EVENT).unwrap_or(u64::MAX);
        let read = output.take(limit).read_until(b'\n', &mut line).ok()?;
        (read > 0).then(|| String::from_utf8_lossy(&line).into_owned())
    })
}

/// `event NAME at SECONDS.MICROSECONDS for domain 'NAME': DATA`, where the data is an object or `<null>`.
fn parse(line: &str) -> Option<Event> {
    let rest = line.trim_end().strip_prefix("event ")?;
    let (name, rest) = rest.split_once(" at ")?;
    let (time, rest) = rest.split_once(" for domain ")?;
    let (seconds, micros) = time.split_once('.')?;
    // A domain's name may contain anything; data begins with a brace.
    let data = match rest.ends_with(": <null>") {
        true => Map::new(),
        false => serde_json::from_str(rest.get(rest.find("': {")?.checked_add(3)?..)?).ok()?,
    };
    let timestamp = Timestamp::new(seconds.parse().ok()?, micros.parse().ok()?);
    Some(Event::new(name, data, timestamp))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_with_its_time_and_data() {
        let stop = parse("event STOP at 1795966008.739351 for domain 'web': <null>\n").unwrap();
        let resume = parse("event RESUME at 1795966008.741272 for domain 'web': <null>").unwrap();
        assert_eq!(stop.name, "STOP");
        let paused = resume.timestamp.since(stop.timestamp);
        assert_eq!(paused, Some(Duration::from_micros(1921)));
        let line = "event BLOCK_IO_ERROR at 1.000002 for domain 'a b': {\"device\":\"\",\"operation\":\"write\",\
                    \"action\":\"stop\",\"nospace\":true,\"reason\":\"No space\"}";
        assert!(parse(line).unwrap().known().is_some());
    }

    #[test]
    fn what_is_no_event_is_passed_over() {
        for line in [
            "",
            "event",
            "event loop timed out",
            "events received: 3",
            "event X at 1.0",
        ] {
            assert!(parse(line).is_none(), "{line}");
        }
    }
}
