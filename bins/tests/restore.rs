//! `fleece restore`: an archive becomes a guest again, or nothing is left.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::Bench;

const SCSI: usize = (3 << 20) + 4096;
const VIRTIO: usize = 1 << 20;

/// An archive of a guest with two disks, a host with two storages, and the disks' contents.
struct Host {
    bench: Bench,
    disks: [Vec<u8>; 2],
}

const CONFIG: &str = "#A guest.\nagent: 1\ncores: 2\nscsi0: gone:vm-100-disk-0,discard=on,size=3076K\n\
                      virtio1: gone:vm-100-disk-1,size=1M\n\
                      net0: virtio=BC:24:11:00:00:01,bridge=vmbr0\n\
                      smbios1: uuid=6f1c9e0a-3a52-4d0e-9c0b-2f6f0b6a1d01\nx-unknown: kept\n\
                      #qmdump#map:scsi0:drive-scsi0:gone:raw:\n#qmdump#map:virtio1:drive-virtio1:gone:raw:\n";

impl Host {
    fn new() -> Self {
        Self::with(CONFIG)
    }

    fn with(config: &str) -> Self {
        Self::with_rules(config, None)
    }

    /// The archive may have firewall rules.
    fn with_rules(config: &str, rules: Option<&str>) -> Self {
        let bench = Bench::new();
        for storage in ["fast", "slow", "configs"] {
            fs::create_dir(bench.path(storage)).unwrap();
        }
        let (fast, slow) = (bench.path("fast"), bench.path("slow"));
        let storages = format!(
            "dir: fast\n\tpath {0}\n\tcontent images\n\ndir: slow\n\tpath {1}\n\tcontent images\n\n\
             dir: isos\n\tpath {1}\n\tcontent iso,backup\n",
            fast.display(),
            slow.display()
        );
        fs::write(bench.path("storage.cfg"), storages).unwrap();
        fs::write(bench.path("qemu-server.conf"), config).unwrap();
        if let Some(rules) = rules {
            fs::write(bench.path("qemu-server.fw"), rules).unwrap();
        }
        let mut scsi = vec![0; SCSI];
        scsi[70_000..200_000].fill(0x11);
        scsi[SCSI - 4096..].fill(0x22);
        let mut virtio = vec![0x33; VIRTIO];
        virtio[65_536..131_072].fill(0);
        let disks = [scsi, virtio];
        for (n, disk) in disks.iter().enumerate() {
            fs::write(bench.path(&format!("disk{n}")), disk).unwrap();
        }
        let host = Self { bench, disks };
        let disk = |n: usize| host.bench.path(&format!("disk{n}"));
        support::succeed(
            Command::new(env!("CARGO_BIN_EXE_vma"))
                .arg("create")
                .arg(host.archive())
                .arg("-c")
                .arg(host.bench.path("qemu-server.conf"))
                .args(rules.map(|_| "-c"))
                .args(rules.map(|_| host.bench.path("qemu-server.fw")))
                .arg(format!("drive-scsi0={}", disk(0).display()))
                .arg(format!("drive-virtio1={}", disk(1).display())),
        );
        host
    }

    fn archive(&self) -> PathBuf {
        self.bench.path("archives").join("vzdump-qemu-100-x.vma")
    }

    fn restore(&self) -> Command {
        let mut command = self.bench.fleece("restore");
        command
            .arg("--config-dir")
            .arg(self.bench.path("configs"))
            .arg("--storage-config")
            .arg(self.bench.path("storage.cfg"))
            .args(["--vmid", "9"]);
        command
    }

    fn config(&self) -> PathBuf {
        self.bench.path("configs").join("9.conf")
    }

    fn volume(&self, storage: &str, name: &str) -> PathBuf {
        self.bench.path(storage).join("images/9").join(name)
    }

    /// The guest's volumes on a storage.
    fn volumes(&self, storage: &str) -> Vec<PathBuf> {
        let images = self.bench.path(storage).join("images/9");
        if images.exists() {
            support::entries(&images)
        } else {
            Vec::new()
        }
    }

    /// No volume, no configuration, no record.
    fn assert_nothing_made(&self) {
        for storage in ["fast", "slow"] {
            let left = self.volumes(storage);
            assert!(left.is_empty(), "{left:?}");
        }
        assert!(!self.config().exists());
        assert!(support::entries(&self.bench.path("state")).is_empty());
    }

    /// Runs it and checks exit code and message; nothing may be left.
    fn refused(&self, command: &mut Command, code: i32, words: &[&str]) {
        let output = command.output().unwrap();
        let said = support::text(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "'{word}' is missing: {said}");
        }
        self.assert_nothing_made();
    }
}

