//! Ten generations of what anybody may do to a guest's disks and to the bitmaps, at random, on every QEMU and by each way to
//! put the filters in.

use std::fs;

use fleece_lab::{Disk, Format, StorageDaemon};
use serde_json::json;

use super::{Field, SIZE, check};
use crate::support;

const NONE: [&str; 2] = ["--compress", "none"];

/// What has happened to the daemon that runs now.
#[derive(Default)]
struct Life {
    snapshot: bool,
    resized: u64,
}

/// One after the other, each with its own archive.
fn live(mut field: Field, generations: usize) {
    let mut life = Life::default();
    let mut archives = Vec::new();
    for _ in 0..generations {
        let deed = field.random(12);
        happen(&mut field, &mut life, deed);
        for disk in [0, 1] {
            let count = field.random(20);
            field.change(disk, usize::try_from(count).unwrap());
        }
        let compress = ["none", "zstd=1"][usize::from(field.random(4) == 0)];
        let said = field.checked(&["--compress", compress]);
        let fine = matches!(said.code, Some(0 | 3));
        assert!(fine, "after {deed}: {}", said.text);
        archives.push((said.archive(), field.disks(), deed));
    }
    // None needs another.
    while let Some((archive, disks, _)) = archives.pop() {
        if archive.exists() {
            check(&archive, &disks);
            fs::remove_file(archive).unwrap();
        }
    }
}

fn happen(field: &mut Field, life: &mut Life, deed: u64) {
    match deed {
        0 => {
            let foreign = json!({"node": "disk0-format", "name": "theirs", "granularity": 65536});
            field.execute("block-dirty-bitmap-add", foreign);
            field.change(0, 3);
            let said = field.checked(&NONE);
            assert!(said.code.is_some(), "{}", said.text);
            let theirs = json!({"node": "disk0-format", "name": "theirs"});
            field.execute("block-dirty-bitmap-remove", theirs);
        }
        1 if !field.bitmaps().is_empty() => field.meddle_at(1, "block-dirty-bitmap-remove"),
        2 if !field.bitmaps().is_empty() => field.meddle_at(1, "block-dirty-bitmap-disable"),
        3 => {
            life.resized += 1 << 20;
            let resize = json!({"node-name": "disk1-format", "size": SIZE + life.resized});
            field.without_export(1, || field.execute("block_resize", resize));
        }
        4 if !life.snapshot => {
            life.snapshot = true;
            field.take_snapshot();
        }
        5 | 6 if !life.snapshot => {
            restart(field, deed == 6);
            life.resized = 0;
        }
        7 | 8 => {
            let steps = fleece_fleecing::Step::ALL;
            let count = u64::try_from(steps.len()).unwrap();
            let step = steps[usize::try_from(field.random(count)).unwrap()];
            let mut command = field.command(&NONE);
            command.env("FLEECE_FAULT", format!("kill@{}", step.name()));
            command.output().unwrap();
        }
        9 => {
            let mut plain = support::daemon::backup(&field.bench, &field.daemon);
            let output = plain.args(NONE).output().unwrap();
            assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
        }
        10 => {
            let archives = support::archives(&field.bench.path("archives"));
            if let Some(last) = archives.last() {
                fs::remove_file(last).unwrap();
            }
        }
        _ => {}
    }
}

/// Ends the daemon, as it should be or with SIGKILL, and starts another on the same images.
fn restart(field: &mut Field, kill: bool) {
    if kill {
        field.daemon.kill();
    } else {
        let client = fleece_qmp_client::Client::connect_unix(field.daemon.test_socket()).unwrap();
        let _ = client.execute_raw("quit", None);
        drop(client);
        field
            .daemon
            .wait(std::time::Duration::from_secs(60))
            .unwrap();
    }
    let builder = StorageDaemon::builder(&field.qemu)
        .export()
        .second_monitor();
    let disks = [(0, Format::Raw), (1, Format::Qcow2)]
        .map(|(disk, format)| Disk::image(field.daemon.disk_path(disk), format).throttled());
    let builder = disks
        .into_iter()
        .fold(builder, fleece_lab::StorageDaemonBuilder::disk);
    let next = builder.start().unwrap();
    // Its images are there as long as it is.
    let ended = std::mem::replace(&mut field.daemon, next);
    field.ended.push(ended);
}

#[test]
fn whatever_happens_between_them_generations_equal_their_disks() {
    let seeds: u64 = if support::is_long() { 12 } else { 1 };
    let generations = if support::is_long() { 10 } else { 4 };
    let qemus = fleece_lab::qemus();
    let count = if support::is_long() { qemus.len() } else { 1 };
    for qemu in qemus.into_iter().take(count) {
        for seed in 1..=seeds {
            let mut field = Field::on(qemu.clone());
            field.random = seed;
            // Where the guest discards nothing, newer QEMUs' own jobs are the way.
            field.discards = seed % 2 == 1;
            live(field, generations);
        }
    }
}
