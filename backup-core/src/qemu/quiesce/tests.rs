//! Agents that answer late, differently, or never; and signals meanwhile.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use fleece_fleecing::Place;
use fleece_qmp_client::Address;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::job::cancel::CancelReason;
use crate::report::advice::Advice;
use crate::report::error::ErrorKind;

/// What a guest's agent is like, and what it was asked.
#[derive(Debug, Default)]
struct Guest {
    frozen: bool,
    asked: Vec<String>,
    /// Commands that it does not answer; the first ones take effect all the same.
    mute: Vec<&'static str>,
    /// Commands that it does not know.
    unknown: Vec<&'static str>,
    /// What it says how much it has frozen.
    count: u64,
}

impl Guest {
    fn answer(&mut self, command: &Value) -> Option<Value> {
        let name = command["execute"].as_str().unwrap();
        if name == "guest-sync-delimited" {
            let deaf = self.mute.contains(&"everything");
            return (!deaf).then(|| json!({"return": command["arguments"]["id"]}));
        }
        self.asked.push(name.to_owned());
        if self.unknown.contains(&name) {
            return Some(json!({"error": {"class": "CommandNotFound", "desc": "disabled"}}));
        }
        let is_mute = self.mute.contains(&name);
        let result = match name {
            "guest-fsfreeze-status" => match self.frozen {
                true => json!("frozen"),
                false => json!("thawed"),
            },
            "guest-fsfreeze-freeze" => {
                self.frozen = true;
                json!(self.count)
            }
            "guest-fsfreeze-thaw" if is_mute => return None,
            "guest-fsfreeze-thaw" => {
                let thawed = if self.frozen { self.count } else { 0 };
                self.frozen = false;
                json!(thawed)
            }
            "guest-get-fsinfo" => json!([
                {"name": "vda1", "type": "ext4", "mountpoint": "/", "disk": []},
                {"name": "vda1", "type": "ext4", "mountpoint": "/srv", "disk": []},
                {"name": "vda2", "type": "vfat", "mountpoint": "/boot/efi", "disk": []},
                {"name": "vdb", "type": "xfs", "mountpoint": "/var", "disk": []},
            ]),
            _ => json!({}),
        };
        (!is_mute).then(|| json!({"return": result}))
    }
}

struct Bench {
    dir: TempDir,
    guest: Arc<Mutex<Guest>>,
    record: Record,
    told: Told,
    cancel: CancelToken,
}

#[derive(Default)]
struct Told(RefCell<Vec<String>>);

impl Reporter for Told {
    fn report(&self, event: &Event) {
        self.0.borrow_mut().push(match event {
            Event::Warning(warning) => format!("WARN {}", warning.message),
            Event::Info(message) => message.clone(),
            Event::Progress(_) => return,
        });
    }
}

