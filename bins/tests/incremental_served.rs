//! `fleece backup --native --incremental`: `fleece serve` itself keeps account of what changes, also across its clean end,
//! and whatever happened in between, the next archive equals its disk.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use fleece_lab::{LoopMount, Qemu};
use support::Bench;
use support::backed_up::Said;
use support::ended::Ended;
use support::running::Running;
use support::served::{Served, Writer};

const SIZE: u64 = 8 << 20;
const CLUSTER: u64 = 64 << 10;

/// An image that is served or not, and its archives.
struct Field {
    served: Option<Served>,
    qemu: Qemu,
    disk: PathBuf,
    bench: Bench,
}

impl Field {
    fn new(image: &str) -> Option<Self> {
        let qemu = fleece_lab::qemu("10.0")?;
        let bench = Bench::new();
        let noise = bench.path("noise.raw");
        support::noise(&noise, SIZE);
        let disk = bench.path(image);
        let format = image.rsplit('.').next().unwrap();
        let mut convert = qemu.img();
        convert.args(["convert", "-f", "raw", "-O", format]);
        support::succeed(convert.arg(&noise).arg(&disk));
        let mut field = Self {
            served: None,
            qemu,
            disk,
            bench,
        };
        field.serve();
        Some(field)
    }

    fn serve(&mut self) {
        self.served = Some(Served::start(&self.bench, &[&self.disk]));
    }

    /// Ends serving, as it is meant to be.
    fn stop(&mut self) {
        self.served = None;
    }

    fn write(&self, byte: u8, offset: u64, length: u64) {
        Writer::connect(&self.bench, &self.qemu).write(byte, offset, length);
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = self.bench.backup_served();
        command.args(["--incremental", "--compress", "none"]);
        command.args(options);
        command
    }

    fn backup(&self, options: &[&str]) -> Said {
        Said::of(Ended::of(self.command(options).arg("--json")))
    }

    /// A backup whose archive must be what the disk is.
    fn checked(&self, options: &[&str]) -> Said {
        let said = self.backup(options);
        self.check(&said);
        said
    }

    /// What the disk holds now.
    fn content(&self) -> Vec<u8> {
        let address = fleece_nbd::Address::Unix(self.bench.path("socket").join("nbd.sock"));
        let options = fleece_nbd::Options::default();
        let client = fleece_nbd::Client::connect(&address, "drive-disk0", &options).unwrap();
        let mut data = vec![0; SIZE as usize];
        client.read_at(0, &mut data).unwrap();
        data
    }

    fn check(&self, said: &Said) {
        let archive = said.archive();
        let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
        support::succeed(vma.args(["verify", "--deep"]).arg(&archive));
        let disks = support::restore(&archive);
        let mut there = vec![0; SIZE as usize];
        disks[0].read_exact_at(&mut there, 0).unwrap();
        assert!(there == self.content(), "{}", said.text);
    }

    fn account(&self) -> PathBuf {
        self.bench.path("socket").join("drive-disk0.changes")
    }
}

/// The sample is 64 clusters.
const SAMPLE: u64 = 64 * CLUSTER;

#[test]
fn generations_of_a_served_disk_read_what_has_changed_across_clean_ends() {
    for image in ["disk0.raw", "disk0.qcow2"] {
        let Some(mut field) = Field::new(image) else {
            return;
        };
        let said = field.checked(&[]);
        assert_eq!((said.code, said.read()), (Some(0), None), "{}", said.text);
        assert!(
            said.text.contains("no account of its changes was kept"),
            "{}",
            said.text
        );
        let mut archives = vec![(said.archive(), field.content())];
        let rounds = if image == "disk0.raw" { 10 } else { 3 };
        for round in 1..=rounds {
            field.write(round as u8, round * 300_000, 70_000);
            if round % 3 == 0 {
                field.stop();
                assert!(field.account().exists(), "{image}");
                field.serve();
                assert!(!field.account().exists(), "{image}");
                field.write(round as u8, round * 500_000, 5000);
            }
            let said = field.checked(&[]);
            assert_eq!(said.code, Some(0), "{}", said.text);
            // At most three clusters for a write, and two more.
            assert!(
                said.read().unwrap() <= SAMPLE + 5 * CLUSTER,
                "{}",
                said.text
            );
            archives.push((said.archive(), field.content()));
        }
        assert!(field.checked(&["--full-every", "3"]).read().is_none());
        // None needs another.
        while let Some((archive, content)) = archives.pop() {
            let mut there = vec![0; SIZE as usize];
            support::restore(&archive)[0]
                .read_exact_at(&mut there, 0)
                .unwrap();
            assert!(there == content, "{archive:?}");
            fs::remove_file(archive).unwrap();
        }
    }
}

