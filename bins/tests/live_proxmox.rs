//! A guest as Proxmox VE runs it: with throttle nodes above its disks, one monitor, which Proxmox needs for each of its
//! own commands, and a configuration that locks it. Proxmox itself cannot be had here.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fleece_lab::{Machine, MachineBuilder, Qemu};
use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{Cont, QueryVersion};
use serde_json::json;
use support::Bench;
use support::running::Running;

const SIZE: u64 = 24 << 20;
const CONFIG: &str = "#a note\nmemory: 512\nname: web\n";

struct Host {
    machine: Machine,
    bench: Bench,
}

/// A disk as Proxmox VE 9 writes it on QEMU's command line: a throttle node with the drive's name above nodes whose names
/// are hashes.
fn disk(builder: MachineBuilder, number: usize) -> MachineBuilder {
    let image = builder.folder().join(format!("vm-100-disk-{number}.raw"));
    fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
    let cache = json!({ "direct": false, "no-flush": false });
    let hash = format!("{number}0e1d2c3b4a5968778695a4b3c2d1e");
    let file = json!({
        "aio": "threads", "cache": cache, "detect-zeroes": "on", "discard": "ignore", "driver": "file",
        "filename": image, "node-name": format!("e{hash}"),
    });
    let format = json!({
        "cache": cache, "detect-zeroes": "on", "discard": "ignore", "driver": "raw", "file": file,
        "node-name": format!("f{hash}"), "read-only": false,
    });
    let drive = format!("drive-scsi{number}");
    let group = format!("throttle-{drive}");
    let node = json!({
        "detect-zeroes": "on", "discard": "ignore", "driver": "throttle", "file": format, "node-name": drive,
        "read-only": false, "throttle-group": group,
    });
    let object = json!({ "id": group, "limits": {}, "qom-type": "throttle-group" });
    let device = format!(
        "scsi-hd,bus=scsihw0.0,scsi-id={number},drive={drive},id=scsi{number},device_id={drive},write-cache=on"
    );
    builder
        .option("-object", object.to_string())
        .option("-blockdev", node.to_string())
        .option("-device", device)
}

impl Host {
    fn new(qemu: &Qemu) -> Self {
        let bench = Bench::new();
        for name in ["qemu-server", "configs", "configs/qemu-server"] {
            fs::create_dir(bench.path(name)).unwrap();
        }
        let monitor = bench.path("qemu-server/100.qmp");
        let monitor = format!(
            "socket,id=qmp,path={},server=on,wait=off",
            monitor.display()
        );
        let builder = Machine::builder(qemu).unwrap();
        let builder = builder
            .option("-name", "web,debug-threads=on")
            .option("-chardev", monitor)
            .option("-mon", "chardev=qmp,mode=control")
            .option("-device", "virtio-scsi-pci,id=scsihw0");
        let machine = disk(disk(builder, 0), 1).start().unwrap();
        let host = Self { machine, bench };
        host.client().execute(&Cont {}).unwrap();
        fs::write(host.config(), CONFIG).unwrap();
        host.write("write -P 0x11 0 24M");
        host
    }

    /// By a monitor that Proxmox does not have.
    fn client(&self) -> Client {
        Client::connect_unix(self.machine.test_socket()).unwrap()
    }

    /// Writes to both disks, as the guest would.
    fn write(&self, command: &str) {
        for disk in ["scsi0", "scsi1"] {
            let line = format!("qemu-io -d {disk} \"{command}\"");
            let arguments = json!({ "command-line": line });
            let said = self
                .client()
                .execute_raw("human-monitor-command", Some(arguments));
            let said = said.unwrap().to_string();
            assert!(!said.contains("rror") && !said.contains("failed"), "{said}");
        }
    }

    fn monitor(&self) -> PathBuf {
        self.bench.path("qemu-server/100.qmp")
    }

    fn config(&self) -> PathBuf {
        self.bench.path("configs/qemu-server/100.conf")
    }