impl Bench {
    fn with(guest: Guest) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path().join("state"), "7".parse().unwrap(), None);
        let bench = Self {
            record: Record::open(&place).unwrap(),
            guest: Arc::new(Mutex::new(guest)),
            told: Told::default(),
            cancel: CancelToken::new(),
            dir,
        };
        let listener = UnixListener::bind(bench.socket()).unwrap();
        let guest = Arc::clone(&bench.guest);
        // It goes with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                serve(client.unwrap(), &guest);
            }
        });
        bench
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("qga")
    }

    fn quiesce<T>(&self, work: impl FnOnce(Quiesce<'_>) -> T) -> T {
        let agent = Address::unix(self.socket()).into();
        work(Quiesce {
            agent: &agent,
            record: &self.record,
            reporter: &self.told,
            cancel: &self.cancel,
            is_alive: &|| true,
            timeouts: Timeouts {
                answer: Duration::from_secs(2),
                freeze: Duration::from_millis(300),
                thaw: Duration::from_millis(600),
            },
        })
    }

    fn frozen(&self) -> bool {
        self.guest.lock().unwrap().frozen
    }

    fn mute(&self, commands: &[&'static str]) {
        self.guest.lock().unwrap().mute = commands.to_vec();
    }

    fn on_record(&self) -> bool {
        self.record.contents().unwrap().frozen.is_some()
    }

    fn told(&self) -> String {
        self.told.0.borrow().join("\n")
    }
}

fn serve(client: UnixStream, guest: &Mutex<Guest>) {
    let mut lines = BufReader::new(client.try_clone().unwrap());
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .is_ok_and(|length| length > 0)
    {
        line.retain(|byte| *byte != 0xff);
        if let Ok(command) = serde_json::from_slice(&line) {
            let answer = guest.lock().unwrap().answer(&command);
            let text = answer.map(|answer| format!("\u{0}{answer}\n").into_bytes());
            if let Some(mut text) = text {
                text[0] = 0xff;
                // The sentinel stands before a synchronisation only.
                let from = usize::from(command["execute"] != "guest-sync-delimited");
                let _ = (&client).write_all(&text[from..]);
            }
        }
        line.clear();
    }
}

fn guest() -> Guest {
    Guest {
        count: 2,
        ..Guest::default()
    }
}

#[test]
fn a_guest_is_frozen_and_thawed_and_that_is_told() {
    let bench = Bench::with(guest());
    bench.quiesce(|quiesce| {
        let frozen = quiesce.freeze().unwrap().unwrap();
        assert!(bench.frozen() && bench.on_record());
        frozen.thaw().unwrap().unwrap();
    });
    assert!(!bench.frozen() && !bench.on_record());
    let told = bench.told();
    assert!(
        told.contains("were frozen for") && !told.contains("WARN"),
        "{told}"
    );
}

#[test]
fn less_than_was_asked_for_is_a_warning() {
    let bench = Bench::with(Guest {
        count: 1,
        ..guest()
    });
    bench.quiesce(|quiesce| quiesce.freeze().unwrap().unwrap().thaw().unwrap().unwrap());
    assert!(
        bench
            .told()
            .contains("WARN the guest's agent has frozen 1 of 2"),
        "{}",
        bench.told()
    );

    let bench = Bench::with(Guest {
        count: 0,
        ..guest()
    });
    let frozen = bench.quiesce(|quiesce| quiesce.freeze().unwrap().unwrap().thaw().unwrap());
    assert_eq!(frozen, None);
    assert!(
        bench
            .told()
            .contains("WARN the guest's agent has frozen 0 of"),
        "{}",
        bench.told()
    );

    let bench = Bench::with(guest());
    bench.quiesce(|quiesce| {
        let frozen = quiesce.freeze().unwrap().unwrap();
        bench.guest.lock().unwrap().frozen = false;
        assert_eq!(frozen.thaw().unwrap(), None);
    });
    assert!(
        bench.told().contains("WARN somebody else has thawed"),
        "{}",
        bench.told()
    );

    let bench = Bench::with(Guest {
        unknown: vec!["guest-fsfreeze-freeze"],
        ..guest()
    });
    assert!(bench.quiesce(|quiesce| quiesce.freeze().unwrap().is_none()));
    let told = bench.told();
    assert!(
        told.contains("WARN skipping guest filesystem freeze - freeze failed"),
        "{told}"
    );
    assert!(
        !told.contains("were frozen for") && !bench.on_record(),
        "{told}"
    );
}

#[test]
fn a_freeze_that_comes_too_late_is_lifted_all_the_same() {
    let bench = Bench::with(Guest {
        mute: vec!["guest-fsfreeze-freeze"],
        ..guest()
    });
    assert!(bench.quiesce(|quiesce| quiesce.freeze().unwrap().is_none()));
    assert!(!bench.frozen() && !bench.on_record());
    let told = bench.told();
    assert!(
        told.contains("WARN skipping guest filesystem freeze"),
        "{told}"
    );
    assert!(!told.contains("were frozen for"), "{told}");
}

#[test]
fn a_guest_that_does_not_thaw_is_an_error_with_the_way_out_and_stays_on_record() {
    let bench = Bench::with(guest());
    let error = bench.quiesce(|quiesce| {
        let frozen = quiesce.freeze().unwrap().unwrap();
        bench.mute(&["guest-fsfreeze-thaw"]);
        frozen.thaw().unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Guest);
    let Some(Advice::Fleecing(fleece_fleecing::Advice::Thaw(clean_up))) = error.advice() else {
        panic!("{:?}", error.advice());
    };
    assert_eq!(clean_up.guest, Some("7".parse().unwrap()));
    assert!(clean_up.state_directory.as_ref().unwrap().is_absolute());
    assert!(bench.on_record() && !bench.told().contains("were frozen for"));

    // When it answers again, what is on record is thawed.
    bench.mute(&[]);
    bench.quiesce(|quiesce| quiesce.lift(None).unwrap());
    assert!(!bench.frozen() && !bench.on_record());
}

#[test]
fn a_thaw_that_is_not_confirmed_is_none() {
    for mute in ["guest-fsfreeze-status", "everything"] {
        let bench = Bench::with(guest());
        bench.quiesce(|quiesce| {
            let frozen = quiesce.freeze().unwrap().unwrap();
            bench.mute(&[mute]);
            frozen.thaw().unwrap_err();
        });
        assert!(bench.on_record(), "{mute}");
    }
    // An agent that does not know the command has frozen nothing.
    let bench = Bench::with(guest());
    bench
        .record
        .note_frozen(Some(&Address::unix(bench.socket()).into()))
        .unwrap();
    bench.guest.lock().unwrap().unknown = vec!["guest-fsfreeze-thaw", "guest-fsfreeze-status"];
    bench.quiesce(|quiesce| quiesce.lift(None).unwrap());
    assert!(!bench.on_record());
}

#[test]
fn where_nobody_listens_the_guest_is_thawed_only_if_its_qemu_is_gone() {
    let bench = Bench::with(guest());
    bench
        .record
        .note_frozen(Some(&Address::unix(bench.socket()).into()))
        .unwrap();
    std::fs::remove_file(bench.socket()).unwrap();
    bench.quiesce(|quiesce| quiesce.lift(None).unwrap_err());
    assert!(bench.on_record());
    bench.quiesce(|mut quiesce| {
        quiesce.is_alive = &|| false;
        quiesce.lift(None).unwrap();
    });
    assert!(!bench.on_record());
}

/// Cancels while `work` waits, and tells how long that took to end.
fn interrupted<T>(bench: &Bench, work: impl FnOnce() -> T) -> (T, Duration) {
    let cancel = bench.cancel.clone();
    let signal = std::thread::spawn(move || {
        // Long enough for the work to have begun to wait; if it has not, it ends as well.
        std::thread::sleep(Duration::from_millis(200));
        cancel.cancel(CancelReason::Terminated);
        Instant::now()
    });
    let result = work();
    let at = signal.join().unwrap();
    (result, at.elapsed())
}

#[test]
fn a_signal_ends_the_wait_for_a_freeze_and_the_guest_is_thawed() {
    let bench = Bench::with(Guest {
        mute: vec!["guest-fsfreeze-freeze"],
        ..guest()
    });
    let (result, took) = interrupted(&bench, || {
        bench.quiesce(|mut quiesce| {
            quiesce.timeouts.freeze = Duration::from_secs(120);
            quiesce.freeze().err().unwrap()
        })
    });
    assert_eq!(
        result.kind(),
        ErrorKind::Cancelled(CancelReason::Terminated)
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(!bench.frozen() && !bench.on_record(), "{}", bench.told());
}

#[test]
fn a_signal_ends_the_wait_for_an_agent_that_is_not_there() {
    let bench = Bench::with(Guest {
        mute: vec!["everything"],
        ..guest()
    });
    let (result, took) = interrupted(&bench, || {
        bench.quiesce(|mut quiesce| {
            quiesce.timeouts.answer = Duration::from_secs(120);
            quiesce.freeze().err().unwrap()
        })
    });
    assert_eq!(
        result.kind(),
        ErrorKind::Cancelled(CancelReason::Terminated)
    );
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_signal_ends_the_trying_to_thaw_but_for_one_more_attempt() {
    let bench = Bench::with(guest());
    let (result, took) = interrupted(&bench, || {
        bench.quiesce(|mut quiesce| {
            quiesce.timeouts.thaw = Duration::from_secs(120);
            let frozen = quiesce.freeze().unwrap().unwrap();
            bench.mute(&["guest-fsfreeze-thaw"]);
            frozen.thaw().unwrap_err()
        })
    });
    assert!(
        result.to_string().contains("may still be frozen"),
        "{result}"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(bench.on_record());
}
