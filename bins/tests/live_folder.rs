//! What `fleece restore --to` makes, on real QEMUs: the script starts a guest, with all of its devices.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fleece_lab::{Disk, Guest, Interface, Qemu};
use fleece_qmp_client::Client;
use serde_json::Value;
use support::Bench;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_guest_that_was_backed_up_while_it_ran_starts_by_its_script() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let guest = Guest::builder(&qemu)
        .disk(Disk::raw(16 << 20).interface(Interface::VirtioBlk))
        .disk(Disk::raw(16 << 20).interface(Interface::VirtioScsi))
        .boot()
        .unwrap();
    for disk in ["disk0", "disk1"] {
        let line = format!("echo 'I am {disk}' | dd of=/dev/{disk} conv=sync oflag=direct bs=4096");
        guest.run(&line, SOON).unwrap();
    }
    let said = support::succeed(&mut bench.backup(&guest.qmp_socket()));
    drop(guest);
    // The lab's guests are started by QEMU itself from a kernel.
    let said = support::text(&said);
    assert!(said.contains("starts from the kernel"), "{said}");
    let mut record = Command::new(env!("CARGO_BIN_EXE_vma"));
    record.arg("config").arg(bench.archive());
    let record = support::succeed(record.args(["-c", "fleece-machine.json"]));
    let record = String::from_utf8_lossy(&record.stdout).into_owned();
    for field in ["\"kernel\"", "\"initrd\"", "\"append\""] {
        assert!(record.contains(field), "{field}: {record}");
    }

    for machine in ["pc", "q35"] {
        // The archive has no configuration: another one is made of its disks, with one.
        let config = format!(
            "machine: {machine}\nmemory: 256\ncores: 2\nscsihw: virtio-scsi-single\n\
             virtio0: l:vm-1-disk-0,serial=disk0\nscsi3: l:vm-1-disk-1,serial=disk1,discard=on\n\
             net0: virtio=BC:24:11:00:00:01,bridge=vmbr0\nagent: 1\n"
        );
        let file = bench.path("qemu-server.conf");
        fs::write(&file, config).unwrap();
        let parts = bench.path(&format!("parts-{machine}"));
        let mut extract = Command::new(env!("CARGO_BIN_EXE_vma"));
        support::succeed(extract.arg("extract").arg(bench.archive()).arg(&parts));
        let mut disks = support::entries(&parts);
        disks.retain(|path| path.extension().is_some_and(|ending| ending == "raw"));
        assert_eq!(disks.len(), 2, "{disks:?}");
        let archive = bench.path(&format!("{machine}.vma"));
        let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
        create.arg("create").arg(&archive).arg("-c").arg(&file);
        for (name, disk) in ["drive-virtio0", "drive-scsi3"].iter().zip(&disks) {
            create.arg(format!("{name}={}", disk.display()));
        }
        support::succeed(&mut create);

        let folder = bench.path(machine);
        let mut restore = bench.fleece("restore");
        restore.arg(&archive).arg("--to").arg(&folder);
        support::succeed(restore.args(["--format", "qcow2"]));
        let interfaces = [Interface::VirtioBlk, Interface::VirtioScsi];
        let guest = Guest::builder(&qemu)
            .started_by(folder.join("start.sh"), &interfaces)
            .boot()
            .unwrap();
        let read = |disk: &str| guest.run(&format!("head -n 1 /dev/{disk}"), SOON).unwrap();
        let mut lines = [read("disk0"), read("disk1")];
        lines.sort();
        assert_eq!(lines, ["I am disk0\n", "I am disk1\n"], "{machine}");

        // It can be backed up again, under the names that it had.
        let again = bench.path(&format!("again-{machine}.vma"));
        let mut backup = bench.fleece("backup");
        backup.arg("--qmp").arg(folder.join("qmp.sock"));
        backup.args(["--vmid", "7", "--compress", "none", "--to"]);
        support::succeed(backup.arg(&again));
        let mut list = Command::new(env!("CARGO_BIN_EXE_vma"));
        let list = support::succeed(list.arg("list").arg(&again));
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        for name in ["drive-virtio0", "drive-scsi3"] {
            assert!(list.contains(name), "{list}");
        }
    }
}

