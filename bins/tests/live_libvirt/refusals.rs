//! What cannot be backed up, with the cause and the next step.

use std::os::unix::net::UnixListener;

use fleece_lab::Domain;

use crate::support::ended::Ended;
use crate::support::libvirt::{self, assert_before, assert_clean, backup, two_disks, vma};
use crate::support::running::Running;
use crate::support::{self, Bench};

#[test]
fn what_cannot_be_backed_up_is_refused_with_the_cause_and_the_next_step() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let bench = Bench::new();
    let refused = |domain: &str, words: &[&str]| {
        Ended::of(&mut backup(&bench, &libvirtd, domain)).expect(5, words);
        bench.assert_no_archive();
    };
    refused("web", &["there is no domain web", "`virsh list --all`"]);
    let domain = two_disks(&libvirtd, &qemu);
    // A pause that is not allowed.
    let mut command = backup(&bench, &libvirtd, "web");
    Ended::of(command.args(["--max-pause", "0"])).expect(5, &["stand still", "--max-pause "]);
    // Somebody copies a disk.
    let copy = libvirtd.folder().join("copy.raw");
    let copy = copy.to_string_lossy();
    let arguments = [
        "vda",
        "--dest",
        &copy,
        "--transient-job",
        "--bandwidth",
        "1",
    ];
    domain.virsh("blockcopy", &arguments).unwrap();
    refused("web", &["drive-virtio0", "job"]);
    domain.virsh("blockjob", &["vda", "--abort"]).unwrap();
    // libvirt's own backup.
    let pull = libvirtd.folder().join("pull.xml");
    let socket = libvirtd.folder().join("pull.sock");
    let xml = format!(
        "<domainbackup mode='pull'><server transport='unix' socket='{}'/></domainbackup>",
        socket.display()
    );
    std::fs::write(&pull, xml).unwrap();
    domain
        .virsh("backup-begin", &[&pull.to_string_lossy()])
        .unwrap();
    refused(
        "web",
        &["libvirt is at work", "Backup", "`virsh domjobabort`"],
    );
    let _ = domain.virsh("domjobabort", &[]);
    // Nobody there.
    let mut command = bench.fleece("backup");
    let nowhere = "qemu+unix:///system?socket=/nowhere";
    command.args(["--libvirt", "web", "--connect", nowhere, "--to"]);
    let ended = Ended::of(command.arg(bench.path("archives")));
    ended.expect(5, &["does not answer", "/nowhere", "--connect"]);
    // No virsh.
    let mut command = backup(&bench, &libvirtd, "web");
    let ended = Ended::of(command.env("PATH", "/nowhere"));
    ended.expect(5, &["virsh", "libvirt-clients"]);
    // Paused is no obstacle, and stays so.
    domain.virsh("suspend", &[]).unwrap();
    support::succeed(&mut backup(&bench, &libvirtd, "web"));
    assert_before(&bench);
    assert_eq!(domain.virsh("domstate", &[]).unwrap().trim(), "paused");
    std::fs::remove_file(bench.archive()).unwrap();
    domain.virsh("resume", &[]).unwrap();
    // On its way to another host.
    let slowly = r#"{"execute":"migrate-set-parameters","arguments":{"max-bandwidth":1}}"#;
    domain.monitor(slowly).unwrap();
    let there = libvirtd.folder().join("away");
    let listener = UnixListener::bind(&there).unwrap();
    let away = format!(
        r#"{{"execute":"migrate","arguments":{{"uri":"unix:{}"}}}}"#,
        there.display()
    );
    domain.monitor(&away).unwrap();
    let (taken, _) = listener.accept().unwrap();
    for way in [None, Some("--libvirt-native")] {
        let mut command = backup(&bench, &libvirtd, "web");
        Ended::of(command.args(way)).expect(5, &["migrat"]);
    }
    drop(taken);
    domain.monitor(r#"{"execute":"migrate_cancel"}"#).unwrap();
    // Off: the command that is named backs it up.
    domain.virsh("destroy", &[]).unwrap();
    let said =
        Ended::of(&mut backup(&bench, &libvirtd, "web")).expect(5, &["the domain web is off"]);
    let (_, line) = said.split_once("`fleece backup ").unwrap();
    let (line, _) = line.split_once("DIR`").unwrap();
    let mut advised = bench.fleece("backup");
    advised
        .args(line.replace('\'', "").split_whitespace())
        .arg(bench.path("archives"));
    // Meanwhile nobody can write to them, a domain that is started for example.
    let mut running = Running::start(advised.args(["--bwlimit", "1M"]));
    running.until("\"done\":");
    let refused = domain.virsh("start", &[]).unwrap_err();
    assert!(format!("{refused:?}").contains("lock"), "{refused:?}");
    // The name is the domain's from the backup while it ran.
    running.end().expect(0, &[]);
    assert_before(&bench);
    std::fs::remove_file(bench.archive()).unwrap();
    // A run does it without being told, and keeps the definition, too.
    let mut run = bench.fleece("run");
    run.args(["--libvirt", "--connect", &libvirtd.uri()]);
    let config = format!("[backup]\nto = '{}'\n", bench.path("archives").display());
    std::fs::write(bench.path("fleece.toml"), config).unwrap();
    run.env("FLEECE_CONFIG", bench.path("fleece.toml"));
    Ended::of(&mut run).expect(0, &["web does not run", "web  "]);
    assert_before(&bench);
    let listed = vma(&bench, &["list"]);
    for name in ["domain.xml", "drive-virtio0", "drive-scsi0"] {
        assert!(listed.contains(name), "{listed}");
    }
}

