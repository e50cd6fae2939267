//! Domains of the lab's libvirt, and backups of them. Their machines are empty, which costs no boot; `qemu-io` at the
//! monitor writes for the guest.

use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use fleece_fleecing::Step;
use fleece_lab::{Disk, Domain, Interface, Libvirtd, Qemu};

use super::Bench;
use super::ended::Ended;

/// A libvirt and a QEMU for its domains; `None`, after a `SKIP:` line, where there is none.
pub(crate) fn start(version: &str) -> Option<(Libvirtd, Qemu)> {
    let qemu = fleece_lab::qemu(version)?;
    Some((Libvirtd::start().unwrap()?, qemu))
}

pub(crate) const SIZE: u64 = 8 << 20;

/// QEMU's ids of the two disks that most tests have.
pub(crate) const DEVICES: [&str; 2] = [
    "/machine/peripheral/virtio-disk0/virtio-backend",
    "scsi0-0-0-0",
];

/// A raw disk on virtio, and a qcow2 disk on SCSI, with data in the first half.
pub(crate) fn two_disks<'a>(libvirtd: &'a Libvirtd, qemu: &Qemu) -> Domain<'a> {
    let scsi = Disk::qcow2(SIZE).interface(Interface::VirtioScsi);
    let builder = libvirtd
        .domain(qemu, "web")
        .disk(Disk::raw(SIZE))
        .disk(scsi);
    let domain = builder.start().unwrap();
    fill(&domain);
    domain
}

pub(crate) fn fill(domain: &Domain<'_>) {
    for device in DEVICES {
        io(domain, device, "write -P 0x11 0 4M");
    }
}

/// What the guest does with a disk.
pub(crate) fn io(domain: &Domain<'_>, device: &str, command: &str) {
    let line = format!("qemu-io -d {device} \"{command}\"");
    let said = domain
        .virsh("qemu-monitor-command", &["--hmp", &line])
        .unwrap();
    assert!(!said.contains("rror") && !said.contains("failed"), "{said}");
}

pub(crate) fn backup(bench: &Bench, libvirtd: &Libvirtd, domain: &str) -> Command {
    let mut command = bench.fleece("backup");
    command.args(["--libvirt", domain, "--connect", &libvirtd.uri()]);
    command.arg("--to").arg(bench.path("archives"));
    command.arg("--fleecing").arg(bench.path("fleecing"));
    command
}

pub(crate) fn cleanup(bench: &Bench, libvirtd: &Libvirtd, domain: &str) -> Command {
    let mut command = bench.fleece("cleanup");
    command.args(["--libvirt", domain, "--connect", &libvirtd.uri()]);
    command
}

/// The archive's disks are as they were filled.
pub(crate) fn assert_before(bench: &Bench) {
    let disks = bench.restore();
    assert_eq!(disks.len(), 2);
    for disk in disks {
        let mut data = vec![0; usize::try_from(SIZE).unwrap()];
        disk.read_exact_at(&mut data, 0).unwrap();
        let (first, second) = data.split_at(4 << 20);
        assert!(first.iter().all(|byte| *byte == 0x11));
        assert!(second.iter().all(|byte| *byte == 0));
    }
}

/// Nothing of ours is left in QEMU, nor on disk, and the guest runs.
pub(crate) fn assert_clean(bench: &Bench, domain: &Domain<'_>) {
    bench.assert_clean_folders();
    for query in [
        r#"{"execute":"query-named-block-nodes","arguments":{"flat":true}}"#,
        r#"{"execute":"query-jobs"}"#,
        r#"{"execute":"query-block-exports"}"#,
        r#"{"execute":"query-fdsets"}"#,
    ] {
        let reply = domain.monitor(query).unwrap();
        assert!(!reply.contains("\"fleece-"), "left in QEMU: {reply}");
    }
    assert_eq!(domain.virsh("domstate", &[]).unwrap().trim(), "running");
}

/// Runs `command`, which is killed at `step`.
pub(crate) fn kill(command: &mut Command, step: Step) {
    let fault = format!("kill@{}", step.name());
    let killed = Ended::of(command.env("FLEECE_FAULT", fault));
    assert_eq!(killed.status.signal(), Some(9), "{step:?}: {}", killed.said);
}

/// Two pflash files as big as QEMU wants them; what is in them plays no part for an empty machine.
pub(crate) fn firmware(libvirtd: &Libvirtd) -> (String, std::path::PathBuf) {
    let (code, variables) = (
        libvirtd.folder().join("code.fd"),
        libvirtd.folder().join("vars.fd"),
    );
    std::fs::write(&code, vec![0; 3_653_632]).unwrap();
    std::fs::write(&variables, vec![0x22; 540_672]).unwrap();
    let xml = format!(
        "<loader readonly='yes' type='pflash'>{}</loader><nvram>{}</nvram>",
        code.display(),
        variables.display()
    );
    (xml, variables)
}

pub(crate) fn restore(bench: &Bench, libvirtd: &Libvirtd, options: &[&str]) -> Command {
    let mut command = bench.fleece("restore");
    command
        .arg(bench.archive())
        .args(["--libvirt", "--connect", &libvirtd.uri()]);
    command.args(options);
    command
}

/// What `vma` says of the only archive.
pub(crate) fn vma(bench: &Bench, arguments: &[&str]) -> String {
    let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
    let output = super::succeed(vma.args(arguments).arg(bench.archive()));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