/// Every kind of device that is translated.
const DEVICES: &str = "memory: 64\nagent: 1\nvmgenid: 1\nserial0: socket\nvga: std\n\
    ide0: l:vm-1-disk-0\nide2: none,media=cdrom\nsata1: l:vm-1-disk-1,ssd=1,wwn=0x5000000000000001\n\
    scsi2: l:vm-1-disk-2,serial=two,ro=1\nscsi8: l:vm-1-disk-3,discard=on\nvirtio3: l:vm-1-disk-4\n\
    net0: virtio=BC:24:11:00:00:01,bridge=vmbr0\nnet1: e1000=BC:24:11:00:00:02,link_down=1\n\
    net2: rtl8139=BC:24:11:00:00:03\nnet3: vmxnet3=BC:24:11:00:00:04\nnet4: ne2k_isa=BC:24:11:00:00:05\n\
    net6: e1000-82544gc=BC:24:11:00:00:06\n\
    smbios1: uuid=11111111-2222-4333-8444-555555555555\nboot: order=scsi2;net0;ide2\n";

const KEYS: [&str; 5] = ["ide0", "sata1", "scsi2", "scsi8", "virtio3"];

#[test]
fn every_qemu_starts_with_every_kind_of_device() {
    let bench = Bench::new();
    let disk = bench.path("disk");
    fs::File::create(&disk).unwrap().set_len(1 << 20).unwrap();
    for (number, (machine, scsi)) in [
        ("pc", "lsi"),
        ("pc", "lsi53c810"),
        ("pc", "megasas"),
        ("q35", "pvscsi"),
        ("q35", "virtio-scsi-single"),
    ]
    .into_iter()
    .enumerate()
    {
        let config = bench.path("qemu-server.conf");
        let cpu = if number == 0 {
            "cpu: x86-64-v2-AES\n"
        } else {
            ""
        };
        fs::write(
            &config,
            format!("{DEVICES}machine: {machine}\nscsihw: {scsi}\n{cpu}"),
        )
        .unwrap();
        let archive = bench.path(&format!("{number}.vma"));
        let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
        create.arg("create").arg(&archive).arg("-c").arg(&config);
        create.args(KEYS.map(|key| format!("drive-{key}={}", disk.display())));
        support::succeed(&mut create);
        let folder = bench.path(&number.to_string());
        let mut restore = bench.fleece("restore");
        support::succeed(restore.arg(&archive).arg("--to").arg(&folder));
        for qemu in fleece_lab::qemus() {
            assert_has_all(&qemu, &folder);
        }
    }
}

/// Starts the script with a guest that stands still, and asks QEMU what it has.
fn assert_has_all(qemu: &Qemu, folder: &Path) {
    let path = format!(
        "{}:{}",
        qemu.programs().display(),
        std::env::var("PATH").unwrap()
    );
    let log = folder.join("log");
    // With -daemonize it returns when QEMU is there, whose standard error is then its own no more.
    let status = Command::new(folder.join("start.sh"))
        .args([
            "-machine",
            "accel=tcg",
            "-S",
            "-display",
            "none",
            "-daemonize",
        ])
        .env("PATH", path)
        .stdout(fs::File::create(&log).unwrap())
        .stderr(fs::File::options().append(true).open(&log).unwrap())
        .status()
        .unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert!(status.success(), "QEMU {}: {said}", qemu.version());
    let client = Client::connect_unix(folder.join("qmp.sock")).unwrap();
    let asked: Value = client.execute_raw("query-block", None).unwrap();
    let uuid = client.execute_raw("query-uuid", None).unwrap();
    let cards = client.execute_raw("query-rx-filter", None).unwrap();
    client.execute_raw("quit", None).unwrap();
    let devices = asked.as_array().unwrap();
    for key in KEYS {
        let device = devices.iter().find(|device| {
            let name = device["qdev"].as_str().unwrap_or_default();
            name.split('/').any(|part| part == key)
        });
        let device = device.unwrap_or_else(|| panic!("{key} is missing: {asked}"));
        let file = device["inserted"]["file"].as_str().unwrap();
        assert!(file.contains(&format!("disk-drive-{key}.raw")), "{file}");
        assert_eq!(device["inserted"]["ro"], key == "scsi2", "{key}");
    }
    assert_eq!(uuid["UUID"], "11111111-2222-4333-8444-555555555555");
    assert!(
        cards
            .to_string()
            .to_lowercase()
            .contains("bc:24:11:00:00:01"),
        "{cards}"
    );
}
