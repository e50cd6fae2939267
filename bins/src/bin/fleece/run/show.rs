//! How a run goes, for people and for programs: a bar for each backup that runs and one for all on a terminal, else lines.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use fleece_backup_core::units;
use fleece_fleet::{Ended, Told};
use fleece_plain_text::words;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::log::Log;
use fleece_bins::events;

/// A backup says where it is at most this often, where there are no bars.
const LINE_EVERY: Duration = Duration::from_secs(30);

const ALL: &str = "{prefix:>16} {bar:30} {pos} of {len}, {elapsed}";
const ONE: &str = "{prefix:>16} {bar:30} {percent:>3}% of {total_bytes:<10} {msg}";

pub(super) struct Show<'a> {
    log: &'a Log,
    bars: Option<Bars>,
    last_lines: RefCell<BTreeMap<usize, Instant>>,
}

struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    running: RefCell<BTreeMap<usize, ProgressBar>>,
}

impl<'a> Show<'a> {
    pub(super) fn new(log: &'a Log, guests: usize) -> Self {
        let bars = (std::io::stderr().is_terminal() && log.is_for_people() && !log.is_quiet())
            .then(|| {
                let all = MultiProgress::new();
                let total = ProgressBar::new(guests as u64).with_style(style(ALL));
                let total = all.add(total.with_prefix("guests"));
                total.enable_steady_tick(Duration::from_secs(1));
                Bars {
                    all,
                    total,
                    running: RefCell::default(),
                }
            });
        Self {
            log,
            bars,
            last_lines: RefCell::default(),
        }
    }

    pub(super) fn begin(&self, task: usize, guest: &str, attempt: u32) {
        if let Some(bars) = &self.bars {
            let bar = ProgressBar::new(0)
                .with_style(style(ONE))
                .with_prefix(words(guest));
            let bar = bars.all.insert_before(&bars.total, bar);
            bars.running.borrow_mut().insert(task, bar);
        }
        if attempt > 1 {
            self.info(guest, "is tried once more");
        }
    }

    pub(super) fn told(&self, task: usize, guest: &str, told: &Told) {
        match told {
            Told::Event(event) => self.event(task, guest, event),
            Told::Line(line) => self.info(guest, line),
            _ => {}
        }
    }

    fn event(&self, task: usize, guest: &str, event: &Value) {
        if !self.log.is_for_people() {
            let event = events::with(event.clone(), json!({ "guest": guest }));
            return self.log.pass_on(&event);
        }
        let message = event.get("message").and_then(Value::as_str);
        match (event.get("event").and_then(Value::as_str), message) {
            (Some("status"), Some(message)) => self.info(guest, message),
            (Some("status"), None) => self.progress(task, guest, event),
            (Some("warning"), Some(message)) => self.line("WARN", guest, message),
            // An error is the end, and told with it.
            _ => {}
        }
    }

    fn progress(&self, task: usize, guest: &str, event: &Value) {
        let number = |key| event.get(key).and_then(Value::as_u64);
        let rate = event.get("rate").and_then(Value::as_f64).unwrap_or(0.0);
        let (Some(done), Some(total)) = (number("done"), number("total")) else {
            return;
        };
        let fleecing = number("fleecing").map(|held| format!(", fleecing: {}", units::bytes(held)));
        let fleecing = fleecing.unwrap_or_default();
        if let Some(bars) = &self.bars {
            if let Some(bar) = bars.running.borrow().get(&task) {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(format!("{}{fleecing}", units::rate(rate)));
            }
            return;
        }
        let mut last = self.last_lines.borrow_mut();
        let since = *last.entry(task).or_insert_with(Instant::now);
        if since.elapsed() >= LINE_EVERY {
            last.insert(task, Instant::now());
            let percent = units::percent(done, total);
            let of = units::bytes(total);
            self.info(
                guest,
                &format!("{percent}% of {of}, {}{fleecing}", units::rate(rate)),
            );
        }
    }

    pub(super) fn ended(&self, task: usize, guest: &str, ended: &Ended, again: bool) {
        self.last_lines.borrow_mut().remove(&task);
        if let Some(bars) = &self.bars {
            if let Some(bar) = bars.running.borrow_mut().remove(&task) {
                bar.finish_and_clear();
                bars.all.remove(&bar);
            }
            if !again {
                bars.total.inc(1);
            }
        }
        if !ended.is_done() {
            let why = ended.message.as_deref().unwrap_or("it does not say why");
            match again {
                true => self.line("WARN", guest, &format!("failed, and is tried again: {why}")),
                false => self.failed(guest, why),
            }
        }
    }

    pub(super) fn failed(&self, guest: &str, why: &str) {
        self.line("ERROR", guest, &format!("failed ({why})"));
    }

    pub(super) fn giving_up(&self, why: &str) {
        self.line("WARN", "", &format!("{why}: what runs is ended in order"));
    }

    /// No bar is shown any more.
    pub(super) fn end(&self) {
        if let Some(bars) = &self.bars {
            bars.total.finish_and_clear();
        }
    }

    pub(super) fn info(&self, guest: &str, message: &str) {
        self.line("INFO", guest, message);
    }

    /// A line of ours, or of a guest's backup.
    pub(super) fn line(&self, level: &str, guest: &str, message: &str) {
        if !self.log.is_for_people() {
            let event = match level {
                "INFO" => events::status(message),
                _ => events::warning(message),
            };
            let guest = Some(guest).filter(|guest| !guest.is_empty());
            return self
                .log
                .pass_on(&events::with(event, json!({ "guest": guest })));
        }
        let text = match guest {
            "" => words(message),
            guest => format!("{}: {}", words(guest), fleece_plain_text::message(message)),
        };
        let print = || self.log.line(level, guest, &text);
        match &self.bars {
            Some(bars) => bars.all.suspend(print),
            None => print(),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