#[test]
fn who_may_not_or_gets_no_answer_is_told_what_to_do() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    let bench = Bench::new();
    let at = |uri: &str| {
        let mut command = bench.fleece("backup");
        command.args(["--libvirt", "web", "--connect", uri, "--to"]);
        command.arg(bench.path("archives"));
        command
    };
    // Who may only look. A user's own libvirt has no such socket.
    let readable = libvirtd.uri() + "-ro";
    for way in [None, Some("--libvirt-native")] {
        if rustix::process::getuid().is_root() {
            let ended = Ended::of(at(&readable).args(way));
            ended.expect(5, &["read only", "group libvirt"]);
        }
    }
    // A socket without rights.
    if let Some(setpriv) =
        fleece_lab::require("setpriv").filter(|_| rustix::process::getuid().is_root())
    {
        let other = bench.path("socket-of-others");
        let listener = UnixListener::bind(&other).unwrap();
        let nobody = [
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "virsh",
            "-c",
        ];
        let uri = format!("qemu+unix:///system?socket={}", other.display());
        let mut command = std::process::Command::new(setpriv);
        let ended = Ended::of(command.args(nobody).args([&uri, "uri"]));
        // In these words, of which `libvirt/src/error.rs` knows what they mean.
        assert!(ended.said.contains("Permission denied"), "{}", ended.said);
        // One that hangs is not waited for after a signal.
        let running = Running::start(&mut at(&uri));
        let _connection = listener.accept().unwrap();
        running.signal("-TERM");
        running.end().expect_code(143);
    }
    bench.assert_no_archive();
    // A bitmap that somebody reads: QEMU's only NBD server is theirs, and can be named.
    let bitmap = r#"{"execute":"block-dirty-bitmap-add","arguments":{"node":"libvirt-1-format","name":"b","disabled":true}}"#;
    domain.monitor(bitmap).unwrap();
    let socket = libvirtd.folder().join("others.nbd");
    let start = format!(
        r#"{{"execute":"nbd-server-start","arguments":{{"addr":{{"type":"unix","data":{{"path":"{}"}}}}}}}}"#,
        socket.display()
    );
    domain.monitor(&start).unwrap();
    let export = r#"{"execute":"block-export-add","arguments":{"type":"nbd","id":"x","node-name":"libvirt-1-format","bitmaps":["b"]}}"#;
    let added = domain.monitor(export).unwrap();
    assert!(added.contains("return"), "{added}");
    let ended = Ended::of(&mut backup(&bench, &libvirtd, "web"));
    ended.expect(5, &["already running", "--nbd-server"]);
    assert_clean_but_for_others(&bench, &domain);
    let mut command = backup(&bench, &libvirtd, "web");
    support::succeed(command.arg("--nbd-server").arg(&socket));
    assert_before(&bench);
    assert_clean_but_for_others(&bench, &domain);
}

/// Nothing of ours is left, and the others' export is still there.
fn assert_clean_but_for_others(bench: &Bench, domain: &Domain<'_>) {
    assert_clean(bench, domain);
    let exports = domain
        .monitor(r#"{"execute":"query-block-exports"}"#)
        .unwrap();
    assert!(exports.contains("\"x\""), "{exports}");
}
