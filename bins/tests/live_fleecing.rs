//! Fleecing images on each kind of storage: made there, used by a live QEMU, given back while they are
//! read, and freed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

mod support;

use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fleece_lab::{Disk, GuestTree, LoopMount, Qemu, StorageDaemon};
use serde_json::Value;
use support::Bench;
use support::running::Running;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 16 * MIB;

#[test]
fn on_a_directory_on_ext4() {
    let mount = LoopMount::new("ext4");
    mount.inspect(|mount| fleeced_in("dir", mount.path()));
}

#[test]
fn on_a_directory_on_xfs() {
    let mount = LoopMount::new("xfs");
    mount.inspect(|mount| fleeced_in("dir", mount.path()));
}

#[test]
fn on_a_directory_on_btrfs() {
    let mount = LoopMount::new("btrfs");
    mount.inspect(|mount| fleeced_in("dir", mount.path()));
}

#[test]
fn on_btrfs_subvolumes() {
    let mount = LoopMount::new("btrfs");
    mount.inspect(|mount| fleeced_in("btrfs", mount.path()));
}

#[test]
fn on_a_directory_on_tmpfs() {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    fleeced_in("dir", memory.path());
}

/// Backs up a disk that is overwritten, with fleecing on a storage of that type at `path`.
fn fleeced_in(kind: &str, path: &Path) {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let config = bench.path("storage.cfg");
    let text = format!(
        "{kind}: fast\n\tpath {}\n\tcontent images\n",
        path.display()
    );
    std::fs::write(&config, text).unwrap();
    let disk = Disk::raw(SIZE).throttled();
    let daemon = StorageDaemon::builder(&qemu).disk(disk).export().start();
    let daemon = daemon.unwrap();
    let mut noise = vec![0; SIZE as usize];
    let mut random = std::fs::File::open("/dev/urandom").unwrap();
    random.read_exact(&mut noise).unwrap();
    std::fs::write(bench.path("noise"), &noise).unwrap();
    let fill = format!("write -s {} 0 {SIZE}", bench.path("noise").display());
    io(&qemu, &daemon, &fill);

    let mut command = bench.backup(&daemon.qmp_socket());
    command.arg("--nbd-server").arg(daemon.nbd_socket());
    command.arg("--storage-config").arg(&config);
    command.args(["--fleecing", "fast", "--vmid", "7", "--bwlimit", "4M"]);
    let mut running = Running::start(&mut command);
    running.until("\"done\":");
    io(
        &qemu,
        &daemon,
        &format!("write -P 0x55 {} {}", 10 * MIB, 4 * MIB),
    );
    let said = running.end().expect_code(0);

    let held = said.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["fleecing"].as_u64()
    });
    let held: Vec<u64> = held.collect();
    let (peak, last) = (*held.iter().max().unwrap(), *held.last().unwrap());
    eprintln!("{kind}: {peak} bytes at most, {last} at the end");
    assert!((3 * MIB..=5 * MIB).contains(&peak), "{said}");
    assert!(last <= MIB, "{said}");
    let mut restored = vec![0; SIZE as usize];
    bench.restore()[0].read_exact_at(&mut restored, 0).unwrap();
    assert!(restored == noise, "the archive has what was there before");
    bench.assert_clean(&daemon.qmp_socket());
    let left = support::succeed(Command::new("find").arg(path).args(["-name", "vm-7-*"]));
    assert!(left.stdout.is_empty(), "{}", support::text(&left));
}

fn io(qemu: &Qemu, daemon: &StorageDaemon, command: &str) {
    let mut io = qemu.io();
    support::succeed(io.args(["-f", "raw", "-c", command, &daemon.nbd_uri(0)]));
}