#[test]
fn an_account_of_which_anything_is_doubtful_is_not_believed() {
    let Some(mut field) = Field::new("disk0.raw") else {
        return;
    };
    field.checked(&[]);
    let expect_full = |field: &Field, why: &str| {
        let said = field.checked(&[]);
        assert_eq!((said.code, said.read()), (Some(0), None), "{}", said.text);
        assert!(said.text.contains(why), "{}", said.text);
        // And the next one is believed again.
        assert!(field.checked(&[]).read().is_some());
    };
    const NONE: &str = "no account of its changes was kept";
    // The server is killed.
    field.write(1, 0, CLUSTER);
    field.served.take().unwrap().kill();
    field.serve();
    expect_full(&field, NONE);
    // Somebody writes to the image meanwhile.
    field.stop();
    let image = fs::File::options().write(true).open(&field.disk).unwrap();
    image.write_all_at(&[7; 1000], 5 << 20).unwrap();
    field.serve();
    expect_full(&field, NONE);
    // Another image is in its place.
    field.stop();
    let copy = field.bench.path("copy.raw");
    fs::copy(&field.disk, &copy).unwrap();
    fs::rename(copy, &field.disk).unwrap();
    field.serve();
    expect_full(&field, NONE);
    // The account is cut off.
    field.stop();
    let account = field.account();
    let bytes = fs::read(&account).unwrap();
    fs::write(&account, &bytes[..bytes.len() - 8]).unwrap();
    field.serve();
    expect_full(&field, NONE);
    // The archive that it counts against is gone; there is another, which has the disk as it was before.
    let last = field.checked(&[]).archive();
    fs::remove_file(&last).unwrap();
    fs::remove_file(format!("{}.idx", last.display())).unwrap();
    field.write(2, 1 << 20, CLUSTER);
    expect_full(
        &field,
        "the archive that it counts against is not at the target",
    );
    // One that is not incremental leaves the account alone.
    field.write(3, 2 << 20, CLUSTER);
    support::succeed(field.bench.backup_served().arg("--compress=none"));
    field.write(4, 3 << 20, CLUSTER);
    assert!(field.checked(&[]).read().is_some());
    // An account that lies is found out by comparing.
    field.write(5, 0, SIZE / 2);
    field.stop();
    let mut bytes = fs::read(&account).unwrap();
    let bitmap = bytes.len() - (SIZE / CLUSTER / 8) as usize..;
    bytes[bitmap].fill(0);
    fs::write(&account, bytes).unwrap();
    field.serve();
    let said = field.checked(&[]);
    assert_eq!(said.code, Some(3), "{}", said.text);
    assert!(said.text.contains("has changed although"), "{}", said.text);
}

#[test]
fn whatever_ends_a_backup_what_has_changed_is_not_forgotten() {
    let Some(mut field) = Field::new("disk0.raw") else {
        return;
    };
    field.checked(&[]);
    for (round, fault) in (1_u8..).zip(["kill@stored", "kill@synced", "kill@renamed"]) {
        field.write(round, u64::from(round) << 20, CLUSTER);
        let output = field
            .command(&[])
            .env("FLEECE_FAULT", fault)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{fault}: {output:?}");
        field
            .served
            .as_ref()
            .unwrap()
            .await_clean(&field.bench, &field.qemu);
        field.write(round, u64::from(round) * 300_000, 100);
        if fault == "kill@renamed" {
            field.stop();
            field.serve();
        }
        let said = field.checked(&[]);
        assert!(said.read().is_some(), "{fault}: {}", said.text);
    }
    // What is written while it is read is in the next, and not in this one.
    field.write(9, 0, SIZE / 2);
    let before = field.content();
    let mut running = Running::start(&mut field.command(&["--bwlimit", "2M"]));
    running.until("\"done\":");
    field.write(10, 0, SIZE);
    let said = Said::of(running.end());
    let mut there = vec![0; SIZE as usize];
    support::restore(&said.archive())[0]
        .read_exact_at(&mut there, 0)
        .unwrap();
    assert!(there == before, "{}", said.text);
    assert!(field.checked(&[]).read().is_some());
}

#[test]
fn a_served_disk_takes_no_space_where_it_has_not_changed() {
    let (Some(mounted), Some(field)) = (LoopMount::new("xfs"), Field::new("disk0.raw")) else {
        return;
    };
    let archives = field.bench.path("archives");
    fs::remove_dir(&archives).unwrap();
    std::os::unix::fs::symlink(mounted.path(), archives).unwrap();
    field.checked(&[]);
    field.write(1, 1 << 20, CLUSTER);
    let said = field.checked(&[]);
    assert!(
        said.text.contains("it is taken over unread"),
        "{}",
        said.text
    );
    assert!(
        said.json["shared"].as_u64().unwrap() > SIZE - (1 << 20),
        "{}",
        said.text
    );
    assert!(
        said.json["new"].as_u64().unwrap() < 1 << 20,
        "{}",
        said.text
    );
}
