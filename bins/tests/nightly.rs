//! The units in `docs/systemd`, as systemd reads them, and the command lines in them, as `fleece` does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail by a panic"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/systemd")
        .join(name)
}

/// The value of a setting of the service, for a guest of that name.
fn setting(key: &str, guest: &str) -> String {
    let text = std::fs::read_to_string(unit("fleece-backup@.service")).unwrap();
    let prefix = format!("{key}=");
    let mut values = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    values.next().unwrap().replace("%i", guest)
}

#[test]
fn systemd_has_nothing_against_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_fleece");
    let mut units = Vec::new();
    for entry in std::fs::read_dir(unit("")).unwrap() {
        let from = entry.unwrap().path();
        let name = from.file_name().unwrap().to_string_lossy();
        // Where `fleece` is installed is not known here, and systemd looks for it.
        let text = std::fs::read_to_string(&from).unwrap();
        let text = text.replace("=fleece ", &format!("={program} "));
        let text = text.replace("=-fleece ", &format!("=-{program} "));
        let path = dir.path().join(name.replace('@', "@100"));
        std::fs::write(&path, text).unwrap();
        units.push(path);
    }
    assert!(units.len() >= 4, "{units:?}");
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&units)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verify.stderr);
    let ours: Vec<_> = said
        .lines()
        .filter(|line| line.contains("fleece"))
        .collect();
    assert!(verify.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_service_has_little_that_it_does_not_need() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["fleece-backup@.service", "fleece.service"] {
        let path = dir.path().join(name.replace('@', "@100"));
        std::fs::copy(unit(name), &path).unwrap();
        // Below 3.0, of 10.
        let checked = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=29", "--no-pager"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success(), "{said}");
    }
}

#[test]
fn the_commands_of_the_service_are_understood() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (state, to) = (dir.path().join("state"), dir.path().join("to"));
    std::fs::create_dir(&to).unwrap();
    let socket = dir.path().join("web.qmp");
    let guest = format!("--qmp {}", socket.display());
    let mut machine = support::machine_at(&qemu, &socket, &[]);
    let start = setting("ExecStart", "nightly")
        .replace("$GUEST", &guest)
        .replace("${TO}", to.to_str().unwrap())
        .replace("$OPTIONS", "--prune-backups keep-daily=7,keep-weekly=4");
    let (_, start) = start.split_once(" fleece ").unwrap();
    let clean = setting("ExecStopPost", "nightly").replace("$GUEST", &guest);
    let clean = clean.strip_prefix("fleece ").unwrap();
    let run = |line: &str| {
        Command::new(env!("CARGO_BIN_EXE_fleece"))
            .args(line.split_whitespace())
            .arg("--state-dir")
            .arg(&state)
            .output()
            .unwrap()
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let started = run(start);
    assert!(started.status.success(), "{}", said(&started));
    let cleaned = run(clean);
    assert!(
        said(&cleaned).contains("web: nothing was left"),
        "{cleaned:?}"
    );
    machine.kill();
    // The guest is the same when it is gone.
    assert_eq!(run(start).status.code(), Some(5));
    let cleaned = run(clean);
    assert!(
        said(&cleaned).contains("web: nothing was left"),
        "{cleaned:?}"
    );
}
