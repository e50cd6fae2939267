//! Disks whose commands go past QEMU's block layer, on a SCSI target of this machine's own.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use fleece_lab::{Machine, require, skip};
use support::Bench;
use support::ended::Ended;

const NAME: &str = "iqn.2026-01.org.example:disk";

/// A SCSI target with one disk, reached by iSCSI. It ends with the value.
struct Target {
    daemon: Child,
    port: u16,
}

impl Target {
    /// `None`, said loudly, where there can be none.
    fn start(image: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip("a SCSI target needs root");
            return None;
        }
        let program = require("tgtd")?;
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new(program);
        command.args(["-f", "-C", &control(port)]);
        command.args(["--iscsi", &format!("portal=127.0.0.1:{port}")]);
        let quiet = || std::process::Stdio::null();
        let daemon = command.stdout(quiet()).stderr(quiet()).spawn().unwrap();
        let target = Self { daemon, port };
        let image = image.to_str().unwrap();
        let start = Instant::now();
        // It cannot say when it listens.
        while !target.admin(&["new", "--mode", "target", "--tid", "1", "-T", NAME]) {
            assert!(start.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(50));
        }
        let unit = ["--mode", "logicalunit", "--tid", "1", "--lun", "1"];
        assert!(target.admin(&[["new"].as_slice(), &unit, &["-b", image]].concat()));
        assert!(target.admin(&["bind", "--mode", "target", "--tid", "1", "-I", "ALL"]));
        Some(target)
    }

    fn admin(&self, what: &[&str]) -> bool {
        let mut command = Command::new("tgtadm");
        command.args(["-C", &control(self.port), "--lld", "iscsi", "--op"]);
        command.args(what).output().unwrap().status.success()
    }
}

/// The number of the daemon's control socket, which is a short one.
fn control(port: u16) -> String {
    (port / 4).to_string()
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        for ending in ["", ".lock"] {
            let socket = format!("/var/run/tgtd/socket.{}{ending}", control(self.port));
            let _ = std::fs::remove_file(socket);
        }
    }
}

#[test]
fn passed_through_scsi_devices_are_refused_by_name_and_can_be_excluded() {
    let bench = Bench::new();
    let image = bench.path("image");
    File::create(&image).unwrap().set_len(1 << 20).unwrap();
    let Some(target) = Target::start(&image) else {
        return;
    };
    let disk = format!(
        "file=iscsi://127.0.0.1:{}/{NAME}/1,if=none,format=raw",
        target.port
    );
    for qemu in fleece_lab::qemus() {
        for kind in ["scsi-block", "scsi-generic"] {
            eprintln!("QEMU {}, {kind}", qemu.version());
            let machine = Machine::builder(&qemu).unwrap();
            let plain = machine.folder().join("plain");
            File::create(&plain).unwrap().set_len(1 << 20).unwrap();
            let plain = format!(
                "file={},if=none,format=raw,id=drive-virtio0",
                plain.display()
            );
            let machine = machine
                .option("-drive", plain)
                .option("-device", "virtio-blk-pci,drive=drive-virtio0")
                .option("-drive", format!("{disk},id=drive-scsi0"))
                .option("-device", "virtio-scsi-pci,id=c0")
                .option("-device", format!("{kind},drive=drive-scsi0,bus=c0.0"))
                .start()
                .unwrap();
            let mut backup = bench.backup(&machine.qmp_socket());
            let why = "past QEMU's block layer";
            Ended::of(&mut backup).expect(5, &["drive-scsi0", why, "--exclude scsi0"]);
            bench.assert_clean(&machine.test_socket());
            bench.assert_no_archive();
            Ended::of(backup.args(["--exclude", "scsi0"])).expect_code(0);
            bench.assert_clean(&machine.test_socket());
            std::fs::remove_dir_all(bench.path("archives")).unwrap();
            std::fs::create_dir(bench.path("archives")).unwrap();
        }
    }
}
