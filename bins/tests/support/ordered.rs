//! A program in the guest that writes to its disks in order: it shows whether a backup is of one instant,
//! and what the guest felt of it.

use std::fs::File;
use std::time::{Duration, Instant};

use fleece_lab::order::{self, Report};
use fleece_lab::{Background, Guest};
use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{QueryBlockStats, QueryStatus};
use serde_json::Value;

const SLOTS: u64 = 256;

/// The longest that a guest's write may take here: a machine without KVM that runs other tests, too, is
/// slow, but a write that waits for a clean-up would wait for ever.
const LONGEST_WRITE: Duration = Duration::from_secs(20);

/// Starts `writer seq` on `disks`, such as `/dev/disk0 /dev/disk1`, and waits until it has written to
/// the last of them.
pub(crate) fn write<'a>(guest: &'a Guest, threads: u32, disks: &str) -> Background<'a> {
    let line = format!("writer seq 0 {threads} {SLOTS} {disks}");
    let writer = guest.spawn(&line).unwrap();
    let last = disks.split(' ').next_back().unwrap();
    let written = format!("dd if={last} bs=4096 count=1 iflag=direct 2>/dev/null | grep -q FLEECE");
    let line = format!("until {written}; do :; done");
    guest.run(&line, Duration::from_secs(60)).unwrap();
    writer
}

/// The disks, out of an archive, are as they were at one instant.
pub(crate) fn assert_one_instant(disks: &mut [File], threads: u32, when: &str) -> Report {
    let report = order::check(disks, threads, SLOTS).unwrap();
    assert!(report.is_one_instant(), "{when}: {report}");
    report
}

/// The guest's programs get writes done: it is not stopped, and no write hangs.
pub(crate) fn assert_writes_on(guest: &Guest, when: &str) {
    let client = Client::connect_unix(guest.test_socket()).unwrap();
    let writes = || -> u64 {
        let stats = client.execute(&QueryBlockStats { query_nodes: None });
        stats
            .unwrap()
            .iter()
            .map(|disk| disk.stats.wr_operations)
            .sum()
    };
    let (before, start) = (writes(), Instant::now());
    while writes() < before + 10 {
        // It may stand still for a moment yet: QEMU works off a switch after our end.
        let running = client.execute(&QueryStatus {}).unwrap().running;
        let late = start.elapsed() >= LONGEST_WRITE;
        assert!(
            !late,
            "{when}: no write is done; does the guest run? {running}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The program `writer seq` had no error and no write that took too long.
pub(crate) fn assert_wrote_well(writer: Background<'_>) {
    let wrote = writer.stop(Duration::from_secs(60)).unwrap();
    assert!(!wrote.to_lowercase().contains("error"), "{wrote}");
    for line in wrote.lines() {
        let Ok(Value::Object(line)) = serde_json::from_str(line) else {
            continue;
        };
        let slow = line.get("slow_ms").and_then(Value::as_u64).unwrap_or(0);
        assert!(u128::from(slow) < LONGEST_WRITE.as_millis(), "{wrote}");
        if slow > 0 {
            eprintln!("a write of the guest took {slow} ms");
        }
    }
}
