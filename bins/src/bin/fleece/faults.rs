//! Ends this process at a step of a backup, for tests: `FLEECE_FAULT=kill@switching`, or `term@read:2`
//! for the second time that the step is reached. Built with the feature `faults` only.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fleece_bins::signals;
use fleece_fleecing::Step;
use rustix::process::{Signal, getpid, kill_process};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// How long it may take until a signal is noticed.
const NOTICED: Duration = Duration::from_secs(10);

/// Does what the environment says, if it says something.
pub(crate) fn arm() {
    let Ok(fault) = std::env::var("FLEECE_FAULT") else {
        return;
    };
    let (deed, place) = fault.split_once('@').unwrap_or((&fault, ""));
    let (step, time) = place.split_once(':').unwrap_or((place, "1"));
    let fault = Fault {
        deed: deed.to_owned(),
        step: step.to_owned(),
        left: AtomicU32::new(time.parse().unwrap_or(1)),
    };
    if tracing::subscriber::set_global_default(fault).is_err() {
        eprintln!("FLEECE_FAULT: somebody else listens to the steps");
    }
}

/// What to do at which step, after how many more times.
struct Fault {
    deed: String,
    step: String,
    left: AtomicU32,
}

impl Fault {
    fn strike(&self) {
        let signal = match self.deed.as_str() {
            "kill" => Signal::KILL,
            "int" => Signal::INT,
            "term" => Signal::TERM,
            "hup" => Signal::HUP,
            "stop" => Signal::STOP,
            _ => {
                // The only fault that has to be one of the program's own.
                #[expect(clippy::panic, reason = "that is what is tested")]
                {
                    panic!("as FLEECE_FAULT asks");
                }
            }
        };
        // Nothing to be done if it fails: the test sees that the process goes on.
        let _ = kill_process(getpid(), signal);
        // It is at this step that a signal is noticed, however long the thread that takes it waits for a processor.
        let began = Instant::now();
        while signal != Signal::STOP
            && signals::token().reason().is_none()
            && began.elapsed() < NOTICED
        {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Subscriber for Fault {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == Step::TARGET
    }

    fn event(&self, event: &Event<'_>) {
        let mut is_ours = IsStep(&self.step, false);
        event.record(&mut is_ours);
        if is_ours.1 && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.strike();
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Looks for a step's name in an event.
struct IsStep<'a>(&'a str, bool);

impl Visit for IsStep<'_> {
    fn record_str(&mut self, _: &Field, value: &str) {
        self.1 |= value == self.0;
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
