//! `fleece demo`, small and whole.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn demo(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
    command.arg("demo").arg("--dir").arg(directory);
    command.args(arguments).stdin(Stdio::null());
    command
}

#[track_caller]
fn assert_empty(directory: &Path) {
    let left: Vec<_> = directory.read_dir().unwrap().collect();
    assert!(left.is_empty(), "left: {left:?}");
}

#[test]
fn the_demo_prints_its_table_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let pages = tempfile::tempdir().unwrap();
    let (html, svg) = (
        pages.path().join("demo.html"),
        pages.path().join("demo.svg"),
    );
    let output = demo(dir.path(), &["--size", "32M", "--target-speed", "16M"])
        .arg("--html")
        .arg(&html)
        .arg("--svg")
        .arg(&svg)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("equal the copies, byte for byte"), "{said}");
    let table = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 7, "{table}");
    for (row, start) in rows.iter().skip(1).zip([
        "guest's writes, median",
        "  99 of 100 within",
        "  slowest",
        "guest writes",
        "backup",
        "fleecing images, at most",
    ]) {
        assert!(row.starts_with(start), "{table}");
    }
    let (html, svg) = (
        std::fs::read_to_string(html).unwrap(),
        std::fs::read_to_string(svg).unwrap(),
    );
    for act in ["(a) no backup", "(b) no fleecing", "(c) fleecing"] {
        assert!(html.contains(act) && svg.contains(act), "{act}");
    }
    // Each act has its line, and the last one what the images held. The page has the table's numbers.
    assert_eq!(
        (
            svg.matches("class=\"line\"").count(),
            svg.matches("class=\"fill\"").count()
        ),
        (3, 1)
    );
    let median = rows[1].split_whitespace().rev().take(2).collect::<Vec<_>>();
    assert!(
        html.contains(&format!("{} {}", median[1], median[0])),
        "{table}"
    );
    assert_empty(dir.path());
}

#[test]
fn without_fleecing_the_guest_waits_for_the_target_and_programs_can_read_that() {
    let dir = tempfile::tempdir().unwrap();
    // Saving one cluster takes such a target 125 ms, which no burst covers for long.
    let arguments = ["--size", "8M", "--target-speed", "512K", "--json"];
    let output = demo(dir.path(), &arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "summary");
    let felt =
        |line: &&str| line.contains("\"latency_p99\":") && !line.contains("\"latency_p99\":null");
    assert!(said.lines().any(|line| felt(&line)), "{said}");
    assert_eq!(last["restored_equal"], true);
    let slowest = last["no_fleecing"]["guest"]["max"].as_f64().unwrap();
    assert!(slowest >= 0.125, "{said}");
    for act in ["no_backup", "no_fleecing", "fleecing"] {
        assert!(last[act]["guest"]["writes"].as_u64().unwrap() > 0, "{said}");
    }
    assert_eq!(last["fleecing"]["backup"]["done_percent"], 100);
    assert!(
        last["fleecing"]["backup"]["fleecing_peak"]
            .as_u64()
            .unwrap()
            > 0
    );
    assert_empty(dir.path());
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // In its middle act, with writes that wait for the target.
    let mut child = demo(dir.path(), &["--size", "64M", "--target-speed", "1M"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("(b)")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert_eq!(rest.last().map(String::as_str), Some("ERROR: interrupted"));
    assert_empty(dir.path());
}

#[test]
fn a_demo_that_does_not_fit_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let output = demo(dir.path(), &["--size", "8000000T"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("use --dir, or a smaller --size"), "{said}");
    assert_empty(dir.path());
}
