//! The log and the record of a run, beside its archive or alone.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use support::ended::Ended;
use tempfile::TempDir;

struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for folder in ["state", "dump", "configs"] {
            fs::create_dir(host.path(folder)).unwrap();
        }
        let config = "name: mail\nscsi0: gone:vm-100-disk-0\n";
        fs::write(host.path("configs/100.conf"), config).unwrap();
        fs::write(host.path("disk.raw"), vec![7; 1 << 20]).unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn backup(&self, more: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command.current_dir(self.0.path());
        command.args([
            "backup",
            "--state-dir",
            "state",
            "--config-dir",
            "configs",
            "--vmid",
            "100",
        ]);
        command.args(["--image", "drive-scsi0=disk.raw"]).args(more);
        Ended::of(&mut command)
    }

    /// The files in the directory that end so.
    fn files(&self, end: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("dump")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.to_str().unwrap().ends_with(end))
            .collect()
    }

    fn record(&self) -> Value {
        let [record] = &self.files(".stats.json")[..] else {
            panic!("one record: {:?}", self.files(""));
        };
        serde_json::from_slice(&fs::read(record).unwrap()).unwrap()
    }
}

#[test]
fn a_backup_has_its_log_and_its_record_beside_it_and_they_go_with_it() {
    let host = Host::new();
    host.backup(&["--to", "dump", "--json"]).expect_code(0);
    let archive = host.files(".vma.zst").remove(0);
    let size = archive.metadata().unwrap().len();
    let record = host.record();
    assert_eq!(
        (&record["version"], &record["result"]),
        (&1.into(), &"ok".into())
    );
    assert_eq!(
        (&record["guest"], &record["name"]),
        (&"100".into(), &"mail".into())
    );
    assert_eq!(
        (&record["size"], &record["disks"]),
        (&size.into(), &(1 << 20).into())
    );
    assert_eq!(
        record["archive"],
        archive.file_name().unwrap().to_str().unwrap()
    );
    assert_eq!(record["series"]["until"].as_array().unwrap().len(), 1);
    let log = &host.files(".log")[0];
    assert_eq!(log.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    let log = fs::read_to_string(log).unwrap();
    for line in [
        "INFO: Starting Backup of VM 100 (qemu)",
        "INFO: 100% (1.00 MiB",
        "INFO: Finished Backup of VM 100",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    let first = log.split(' ').next().unwrap();
    assert!(first.parse::<jiff::civil::Date>().is_ok(), "{log}");
    let mut delete = Command::new(env!("CARGO_BIN_EXE_fleece"));
    Ended::of(delete.arg("delete").arg(&archive)).expect_code(0);
    assert!(host.files("").is_empty(), "{:?}", host.files(""));
}

#[test]
fn a_backup_that_fails_leaves_its_log_and_why_it_failed() {
    let host = Host::new();
    fs::remove_file(host.path("disk.raw")).unwrap();
    let said = host.backup(&["--to", "dump"]).expect_code(6);
    let record = host.record();
    assert_eq!(record["result"], "failed", "{said}");
    let message = record["error"]["message"].as_str().unwrap();
    assert!(said.contains(message), "{message}: {said}");
    let log = fs::read_to_string(&host.files(".log")[0]).unwrap();
    assert!(log.lines().last().unwrap().contains(" ERROR: "), "{log}");
    assert_eq!(host.files("").len(), 2);
}

#[test]
fn an_archive_with_a_name_of_its_own_and_a_dry_run_leave_nothing_beside() {
    let host = Host::new();
    fs::write(host.path("dump/mine.log"), "somebody's").unwrap();
    host.backup(&["--to", "dump/mine.vma"]).expect_code(0);
    host.backup(&["--to", "dump", "--dry-run"]).expect_code(0);
    assert!(host.files(".stats.json").is_empty());
    assert_eq!(
        fs::read_to_string(host.path("dump/mine.log")).unwrap(),
        "somebody's"
    );
    assert_eq!(host.files(".log").len(), 1);
}
