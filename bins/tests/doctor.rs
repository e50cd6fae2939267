//! `fleece doctor`: all that stands in the way of a backup, at once, and nothing is changed.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use support::ended::Ended;
use tempfile::TempDir;

struct Host(TempDir);

impl Host {
    fn new(config: &str) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        fs::create_dir(host.path("to")).unwrap();
        fs::write(host.path("disk.raw"), vec![7; 1 << 20]).unwrap();
        fs::write(
            host.path("fleece.toml"),
            format!("state-dir = 'state'\n{config}"),
        )
        .unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn fleece(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command.current_dir(self.0.path()).args(arguments);
        Ended::of(command.env("FLEECE_CONFIG", "fleece.toml"))
    }
}

/// The line of a check with this text in it.
fn line<'s>(said: &'s str, text: &str) -> &'s str {
    let mut lines = said.lines();
    lines.find(|line| line.contains(text)).unwrap_or_default()
}

#[test]
fn it_tells_what_a_backup_would_do_and_that_nothing_stands_in_its_way() {
    let host = Host::new("[backup]\nto = 'to'\n[guest.web]\nimage = ['disk.raw']\n");
    let said = host.fleece(&["doctor", "web"]).expect_code(0);
    assert!(
        line(&said, "3 options are set by fleece.toml").contains(" ok "),
        "{said}"
    );
    assert!(
        line(&said, "would include disk").starts_with("backup "),
        "{said}"
    );
    assert!(
        line(&said, "nothing stands in its way").contains(" ok "),
        "{said}"
    );
    assert!(said.contains("there is none of this guest in to"), "{said}");
    assert!(!host.path("state").exists());
    assert_eq!(fs::read_dir(host.path("to")).unwrap().count(), 0);

    host.fleece(&["backup", "--name", "web", "--verify"])
        .expect_code(0);
    let said = host.fleece(&["doctor", "web"]).expect_code(0);
    let backups = "1 sound one in to; the newest is 0 days old, verified";
    assert!(line(&said, backups).contains(" ok "), "{said}");
    // Options as for a backup.
    let said = host
        .fleece(&["doctor", "web", "--to", "none"])
        .expect_code(1);
    assert!(
        line(&said, "PROBLEM").contains("none is neither a directory"),
        "{said}"
    );
}

#[test]
fn it_tells_all_that_stands_in_the_way_at_once() {
    let host = Host::new(
        "[backup]\nto = 'nowhere'\n[guest.web]\nqmp = 'web.qmp'\nagent = 'web.qga'\nscript = './hook'\n",
    );
    let said = host.fleece(&["doctor", "web"]).expect_code(1);
    let problems = said.lines().filter(|line| line.contains(" PROBLEM "));
    assert_eq!(problems.count(), 2, "{said}");
    assert!(
        line(&said, "cannot use the guest's monitor").contains(" PROBLEM ")
            || line(&said, "web.qmp").contains(" PROBLEM "),
        "{said}"
    );
    assert!(
        line(&said, "nowhere is neither a directory").contains("backups "),
        "{said}"
    );
    assert!(line(&said, "web.qga").contains(" warning "), "{said}");
    assert!(
        line(&said, "--script needs ./hook").contains(" warning "),
        "{said}"
    );
    assert!(!host.path("state").exists());
}
