//! System calls: which a command makes, and one of them failing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

use crate::case::Work;

/// Those that change something, with the error that each can meet.
const CALLS: [(&str, &str); 16] = [
    ("openat", "EIO"),
    ("write", "ENOSPC"),
    ("pwrite64", "ENOSPC"),
    ("fsync", "EIO"),
    ("fdatasync", "EIO"),
    ("rename", "EIO"),
    ("renameat", "EIO"),
    ("renameat2", "EIO"),
    ("unlink", "EIO"),
    ("unlinkat", "EIO"),
    ("link", "EIO"),
    ("linkat", "EIO"),
    ("ftruncate", "ENOSPC"),
    ("fallocate", "ENOSPC"),
    ("mkdir", "ENOSPC"),
    ("mkdirat", "ENOSPC"),
];

/// Of more calls of one kind the short form lets fail the first ones and the last.
const FIRST: usize = 3;

pub(crate) struct Ended {
    /// `None`: killed.
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

/// What a command did in its place.
pub(crate) struct Calls {
    /// The lines of `strace`, unfinished ones put together.
    pub(crate) lines: Vec<String>,
    /// All that it touched.
    paths: BTreeSet<String>,
    /// Of each call, how often the busiest thread made it.
    counts: BTreeMap<&'static str, usize>,
}

/// One call that fails.
pub(crate) struct Fault {
    call: &'static str,
    number: usize,
    how: &'static str,
}

impl Fault {
    pub(crate) fn kills(&self) -> bool {
        self.how.starts_with("signal")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:when={}", self.call, self.how, self.number)
    }
}

/// Runs the command without a fault.
pub(crate) fn record(work: &Work, command: &[String]) -> (Ended, Calls) {
    let log = work.place.with_extension("log");
    let names: Vec<_> = CALLS.iter().map(|call| call.0).collect();
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-y", "-qq", "-xx", "-s", "1000000", "-o"])
        .arg(&log);
    strace.args(["-e", &format!("trace={},rmdir", names.join(","))]);
    let ended = run(strace.args(command));
    let text = fs::read_to_string(&log).unwrap();
    let place = work.place.to_str().unwrap();
    let mut calls = Calls {
        lines: Vec::new(),
        paths: BTreeSet::from([place.to_owned()]),
        counts: BTreeMap::new(),
    };
    let mut counts = BTreeMap::new();
    for line in joined(&text) {
        let touched = paths(&line, place);
        let Some((thread, rest)) = line.split_once(' ').filter(|_| !touched.is_empty()) else {
            continue;
        };
        let name = rest.trim_start().split('(').next().unwrap_or_default();
        if let Some((call, _)) = CALLS.iter().find(|call| call.0 == name) {
            *counts.entry((thread.to_owned(), *call)).or_insert(0) += 1;
        }
        calls.paths.extend(touched);
        calls.lines.push(line);
    }
    for ((_, call), count) in counts {
        let most = calls.counts.entry(call).or_insert(0);
        *most = count.max(*most);
    }
    (ended, calls)
}

/// Lines of which another thread's interrupted the first half get their second.
fn joined(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut halves: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines() {
        let thread = line.split(' ').next().unwrap_or_default();
        if let Some(half) = line.strip_suffix(" <unfinished ...>") {
            halves.insert(thread, lines.len());
            lines.push(half.to_owned());
        } else if line.contains("<... ") {
            let rest = line.split_once("resumed>").map_or("", |(_, rest)| rest);
            if let Some(first) = halves.remove(thread) {
                lines[first].push_str(rest);
            }
        } else {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// Text as `strace -xx` writes it.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let digits = text.split("\\x").skip(1);
    digits
        .map(|byte| u8::from_str_radix(&byte[..2], 16).unwrap())
        .collect()
}

/// The paths in a line that lie in the place: arguments, and those of descriptors.
fn paths(line: &str, place: &str) -> Vec<String> {
    let quoted = line.split('"').skip(1).step_by(2);
    let described = line
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split('>').next());
    let texts = quoted.chain(described).filter(|text| text.len() < 20_000);
    let paths = texts.map(|text| match text.contains("\\x") {
        true => String::from_utf8_lossy(&unescape(text)).into_owned(),
        false => text.to_owned(),
    });
    paths.filter(|path| path.starts_with(place)).collect()
}

impl Calls {
    pub(crate) fn faults(&self, all: bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (call, error) in CALLS {
            let count = self.counts.get(call).copied().unwrap_or(0);
            for number in 1..=count {
                if !all && number > FIRST && number < count {
                    continue;
                }
                let error = match error {
                    "ENOSPC" => "error=ENOSPC",
                    _ => "error=EIO",
                };
                let mut hows = vec![error, "signal=SIGKILL"];
                if call == "renameat2" {
                    hows.push("error=EINVAL");
                }
                faults.extend(hows.into_iter().map(|how| Fault { call, number, how }));
            }
        }
        faults
    }
}

/// Runs the command with a fault.
pub(crate) fn inject(command: &[String], calls: &Calls, fault: &Fault) -> Ended {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null"]);
    for path in &calls.paths {
        strace.args(["-P", path]);
    }
    strace.args(["-e", &format!("trace={}", fault.call)]);
    strace.args(["-e", &format!("inject={fault}")]);
    run(strace.args(command))
}

fn run(strace: &mut Command) -> Ended {
    let output = strace
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ended {
        code: output.status.code(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