#[test]
fn on_thin_and_thick_logical_volumes() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let (Some(tree), Some(_)) = (GuestTree::with_lvm(), fleece_lab::require("strip")) else {
        return;
    };
    equip(&tree, &qemu);
    let guest = tree.boot_with_volume_group(&qemu, 256);
    for storage in ["thin", "thick"] {
        let trial = format!("PATH=/bin:/sbin chroot /mnt /bin/trial {storage} 2>&1 || true");
        let said = guest.run(&trial, Duration::from_secs(240)).unwrap();
        eprintln!("{storage}: {said}");
        assert!(
            said.contains("the archive has what was there before"),
            "{said}"
        );
        assert!(said.contains("nothing is left"), "{said}");
        let filled: Vec<f64> = said
            .lines()
            .filter_map(|line| line.strip_prefix("filled ")?.trim().parse().ok())
            .collect();
        if storage == "thin" {
            // A quarter of the disk was overwritten, and then read.
            let peak = filled.iter().copied().fold(0.0, f64::max);
            assert!((20.0..=30.0).contains(&peak), "{said}");
            assert!(*filled.last().unwrap() < 10.0, "{said}");
        }
    }
}

/// Adds what the guest needs to back up a disk of a QEMU of its own.
fn equip(tree: &GuestTree, qemu: &Qemu) {
    let folder = tempfile::tempdir().unwrap();
    for (name, program) in [
        ("fleece", env!("CARGO_BIN_EXE_fleece")),
        ("vma", env!("CARGO_BIN_EXE_vma")),
    ] {
        let small = folder.path().join(name);
        support::succeed(Command::new("strip").arg("-o").arg(&small).arg(program));
        tree.program(&small, &format!("/bin/{name}"));
    }
    tree.qemu(qemu, "qemu-storage-daemon");
    tree.qemu(qemu, "qemu-io");
    tree.script("/bin/trial", TRIAL);
    for name in [
        "dd",
        "grep",
        "sleep",
        "kill",
        "sha256sum",
        "cat",
        "rm",
        "cut",
        "sync",
    ] {
        tree.link("sh", &format!("/bin/{name}"));
    }
}

/// The same as `fleeced_in`, in the guest.
const TRIAL: &str = r#"
dd if=/dev/urandom of=/tmp/disk bs=1M count=16 2>/dev/null
before=$(sha256sum /tmp/disk | cut -d' ' -f1)
qemu-storage-daemon \
    --chardev socket,id=qmp,path=/tmp/qmp,server=on,wait=off --monitor chardev=qmp \
    --object throttle-group,id=group \
    --blockdev driver=file,filename=/tmp/disk,node-name=file \
    --blockdev driver=raw,file=file,node-name=format \
    --blockdev driver=throttle,throttle-group=group,file=format,node-name=disk \
    --nbd-server addr.type=unix,addr.path=/tmp/nbd \
    --export type=nbd,id=export,node-name=disk,name=disk,writable=on &
daemon=$!
until [ -S /tmp/nbd ] && [ -S /tmp/qmp ]; do sleep 0.1; done
# What an earlier backup said is not taken for this one's.
: >/tmp/said
fleece backup --qmp /tmp/qmp --nbd-server /tmp/nbd --vmid 7 --state-dir /tmp/state \
    --storage-config /etc/storage.cfg --fleecing $1 --to /tmp/archive.vma --compress none \
    --bwlimit 1M --json >/tmp/said 2>&1 &
backup=$!
until grep -q '"done":' /tmp/said || ! kill -0 $backup; do sleep 0.1; done
qemu-io -f raw -c 'write -P 0x55 6M 4M' 'nbd+unix:///disk?socket=/tmp/nbd' >/dev/null
while kill -0 $backup 2>/dev/null; do
    # What lies in the page cache fills no volume.
    sync
    filled=$(lvs --noheadings -o data_percent fleece/vm-7-fleece-0 2>/dev/null)
    [ -n "$filled" ] && echo "filled $filled"
    sleep 0.2
done
wait $backup && echo "the backup succeeded" || cat /tmp/said
kill $daemon
vma extract /tmp/archive.vma /tmp/out
after=$(sha256sum /tmp/out/disk-disk.raw | cut -d' ' -f1)
[ "$before" = "$after" ] && echo "the archive has what was there before"
lvs --noheadings -o lv_name fleece | grep -q vm-7 || echo "nothing is left"
rm -rf /tmp/out /tmp/archive.vma /tmp/archive.vma.idx /tmp/qmp /tmp/nbd
"#;