#[test]
fn a_guest_comes_back_with_its_disks_and_its_configuration() {
    let host = Host::new();
    let output =
        support::succeed(
            host.restore()
                .arg(host.archive())
                .args(["--storage", "fast", "--json"]),
        );
    let result = support::result(&output);
    assert_eq!(result["disks"]["drive-scsi0"], "fast:9/vm-9-disk-0.raw");
    for (n, disk) in host.disks.iter().enumerate() {
        let restored = fs::read(host.volume("fast", &format!("vm-9-disk-{n}.raw"))).unwrap();
        assert!(restored == *disk, "disk {n}");
    }
    let config = fs::read_to_string(host.config()).unwrap();
    for line in [
        "#A guest.",
        "scsi0: fast:9/vm-9-disk-0.raw,discard=on,size=3076K",
        "virtio1: fast:9/vm-9-disk-1.raw,size=1M",
        "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0",
        "x-unknown: kept",
    ] {
        assert!(config.lines().any(|has| has == line), "{line}: {config}");
    }
    assert!(!config.contains("#qmdump#map"), "{config}");
    assert!(support::entries(&host.bench.path("state")).is_empty());
}

#[test]
fn its_firewall_rules_come_with_it_or_a_warning() {
    let rules = "[OPTIONS]\nenable: 1\n";
    let host = Host::with_rules(CONFIG, Some(rules));
    let firewall = host.bench.path("firewall");
    fs::create_dir(&firewall).unwrap();
    let mut restore = host.restore();
    restore.arg("--firewall-dir").arg(&firewall);
    support::succeed(restore.arg(host.archive()).args(["--storage", "fast"]));
    assert_eq!(fs::read_to_string(firewall.join("9.fw")).unwrap(), rules);
    assert_eq!(support::entries(&firewall).len(), 1);

    let host = Host::with_rules(CONFIG, Some(rules));
    let mut restore = host.restore();
    let output = restore.arg(host.archive()).args(["--storage", "fast"]);
    let output = output.output().unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("--firewall-dir"), "{said}");
}

#[test]
fn a_guest_that_cannot_be_written_leaves_firewall_rules_as_they_were() {
    for before in [None, Some("# of before\n")] {
        let host = Host::with_rules(CONFIG, Some("[OPTIONS]\nenable: 1\n"));
        let firewall = host.bench.path("firewall");
        fs::create_dir(&firewall).unwrap();
        if let Some(before) = before {
            fs::write(firewall.join("9.fw"), before).unwrap();
        }
        // Somebody makes a guest of that number while the archive comes.
        let mut restore = host.restore();
        restore.args(["-", "--storage", "fast"]);
        restore.arg("--firewall-dir").arg(&firewall);
        restore.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut restore = restore.spawn().unwrap();
        let archive = fs::read(host.archive()).unwrap();
        let mut pipe = restore.stdin.take().unwrap();
        let (first, rest) = archive.split_at(archive.len() / 2);
        pipe.write_all(first).unwrap();
        while host.volumes("fast").len() < 2 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        fs::write(host.config(), "name: another\n").unwrap();
        pipe.write_all(rest).unwrap();
        drop(pipe);
        let output = restore.wait_with_output().unwrap();
        let said = support::text(&output);
        assert!(said.contains("was changed by somebody else"), "{said}");
        let after = fs::read_to_string(firewall.join("9.fw")).ok();
        assert_eq!(after.as_deref(), before);
    }
}

#[test]
fn each_disk_goes_where_it_is_told_in_its_format_or_nowhere() {
    let host = Host::new();
    let output = host
        .restore()
        .arg(host.archive())
        .args(["--disk", "scsi0=slow:qcow2", "--disk", "drive-virtio1=skip"])
        .output()
        .unwrap();
    // A disk that is left out is worth a warning.
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("virtio1"), "{said}");
    let image = host.volume("slow", "vm-9-disk-0.qcow2");
    let raw = host.bench.path("raw");
    support::succeed(
        Command::new("qemu-img")
            .args(["convert", "-f", "qcow2", "-O", "raw"])
            .args([&image, &raw]),
    );
    assert!(fs::read(&raw).unwrap() == host.disks[0]);
    assert!(!host.bench.path("fast").join("images").exists());
    let config = fs::read_to_string(host.config()).unwrap();
    assert!(
        config.contains("scsi0: slow:9/vm-9-disk-0.qcow2,"),
        "{config}"
    );
    assert!(
        !config.lines().any(|line| line.starts_with("virtio1:")),
        "{config}"
    );
}

