//! Disks that were moved to another node, another device or another QEMU since the last archive.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use fleece_lab::{Machine, MachineBuilder, Qemu};
use fleece_qmp_client::Client;
use serde_json::{Value, json};

use super::{Field, SIZE};
use crate::support::backed_up::Said;
use crate::support::ended::Ended;
use crate::support::{self, Bench};

impl Field {
    /// Mirrors disk 0 to another image, which takes the place of its own.
    fn mirror(&self) {
        let image = self.bench.path("moved.raw");
        let file = fs::File::create(&image).unwrap();
        file.set_len(SIZE).unwrap();
        let file = json!({"driver": "file", "filename": image});
        let node = json!({"driver": "raw", "node-name": "moved", "file": file});
        self.execute("blockdev-add", node);
        self.execute(
            "blockdev-mirror",
            json!({
                "job-id": "mirror", "device": "disk0", "target": "moved",
                "replaces": "disk0-format", "sync": "full", "auto-dismiss": false,
            }),
        );
        self.until("ready");
        self.io(0, &["write -P 0x47 2M 100k"]);
        self.execute("job-complete", json!({"id": "mirror"}));
        self.until("concluded");
        self.execute("job-dismiss", json!({"id": "mirror"}));
    }

    /// Waits for the only job.
    fn until(&self, status: &str) {
        loop {
            let client = Client::connect_unix(self.daemon.test_socket()).unwrap();
            let jobs = client.execute_raw("query-jobs", None).unwrap();
            assert!(jobs[0]["error"].is_null(), "{jobs}");
            if jobs[0]["status"] == status {
                return;
            }
            // The monitor serves one at a time.
            drop(client);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn the_bitmap_of_a_disk_that_was_mirrored_elsewhere_is_not_believed() {
    let Some(mut field) = Field::new() else {
        return;
    };
    let none = ["--compress", "none"];
    field.checked(&none);
    field.change(0, 5);
    field.mirror();
    field.change(0, 5);
    let said = field.checked(&none);
    super::expect_first_in_full(&said, "there is none");
    assert_eq!(said.code, Some(0), "{}", said.text);
    field.change(0, 5);
    assert_eq!(field.checked(&none).by_bitmap(), 2);
}

/// QEMU with one disk and no guest.
struct Host(Machine);

impl Host {
    fn start(qemu: &Qemu, image: &Path, more: &[(&str, &str)]) -> Self {
        let builder = Machine::builder(qemu)
            .unwrap()
            .option("-blockdev", Self::node(image).to_string())
            .option("-device", "virtio-scsi-pci,id=hba")
            .option("-device", "scsi-hd,bus=hba.0,id=scsi0,drive=disk");
        let option =
            |builder: MachineBuilder, (name, value): &(&str, &str)| builder.option(name, *value);
        Self(more.iter().fold(builder, option).start().unwrap())
    }

    fn node(image: &Path) -> Value {
        let file = json!({"driver": "file", "filename": image});
        json!({"driver": "raw", "node-name": "disk", "file": file})
    }

    fn execute(&self, command: &str, arguments: Value) -> Value {
        let client = Client::connect_unix(self.0.test_socket()).unwrap();
        client.execute_raw(command, Some(arguments)).unwrap()
    }

    fn write(&self, value: u8) {
        let line = format!("qemu-io -d scsi0 \"write -P {value} 1M 3M\"");
        let line = json!({"command-line": line});
        let said = self.execute("human-monitor-command", line).to_string();
        assert!(!said.contains("rror"), "{said}");
    }

    /// A backup, whose archive must have what was written last.
    fn backup(&self, bench: &Bench, value: u8) -> Said {
        self.write(value);
        let mut command = bench.fleece("backup");
        command.args(["--json", "--vmid", "7", "--incremental", "--qmp"]);
        command.arg(self.0.qmp_socket());
        command.arg("--to").arg(bench.path("archives"));
        command.arg("--fleecing").arg(bench.path("fleecing"));
        let said = Said::of(Ended::of(&mut command));
        assert_eq!(said.code, Some(0), "{}", said.text);
        let mut there = vec![0; 3 << 20];
        let disks = support::restore(&said.archive());
        disks[0].read_exact_at(&mut there, 1 << 20).unwrap();
        assert!(there.iter().all(|byte| *byte == value), "{}", said.text);
        said
    }
}

#[test]
fn the_bitmap_of_a_disk_that_was_replugged_or_migrated_is_not_believed() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let image = bench.path("disk.raw");
    fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
    let host = Host::start(&qemu, &image, &[]);
    let in_full = |said: &Said, reason: &str| {
        assert!(said.text.contains(reason), "{reason}: {}", said.text);
        assert_eq!(said.by_bitmap(), 0, "{}", said.text);
    };
    host.backup(&bench, 1);
    assert_eq!(host.backup(&bench, 2).by_bitmap(), 1);
    host.execute("device_del", json!({"id": "scsi0"}));
    let removed = || {
        let client = Client::connect_unix(host.0.test_socket()).unwrap();
        let node = json!({"node-name": "disk"});
        client.execute_raw("blockdev-del", Some(node)).is_ok()
    };
    // QEMU lets go of a device a little later.
    while !removed() {
        std::thread::sleep(Duration::from_millis(10));
    }
    host.execute("blockdev-add", Host::node(&image));
    let device = json!({"driver": "scsi-hd", "bus": "hba.0", "id": "scsi0", "drive": "disk"});
    host.execute("device_add", device);
    in_full(&host.backup(&bench, 3), "the disk replugged");
    assert_eq!(host.backup(&bench, 4).by_bitmap(), 1);
    // Even if bitmaps go along: nobody knows what has happened in between.
    let next = Host::start(&qemu, &image, &[("-incoming", "defer")]);
    let address = format!("unix:{}", bench.path("migration").display());
    for host in [&host, &next] {
        let along = json!({"capability": "dirty-bitmaps", "state": true});
        host.execute("migrate-set-capabilities", json!({"capabilities": [along]}));
    }
    next.execute("migrate-incoming", json!({"uri": address}));
    host.execute("migrate", json!({"uri": address}));
    let completed = |host: &Host| {
        let state = host.execute("query-migrate", json!({}));
        assert_ne!(state["status"], "failed", "{state}");
        state["status"] == "completed"
    };
    while !(completed(&host) && completed(&next)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(host);
    next.execute("cont", json!({}));
    let nodes = next.execute("query-named-block-nodes", json!({"flat": true}));
    assert!(nodes.to_string().contains("\"fleece-"), "{nodes}");
    in_full(&next.backup(&bench, 5), "it is another QEMU process");
    assert_eq!(next.backup(&bench, 6).by_bitmap(), 1);
}