    fn command(&self, mut command: Command) -> Command {
        command
            .arg("--config-dir")
            .arg(self.config().parent().unwrap());
        command.args(["--vmid", "100"]);
        command
    }

    fn backup(&self) -> Command {
        self.command(self.bench.backup(&self.monitor()))
    }

    fn is_locked(&self) -> bool {
        fs::read_to_string(self.config())
            .unwrap()
            .contains("lock: backup\n")
    }

    fn assert_as_before(&self) {
        assert_eq!(fs::read_to_string(self.config()).unwrap(), CONFIG);
        self.bench.assert_clean(&self.machine.test_socket());
    }
}

/// Asks QEMU something, as often as Proxmox does with several guests, until `ends`; gives how long it waited at most.
fn poll(host: &Host, ends: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    while !ends.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let client = Client::connect_unix(host.monitor()).unwrap();
        client.execute(&QueryVersion {}).unwrap();
        drop(client);
        longest = longest.max(begun.elapsed());
        thread::sleep(Duration::from_millis(300));
    }
    longest
}

#[test]
fn proxmox_never_waits_for_the_monitor_and_finds_the_guest_locked() {
    // Proxmox has no QEMU as old as 7.2.
    for qemu in fleece_lab::qemus().into_iter().skip(1) {
        let host = Host::new(&qemu);
        let daemon = UnixListener::bind(host.bench.path("qmeventd.sock")).unwrap();
        let mut running = Running::start(host.backup().args(["--bwlimit", "12M"]));
        // What ends QEMU when the guest powers down is held.
        let (mut held, _) = daemon.accept().unwrap();
        let mut handshake = [0; 64];
        let length = held.read(&mut handshake).unwrap();
        assert_eq!(&handshake[..length], br#"{"vzdump":{"vmid":"100"}}"#);
        running.until("copy-before-write is active");
        held.set_nonblocking(true).unwrap();
        let goes_on = held.read(&mut handshake).unwrap_err();
        assert_eq!(goes_on.kind(), ErrorKind::WouldBlock);
        assert!(host.is_locked());
        let ends = AtomicBool::new(false);
        let waited = thread::scope(|scope| {
            let polling = scope.spawn(|| poll(&host, &ends));
            host.write("write -P 0x55 4M 12M");
            let ended = running.end();
            ends.store(true, Ordering::Relaxed);
            ended.expect(0, &["the guest was not stopped"]);
            polling.join().unwrap()
        });
        // Its clients give up after five seconds.
        assert!(waited < Duration::from_millis(4500), "{waited:?}");
        assert_eq!(held.read(&mut handshake).unwrap(), 0, "it is let go");
        for mut disk in host.bench.restore() {
            let mut data = Vec::new();
            disk.read_to_end(&mut data).unwrap();
            assert!(data.len() as u64 == SIZE && data.iter().all(|byte| *byte == 0x11));
        }
        host.assert_as_before();
    }
}

#[test]
fn a_guest_that_proxmox_has_locked_is_left_alone() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let host = Host::new(&qemu);
    fs::write(host.config(), "lock: migrate\nmemory: 512\n").unwrap();
    let output = host.backup().output().unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("locked the guest (migrate)"), "{said}");
    host.bench.assert_no_archive();
    assert_eq!(
        fs::read_to_string(host.config()).unwrap(),
        "lock: migrate\nmemory: 512\n"
    );
    host.bench.assert_clean(&host.machine.test_socket());
}

#[test]
fn what_a_killed_backup_has_locked_is_unlocked_by_the_clean_up() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let host = Host::new(&qemu);
    let mut running = Running::start(host.backup().args(["--bwlimit", "1M"]));
    running.until("copy-before-write is active");
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    assert!(host.is_locked());
    let mut cleanup = host.command(host.bench.fleece("cleanup"));
    let output = cleanup.arg("--qmp").arg(host.monitor()).output().unwrap();
    let said = support::text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("lock of the guest"), "{said}");
    host.assert_as_before();
    host.bench.assert_no_archive();
}
