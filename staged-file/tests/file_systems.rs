//! File systems that cannot do everything: a real one, and system calls that are made to fail.
#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[path = "../../bins/tests/support/fuse.rs"]
#[expect(dead_code, reason = "a part of it is used")]
mod fuse;

use std::env;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use fleece_staged_file::{StagedFile, rename_new, sync_directory_of};

/// Where the children of these tests, which run under `strace`, find what to work on.
const PLACE: &str = "FLEECE_STAGED_PLACE";

fn signal(process: u32, signal: &str) {
    let mut kill = Command::new("kill");
    let ended = kill.args([signal, &process.to_string()]).status();
    assert!(ended.unwrap().success());
}

fn staged(path: &Path) -> StagedFile {
    let mut staged = StagedFile::create(path, 0o640).unwrap();
    staged.write_all(b"new").unwrap();
    staged
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// A new file appears, a taken name stays somebody else's, and so it is with a directory.
fn commits(directory: &Path) {
    let path = directory.join("a");
    let committed = staged(&path).commit_new().unwrap();
    assert!(committed.warning().is_none());
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(entries(directory), ["a"]);

    fs::write(&path, "old").unwrap();
    let error = staged(&path).commit_new().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(entries(directory), ["a"]);

    let [from, to] = ["from", "to"].map(|name| directory.join(name));
    fs::create_dir(&from).unwrap();
    rename_new(&from, &to).unwrap();
    fs::create_dir(&from).unwrap();
    assert_eq!(
        rename_new(&from, &to).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(entries(directory), ["a", "from", "to"]);
}

#[test]
fn a_file_system_that_does_not_know_the_flags_of_renameat2_will_do() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("place");
    fs::create_dir(&place).unwrap();
    let Some(_fuse) = fuse::Fuse::mount(place.clone(), &[]) else {
        return;
    };
    let probe = place.join("probe");
    fs::write(&probe, "").unwrap();
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    let cwd = rustix::fs::CWD;
    rustix::fs::renameat_with(cwd, &probe, cwd, place.join("b"), flags)
        .expect_err("this test needs a file system that does not know the flag");
    fs::remove_file(probe).unwrap();
    commits(&place);
}

/// Runs the test `child` of this program with system calls that fail; `None` without `strace`.
fn injected(child: &str, injections: &[&str]) -> Option<PathBuf> {
    fleece_lab::require("strace")?;
    let place = tempfile::tempdir().unwrap().keep();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg("/dev/null");
    for injection in injections {
        strace.args(["-e", &format!("inject={injection}")]);
    }
    strace.arg(env::current_exe().unwrap());
    strace.args(["--exact", child, "--nocapture"]);
    let output = strace.env(PLACE, &place).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{injections:?}: {said}");
    Some(place)
}

/// The place of a child; `None` where the test runs like any other.
fn place() -> Option<PathBuf> {
    env::var_os(PLACE).map(PathBuf::from)
}

#[test]
fn commits_child() {
    if let Some(place) = place() {
        commits(&place);
    }
}

#[test]
fn whatever_a_file_system_does_not_know_a_commit_succeeds() {
    for unknown in ["EINVAL", "ENOSYS", "EOPNOTSUPP"] {
        let flags = format!("renameat2:error={unknown}");
        for links in ["", "EPERM", "EOPNOTSUPP"] {
            let no_links = format!("linkat,link:error={links}");
            let all = [flags.as_str(), &no_links];
            let all = if links.is_empty() { &all[..1] } else { &all };
            let Some(place) = injected("commits_child", all) else {
                return;
            };
            fs::remove_dir_all(place).unwrap();
        }
    }
}

#[test]
fn unsynced_child() {
    let Some(place) = place() else {
        return;
    };
    // The first `fsync` is the file's, the second the directory's.
    let committed = staged(&place.join("a")).commit_new().unwrap();
    assert!(committed.warning().unwrap().contains("is complete"));
    assert_eq!(entries(&place), ["a"]);
}

#[test]
fn a_directory_that_cannot_be_synced_is_a_warning() {
    if let Some(place) = injected("unsynced_child", &["fsync:error=EIO:when=2"]) {
        fs::remove_dir_all(place).unwrap();
    }
}

#[test]
fn unable_child() {
    let Some(place) = place() else {
        return;
    };
    sync_directory_of(&place.join("a")).unwrap();
}

#[test]
fn a_directory_that_its_file_system_never_syncs_is_none() {
    for never in ["EINVAL", "EOPNOTSUPP"] {
        let injection = format!("fsync:error={never}");
        if let Some(place) = injected("unable_child", &[&injection]) {
            fs::remove_dir_all(place).unwrap();
        }
    }
}

#[test]
fn failing_child() {
    let Some(place) = place() else {
        return;
    };
    fs::write(place.join("a"), "old").unwrap();
    staged(&place.join("a")).commit_replacing().unwrap_err();
    assert_eq!(fs::read(place.join("a")).unwrap(), b"old");
    assert_eq!(entries(&place), ["a"]);
}

#[test]
fn what_fails_before_the_commit_leaves_what_was_there() {
    for injection in ["fsync:error=EIO:when=1", "rename,renameat:error=EIO"] {
        match injected("failing_child", &[injection]) {
            Some(place) => fs::remove_dir_all(place).unwrap(),
            None => return,
        }
    }
}