#[test]
fn a_template_becomes_a_guest() {
    let host = Host::with(&format!("{CONFIG}template: 1\n"));
    let output = host
        .restore()
        .arg(host.archive())
        .args(["--storage", "fast"])
        .output()
        .unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("it was a template"), "{said}");
    let config = fs::read_to_string(host.config()).unwrap();
    assert!(!config.contains("template"), "{config}");
    // So that it can be replaced.
    let output = host
        .restore()
        .arg(host.archive())
        .args(["--storage", "fast", "--force"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", support::text(&output));
}

#[test]
fn an_archive_from_a_pipe_makes_a_guest_of_its_own() {
    let host = Host::new();
    let archive = fs::read(host.archive()).unwrap();
    let mut child = host
        .restore()
        .args(["-", "--storage", "fast", "--unique"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&archive).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", support::text(&output));
    assert!(fs::read(host.volume("fast", "vm-9-disk-1.raw")).unwrap() == host.disks[1]);
    let config = fs::read_to_string(host.config()).unwrap();
    assert!(config.contains("net0: virtio=BC:24:11:"), "{config}");
    assert!(!config.contains("BC:24:11:00:00:01"), "{config}");
    assert!(!config.contains("6f1c9e0a"), "{config}");
}

#[test]
fn a_guest_that_is_there_is_replaced_only_by_force_and_its_disks_go_last() {
    let host = Host::new();
    support::succeed(
        host.restore()
            .arg(host.archive())
            .args(["--storage", "fast"]),
    );
    let before = fs::read_to_string(host.config()).unwrap();
    let output = host
        .restore()
        .arg(host.archive())
        .args(["--storage", "fast"])
        .output()
        .unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("--force"), "{said}");

    // By force, but from an archive that turns out to be damaged: the guest is as it was.
    let mut damaged = fs::read(host.archive()).unwrap();
    damaged.truncate(damaged.len() - 70_000);
    let broken = host.bench.path("broken.vma");
    fs::write(&broken, damaged).unwrap();
    let output = host
        .restore()
        .arg(&broken)
        .args(["--storage", "fast", "--force"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", support::text(&output));
    assert_eq!(fs::read_to_string(host.config()).unwrap(), before);
    assert_eq!(host.volumes("fast").len(), 2);

    support::succeed(
        host.restore()
            .arg(host.archive())
            .args(["--storage", "slow", "--force"]),
    );
    assert!(host.volumes("fast").is_empty());
    assert!(fs::read(host.volume("slow", "vm-9-disk-0.raw")).unwrap() == host.disks[0]);
    let config = fs::read_to_string(host.config()).unwrap();
    assert!(
        config.contains("scsi0: slow:9/vm-9-disk-0.raw,"),
        "{config}"
    );
    assert!(!config.contains("unused"), "{config}");
}

#[test]
fn what_cannot_be_restored_leaves_nothing() {
    let host = Host::new();
    let archive = host.archive();
    let nowhere = host.bench.path("nowhere.vma");
    host.refused(
        host.restore().arg(&nowhere).args(["--storage", "fast"]),
        1,
        &["cannot open the archive", "nowhere.vma"],
    );
    host.refused(
        host.restore()
            .arg(host.bench.path("qemu-server.conf"))
            .args(["--storage", "fast"]),
        4,
        &["the archive is damaged, or is none"],
    );
    host.refused(
        host.restore().arg(&archive).args(["--storage", "nosuch"]),
        6,
        &["cannot use the storage nosuch"],
    );
    host.refused(
        host.restore().arg(&archive).args(["--storage", "isos"]),
        6,
        &[
            "the storage isos is not for disks",
            "add images to its content",
        ],
    );
    // The storage that the archive names is not on this host.
    host.refused(
        host.restore().arg(&archive),
        6,
        &["cannot use the storage gone"],
    );
    host.refused(
        host.restore()
            .arg(&archive)
            .args(["--storage", "fast", "--disk", "scsi9=skip"]),
        1,
        &["no disk 'scsi9'", "drive-scsi0, drive-virtio1"],
    );
    host.refused(
        host.restore()
            .arg(&archive)
            .args(["--storage", "fast", "--disk", "scsi0=fast:vmdk"]),
        2,
        &["'vmdk' is no format"],
    );
    let mut flipped = fs::read(&archive).unwrap();
    let length = flipped.len();
    flipped.truncate(length - 70_000);
    let cut = host.bench.path("cut.vma");
    fs::write(&cut, flipped).unwrap();
    host.refused(
        host.restore().arg(&cut).args(["--storage", "fast"]),
        4,
        &[
            "freed the volume fast:9/vm-9-disk-0.raw",
            "nothing of it was restored",
        ],
    );
}

#[test]
fn a_restore_that_was_killed_is_removed_by_the_clean_up() {
    let host = Host::new();
    let mut child = host
        .restore()
        .args(["-", "--storage", "fast"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Half an archive, and no end of the pipe: it waits for the rest.
    let archive = fs::read(host.archive()).unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&archive[..archive.len() / 2]).unwrap();
    let made = host.volume("fast", "vm-9-disk-1.raw");
    while !made.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(made.exists());
    let mut cleanup = host.bench.fleece("cleanup");
    cleanup
        .arg("--storage-config")
        .arg(host.bench.path("storage.cfg"));
    let said = support::text(&support::succeed(cleanup.arg("--all")));
    assert!(said.contains("of an unfinished restore"), "{said}");
    host.assert_nothing_made();
}

#[test]
fn a_signal_ends_a_restore_that_waits_for_a_pipe() {
    let host = Host::new();
    let mut child = host
        .restore()
        .args(["-", "--storage", "fast"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let archive = fs::read(host.archive()).unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&archive[..archive.len() / 2]).unwrap();
    while !host.volume("fast", "vm-9-disk-1.raw").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::yield_now();
    }
    support::signal(child.id(), "-TERM");
    let output = child.wait_with_output().unwrap();
    drop(pipe);
    assert_eq!(
        output.status.code(),
        Some(143),
        "{}",
        support::text(&output)
    );
    host.assert_nothing_made();
}
