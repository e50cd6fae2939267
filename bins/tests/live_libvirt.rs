//! Guests that libvirt runs, backed up through it. Their machines are empty, which costs no boot; `qemu-io` at the
//! monitor writes for the guest.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use fleece_fleecing::Step;
use fleece_lab::{Disk, Domain, Interface, Libvirtd, Qemu};
use serde_json::Value;
use support::Bench;
use support::ended::Ended;
use support::running::Running;

const SIZE: u64 = 8 << 20;

/// QEMU's ids of the two disks that most tests have.
const DEVICES: [&str; 2] = [
    "/machine/peripheral/virtio-disk0/virtio-backend",
    "scsi0-0-0-0",
];

/// A raw disk on virtio, and a qcow2 disk on SCSI, with data in the first half.
fn two_disks<'a>(libvirtd: &'a Libvirtd, qemu: &Qemu) -> Domain<'a> {
    let scsi = Disk::qcow2(SIZE).interface(Interface::VirtioScsi);
    let builder = libvirtd
        .domain(qemu, "web")
        .disk(Disk::raw(SIZE))
        .disk(scsi);
    let domain = builder.start().unwrap();
    fill(&domain);
    domain
}

fn fill(domain: &Domain<'_>) {
    for device in DEVICES {
        io(domain, device, "write -P 0x11 0 4M");
    }
}

/// What the guest does with a disk.
fn io(domain: &Domain<'_>, device: &str, command: &str) {
    let line = format!("qemu-io -d {device} \"{command}\"");
    let said = domain
        .virsh("qemu-monitor-command", &["--hmp", &line])
        .unwrap();
    assert!(!said.contains("rror") && !said.contains("failed"), "{said}");
}

fn backup(bench: &Bench, libvirtd: &Libvirtd, domain: &str) -> Command {
    let mut command = bench.fleece("backup");
    command.args(["--libvirt", domain, "--connect", &libvirtd.uri()]);
    command.arg("--to").arg(bench.path("archives"));
    command.arg("--fleecing").arg(bench.path("fleecing"));
    command
}

fn cleanup(bench: &Bench, libvirtd: &Libvirtd, domain: &str) -> Command {
    let mut command = bench.fleece("cleanup");
    command.args(["--libvirt", domain, "--connect", &libvirtd.uri()]);
    command
}

/// The archive's disks are as they were filled.
fn assert_before(bench: &Bench) {
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
fn assert_clean(bench: &Bench, domain: &Domain<'_>) {
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

/// A backup with whatever method, and what it said of the switch.
fn assert_backed_up(bench: &Bench, libvirtd: &Libvirtd, domain: &Domain<'_>) -> Value {
    let mut running =
        Running::start(backup(bench, libvirtd, domain.name()).args(["--bwlimit", "8M"]));
    let line = running.until("copy-before-write is active");
    for device in DEVICES {
        io(domain, device, "write -P 0x55 0 6M");
        io(domain, device, "discard 2M 1M");
    }
    let said = running.end().expect(0, &[]);
    eprintln!("{line}");
    assert_before(bench);
    assert_clean(bench, domain);
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

#[test]
fn a_domain_is_backed_up_through_libvirt_with_every_qemu() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    for qemu in fleece_lab::qemus() {
        let bench = Bench::new();
        let domain = two_disks(&libvirtd, &qemu);
        let result = assert_backed_up(&bench, &libvirtd, &domain);
        let paused = result["paused_ms"].as_f64();
        eprintln!(
            "QEMU {}: the guest stood still for {paused:?} ms",
            qemu.version()
        );
        // Jobs need no pause; in any other way the commands go to libvirt together.
        assert_eq!(paused.is_none(), qemu.version().major >= 11);
        assert_eq!(result["guest"], "web");
        let listed = vma(&bench, &["list"]);
        for word in [
            "drive-virtio0",
            "drive-scsi0",
            "domain.xml",
            "qemu-server.conf",
        ] {
            assert!(listed.contains(word), "{word}: {listed}");
        }
        let config = vma(&bench, &["config"]);
        for line in [
            "#qmdump#map:virtio0:drive-virtio0:",
            "#qmdump#map:scsi0:drive-scsi0:",
        ] {
            assert!(config.contains(line), "{config}");
        }
        let xml = vma(&bench, &["config", "-c", "domain.xml"]);
        assert!(
            xml.contains("<name>web</name>") && xml.contains("dev='sda'"),
            "{xml}"
        );
    }
}

fn vma(bench: &Bench, arguments: &[&str]) -> String {
    let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
    let output = support::succeed(vma.args(arguments).arg(bench.archive()));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Only raw disks, whose top nodes can be reopened: no pause, on any QEMU.
#[test]
fn raw_disks_need_no_pause_and_a_qcow2_disk_alone_needs_none_either() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    let Some(qemu) = fleece_lab::qemu("7.2") else {
        return;
    };
    let raw = || Disk::raw(SIZE);
    let scsi = raw().interface(Interface::VirtioScsi);
    let domain = libvirtd
        .domain(&qemu, "web")
        .disk(raw())
        .disk(scsi)
        .start()
        .unwrap();
    fill(&domain);
    let bench = Bench::new();
    let result = assert_backed_up(&bench, &libvirtd, &domain);
    assert!(result["paused_ms"].is_null(), "{result}");
    drop(domain);
    let qcow2 = Disk::qcow2(SIZE);
    let domain = libvirtd.domain(&qemu, "web").disk(qcow2).start().unwrap();
    let bench = Bench::new();
    let said = Ended::of(&mut backup(&bench, &libvirtd, "web"));
    said.expect(0, &["insertion at the device", "the guest was not stopped"]);
    assert_clean(&bench, &domain);
}

#[test]
fn a_monitor_that_a_domain_has_for_others_is_used() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let socket = libvirtd.folder().join("own.qmp");
    let scsi = Disk::qcow2(SIZE).interface(Interface::VirtioScsi);
    let builder = libvirtd
        .domain(&qemu, "web")
        .disk(Disk::raw(SIZE))
        .disk(scsi);
    let domain = builder.own_monitor(&socket).start().unwrap();
    fill(&domain);
    let bench = Bench::new();
    let mut running = Running::start(&mut backup(&bench, &libvirtd, "web"));
    running.until("through its own monitor");
    let result = running.until("\"summary\"");
    eprintln!("{result}");
    running.end().expect(0, &[]);
    assert_before(&bench);
    assert_clean(&bench, &domain);
    // What a killed one left there, the clean-up through libvirt removes.
    let bench = Bench::new();
    kill(&mut backup(&bench, &libvirtd, "web"), Step::Exported);
    Ended::of(&mut cleanup(&bench, &libvirtd, "web")).expect(0, &["removed"]);
    assert_clean(&bench, &domain);
}

/// Runs `command`, which is killed at `step`.
fn kill(command: &mut Command, step: Step) {
    let fault = format!("kill@{}", step.name());
    let killed = Ended::of(command.env("FLEECE_FAULT", fault));
    assert_eq!(killed.status.signal(), Some(9), "{step:?}: {}", killed.said);
}

/// The steps at which something new is left behind, or at which the guest stands still.
const STEPS: [Step; 7] = [
    Step::ServerStarted,
    Step::ImageAttached,
    Step::PauseRecorded,
    Step::Switching,
    Step::Switched,
    Step::Exported,
    Step::FiltersRemoved,
];

#[test]
fn after_sigkill_at_any_step_the_guest_runs_and_a_clean_up_or_the_next_backup_removes_everything() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    for (number, step) in STEPS.into_iter().enumerate() {
        let bench = Bench::new();
        // With a limit of its own it watches the guest for a moment only.
        let mut command = backup(&bench, &libvirtd, "web");
        kill(command.args(["--guest-latency", "1000"]), step);
        // It goes on by itself, as virsh goes on: not only after the clean-up.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while domain.virsh("domstate", &[]).unwrap().trim() != "running" {
            assert!(
                std::time::Instant::now() < deadline,
                "{step:?}: the guest stands still"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        for device in DEVICES {
            io(&domain, device, "write -P 0x11 0 64k");
        }
        if number % 2 == 0 {
            support::succeed(&mut cleanup(&bench, &libvirtd, "web"));
        } else {
            let mut next = backup(&bench, &libvirtd, "web");
            support::succeed(next.args(["--guest-latency", "1000"]));
            assert_before(&bench);
        }
        assert_clean(&bench, &domain);
    }
}

#[test]
fn a_backup_outlives_libvirtd_and_what_a_killed_one_left_is_removed_by_the_next_libvirtd() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    let Some(qemu) = fleece_lab::qemu("7.2") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    let bench = Bench::new();
    let mut command = backup(&bench, &libvirtd, "web");
    let mut running = Running::start(command.args(["--bwlimit", "4M"]));
    running.until("\"done\":");
    libvirtd.kill_daemon().unwrap();
    running.end().expect(0, &[]);
    libvirtd.await_answer().unwrap();
    assert_before(&bench);
    assert_clean(&bench, &domain);

    // Both killed, and the clean-up begins before there is a libvirtd again.
    let bench = Bench::new();
    kill(&mut backup(&bench, &libvirtd, "web"), Step::Exported);
    libvirtd.kill_daemon().unwrap();
    Ended::of(bench.fleece("cleanup").arg("web")).expect(0, &["removed"]);
    assert_clean(&bench, &domain);

    // QEMU killed: nothing waits for it, and its images are freed.
    let bench = Bench::new();
    kill(&mut backup(&bench, &libvirtd, "web"), Step::Exported);
    domain.kill().unwrap();
    Ended::of(&mut cleanup(&bench, &libvirtd, "web")).expect(0, &["removed"]);
    bench.assert_clean_folders();
}

#[test]
fn the_end_of_the_guest_is_the_end_of_its_backup_and_nothing_is_left() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    let bench = Bench::new();
    let mut command = backup(&bench, &libvirtd, "web");
    let mut running = Running::start(command.args(["--bwlimit", "4M"]));
    running.until("\"done\":");
    domain.virsh("destroy", &[]).unwrap();
    running.end().expect(5, &[]);
    bench.assert_no_archive();
    bench.assert_clean_folders();
}

#[test]
fn what_others_do_by_libvirt_meanwhile_harms_neither_the_disks_nor_the_backup() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    for version in ["7.2", "11.1"] {
        let Some(qemu) = fleece_lab::qemu(version) else {
            return;
        };
        let domain = two_disks(&libvirtd, &qemu);
        let bench = Bench::new();
        let mut command = backup(&bench, &libvirtd, "web");
        let mut running = Running::start(command.args(["--bwlimit", "4M"]));
        running.until("copy-before-write is active");
        // Refused, or done, but never in the way of the backup.
        domain.virsh("domblkinfo", &["vda"]).unwrap();
        domain.virsh("domstats", &[]).unwrap();
        domain.virsh("blockresize", &["vda", "16M"]).unwrap_err();
        let copy = libvirtd.folder().join("copy.raw");
        let copy = copy.to_string_lossy();
        let arguments = ["sda", "--dest", &copy, "--transient-job"];
        domain.virsh("blockcopy", &arguments).unwrap_err();
        running.end().expect(0, &[]);
        assert_before(&bench);
        assert_clean(&bench, &domain);
        domain.virsh("blockresize", &["vda", "16M"]).unwrap();
    }
}

#[test]
fn a_snapshot_that_libvirt_takes_meanwhile_is_sound_and_so_is_the_backup() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    for qemu in fleece_lab::qemus() {
        let domain = two_disks(&libvirtd, &qemu);
        let bench = Bench::new();
        let mut command = backup(&bench, &libvirtd, "web");
        let mut running = Running::start(command.args(["--bwlimit", "4M"]));
        running.until("\"done\":");
        let options = ["--disk-only", "--no-metadata", "--name", "s"];
        // libvirt puts the overlay above its own node, so below the filter.
        domain.virsh("snapshot-create-as", &options).unwrap();
        for device in DEVICES {
            io(&domain, device, "write -P 0x55 1M 2M");
        }
        running.end().expect(0, &[]);
        assert_before(&bench);
        assert_clean(&bench, &domain);
        // The overlay can be committed, and the guest reads what it wrote.
        let overlay = domain.virsh("domblklist", &[]).unwrap();
        assert!(overlay.contains("disk0.s"), "{overlay}");
        let commit = ["vda", "--active", "--pivot", "--wait"];
        domain.virsh("blockcommit", &commit).unwrap();
        io(&domain, DEVICES[0], "read -P 0x55 1M 2M");
        io(&domain, DEVICES[0], "read -P 0x11 3M 1M");
    }
}

#[test]
fn all_domains_that_run_are_backed_up_and_one_that_cannot_be_does_not_keep_the_others_from_it() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let all = || {
        let mut command = bench.fleece("backup");
        command.args(["--connect", &libvirtd.uri(), "--guest-latency", "1000"]);
        command.arg("--to").arg(bench.path("archives"));
        command.arg("--fleecing").arg(bench.path("fleecing"));
        command.args(["--json", "--libvirt"]);
        command.env("FLEECE_CONFIG", bench.path("fleece.toml"));
        command
    };
    let config = "[guest.web]\nnotes = '{{guestname}} ({{vmid}})'\n";
    std::fs::write(bench.path("fleece.toml"), config).unwrap();
    Ended::of(&mut all()).expect(0, &["no domain runs"]);
    let one = |name| {
        let disk = Disk::raw(SIZE);
        libvirtd.domain(&qemu, name).disk(disk).start().unwrap()
    };
    let (_web, db, _mail) = (one("web"), one("db"), one("mail"));
    // Somebody is at work on one of them.
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
    db.virsh("blockcopy", &arguments).unwrap();
    let output = all().output().unwrap();
    let result = support::result(&output);
    let said = Ended::from(output);
    said.expect(5, &["web: done", "mail: done", "db: ", "db: failed (5)"]);
    let codes = result["domains"].as_array().unwrap().iter();
    let mut codes: Vec<_> = codes
        .map(|each| (each["domain"].as_str(), each["exit_code"].as_u64()))
        .collect();
    codes.sort_unstable();
    let expected = [("db", 5), ("mail", 0), ("web", 0)];
    assert_eq!(codes, expected.map(|(name, code)| (Some(name), Some(code))));
    let mut archives = support::archives(&bench.path("archives"));
    // What the section of a guest says holds for that one.
    let notes = archives
        .iter()
        .position(|path| path.extension().is_some_and(|ending| ending == "notes"));
    let notes = archives.remove(notes.unwrap());
    assert!(
        notes.to_string_lossy().contains("vzdump-qemu-web-"),
        "{notes:?}"
    );
    assert_eq!(std::fs::read_to_string(notes).unwrap().trim(), "web (web)");
    for name in ["vzdump-qemu-web-", "vzdump-qemu-mail-"] {
        let is_there = |path: &std::path::PathBuf| path.to_string_lossy().contains(name);
        assert!(archives.iter().any(is_there), "{archives:?}");
    }
    assert_eq!(archives.len(), 2);
    bench.assert_clean_folders();
    Ended::of(all().args(["--vmid", "7"])).expect(1, &["for all domains"]);
}

#[test]
fn what_cannot_be_backed_up_is_refused_with_the_cause_and_the_next_step() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    let Some(qemu) = fleece_lab::qemu("10.0") else {
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
    // The name is the domain's from the backup while it ran.
    support::succeed(&mut advised);
    assert_before(&bench);
}

/// Two pflash files as big as QEMU wants them; what is in them plays no part for an empty machine.
fn firmware(libvirtd: &Libvirtd) -> (String, std::path::PathBuf) {
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

fn restore(bench: &Bench, libvirtd: &Libvirtd, options: &[&str]) -> Command {
    let mut command = bench.fleece("restore");
    command
        .arg(bench.archive())
        .args(["--libvirt", "--connect", &libvirtd.uri()]);
    command.args(options);
    command
}

#[test]
fn a_lost_domain_comes_back_with_its_disks_and_firmware_and_a_copy_can_run_beside_it() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let (os, variables) = firmware(&libvirtd);
    let scsi = Disk::qcow2(SIZE).interface(Interface::VirtioScsi);
    let builder = libvirtd
        .domain(&qemu, "web")
        .disk(Disk::raw(SIZE))
        .disk(scsi);
    let card = "<interface type='user'><mac address='52:54:00:12:34:56'/><model type='virtio'/><rom enabled='no'/></interface>";
    let domain = builder.os(&os).devices(card).start().unwrap();
    fill(&domain);
    let bench = Bench::new();
    support::succeed(&mut backup(&bench, &libvirtd, "web"));
    let listed = vma(&bench, &["list"]);
    assert!(listed.contains("drive-efidisk0"), "{listed}");
    let to = bench.path("images");
    let to = to.to_str().unwrap();
    // What is there is not replaced.
    let ended = Ended::of(&mut restore(&bench, &libvirtd, &["--to", to]));
    ended.expect(6, &["there is a domain web already", "--name"]);
    let ended = Ended::of(&mut restore(
        &bench,
        &libvirtd,
        &["--to", to, "--name", "copy"],
    ));
    ended.expect(6, &["under another name", "--unique"]);
    assert!(!bench.path("images").exists());

    // Beside it, as another guest. The lab's QEMU and firmware are none of the host's own, so they must be trusted.
    let options = [
        "--to",
        to,
        "--name",
        "copy",
        "--unique",
        "--trust-xml",
        "--start",
    ];
    let ended = Ended::of(&mut restore(&bench, &libvirtd, &options));
    ended.expect(0, &["defined the domain copy", "started the domain copy"]);
    let xml = libvirtd.virsh(&["dumpxml", "copy"]).unwrap();
    assert!(!xml.contains("52:54:00:12:34:56"), "{xml}");
    let read = |domain: &str, device: &str, command: &str| {
        let line = format!("qemu-io -d {device} \"{command}\"");
        let said = libvirtd
            .virsh(&["qemu-monitor-command", domain, "--hmp", &line])
            .unwrap();
        assert!(!said.contains("rror") && !said.contains("failed"), "{said}");
    };
    for device in DEVICES {
        read("copy", device, "read -P 0x11 0 4M");
        read("copy", device, "read -P 0 4M 4M");
    }
    libvirtd.virsh(&["destroy", "copy"]).unwrap();
    let restored = std::fs::read(bench.path("images").join("copy-efidisk0.raw")).unwrap();
    assert!(restored == std::fs::read(&variables).unwrap());

    // Lost, and back as itself, from the pool where its disks are.
    let uuid = domain.virsh("domuuid", &[]).unwrap();
    drop(domain);
    let pool = bench.path("pool");
    std::fs::create_dir(&pool).unwrap();
    let created = libvirtd.virsh(&[
        "pool-create-as",
        "disks",
        "dir",
        "--target",
        pool.to_str().unwrap(),
    ]);
    let place: Vec<&str> = match &created {
        Ok(_) => vec!["--pool", "disks"],
        // A libvirt without storages.
        Err(_) => vec!["--to", pool.to_str().unwrap()],
    };
    let ended = Ended::of(&mut restore(&bench, &libvirtd, &place));
    // The lab's emulator and firmware are left out, and said to be.
    ended.expect(3, &["<emulator>", "<loader", "--trust-xml"]);
    assert_eq!(libvirtd.virsh(&["domuuid", "web"]).unwrap(), uuid);
    let xml = libvirtd.virsh(&["dumpxml", "web"]).unwrap();
    assert!(
        xml.contains("52:54:00:12:34:56") && xml.contains("web-virtio0.qcow2"),
        "{xml}"
    );
    if created.is_ok() {
        let volumes = libvirtd.virsh(&["vol-list", "disks"]).unwrap();
        assert!(volumes.contains("web-scsi0.qcow2"), "{volumes}");
    }
}

#[test]
fn a_restore_that_libvirt_refuses_leaves_nothing_and_a_hostile_domain_does_no_harm() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    let bench = Bench::new();
    let hostile = bench.path("hostile.xml");
    let disks = "<disk type='file' device='disk'><source file='/etc/passwd'/><target dev='vda' bus='virtio'/></disk>";
    std::fs::write(
        &hostile,
        format!(
            "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>evil</name>\
             <memory>65536</memory><os><type arch='x86_64'>hvm</type></os><devices>{disks}\
             <filesystem type='mount'><source dir='/'/><target dir='root'/></filesystem></devices>\
             <qemu:commandline><qemu:arg value='-S'/></qemu:commandline></domain>"
        ),
    )
    .unwrap();
    let config = format!("domain.xml={}", hostile.display());
    let mut command = backup(&bench, &libvirtd, "web");
    support::succeed(command.args(["--config", &config]));
    let to = bench.path("images");
    let ended = Ended::of(&mut restore(
        &bench,
        &libvirtd,
        &["--to", to.to_str().unwrap()],
    ));
    ended.expect(3, &["<filesystem", "commandline", "no disk scsi0"]);
    let xml = libvirtd.virsh(&["dumpxml", "evil", "--inactive"]).unwrap();
    for gone in ["/etc/passwd", "filesystem", "commandline"] {
        assert!(!xml.contains(gone), "{gone}: {xml}");
    }
    std::fs::remove_file(bench.archive()).unwrap();

    // A machine that there is not.
    let broken = "<domain type='kvm'><name>broken</name><memory>65536</memory><os><type arch='x86_64' \
                  machine='none-such'>hvm</type></os></domain>";
    std::fs::write(&hostile, broken).unwrap();
    let mut command = backup(&bench, &libvirtd, "web");
    support::succeed(command.args(["--config", &config]));
    let to = bench.path("broken");
    let ended = Ended::of(&mut restore(
        &bench,
        &libvirtd,
        &["--to", to.to_str().unwrap()],
    ));
    ended.expect(5, &["libvirt does not take the domain", "removed again"]);
    assert!(support::entries(&to).is_empty());
    assert!(libvirtd.virsh(&["domstate", "broken"]).is_err());
    assert_clean(&bench, &domain);
}

#[test]
fn libvirt_freezes_and_thaws_the_guest_and_a_clean_up_thaws_one_that_was_left_frozen() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let builder = libvirtd.domain(&qemu, "web").disk(Disk::raw(16 << 20));
    let domain = builder.boot().unwrap();
    domain
        .run("mke2fs -q /dev/vda && mount -t ext4 /dev/vda /mnt && echo x >/mnt/x")
        .unwrap();
    let connected = || {
        domain
            .virsh("dumpxml", &[])
            .unwrap()
            .contains("state='connected'")
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !connected() {
        assert!(std::time::Instant::now() < deadline, "no agent");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let status = || {
        let ask = r#"{"execute":"guest-fsfreeze-status"}"#;
        domain.virsh("qemu-agent-command", &[ask]).unwrap()
    };
    let bench = Bench::new();
    let ended = Ended::of(&mut backup(&bench, &libvirtd, "web"));
    ended.expect(
        0,
        &["'fs-freeze' command", "guest filesystems were frozen for"],
    );
    assert!(status().contains("thawed"));
    assert_clean(&bench, &domain);

    let bench = Bench::new();
    kill(&mut backup(&bench, &libvirtd, "web"), Step::Frozen);
    assert!(status().contains("frozen"), "the test sees the freeze");
    // The clean-up finds the way by itself.
    Ended::of(bench.fleece("cleanup").arg("web")).expect(0, &["freeze"]);
    assert!(status().contains("thawed"));
    domain.run("touch /mnt/alive && sync").unwrap();
    assert_clean(&bench, &domain);

    // An agent that is not there is told, and is no warning: nobody asked for it.
    domain.run("kill $(pidof qemu-ga)").unwrap();
    while connected() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let bench = Bench::new();
    let ended = Ended::of(&mut backup(&bench, &libvirtd, "web"));
    ended.expect(0, &["no agent in the guest is connected"]);
}

/// Two qcow2 disks under Debian's own UEFI firmware, which runs and writes its variables.
#[test]
fn two_qcow2_disks_and_the_variables_of_real_firmware_are_of_one_instant_and_come_back() {
    const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
    const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    if !std::path::Path::new(CODE).exists() {
        eprintln!("SKIP: there is no {CODE} (package ovmf)");
        return;
    }
    let variables = libvirtd.folder().join("vars.fd");
    std::fs::copy(VARIABLES, &variables).unwrap();
    let os = format!(
        "<loader readonly='yes' type='pflash'>{CODE}</loader><nvram>{}</nvram>",
        variables.display()
    );
    let scsi = Disk::qcow2(SIZE).interface(Interface::VirtioScsi);
    let builder = libvirtd.domain(&qemu, "web").disk(Disk::qcow2(SIZE));
    let domain = builder.disk(scsi).os(&os).start().unwrap();
    fill(&domain);
    let bench = Bench::new();
    let mut command = backup(&bench, &libvirtd, "web");
    let mut running = Running::start(command.args(["--bwlimit", "4M", "--max-pause", "20000"]));
    let line = running.until("copy-before-write is active");
    assert!(line.contains("the guest was paused for"), "{line}");
    for device in DEVICES {
        io(&domain, device, "write -P 0x55 0 6M");
    }
    running.end().expect(0, &["include disk 'drive-efidisk0'"]);
    assert_clean(&bench, &domain);
    drop(domain);
    let to = bench.path("images");
    let options = ["--to", to.to_str().unwrap(), "--trust-xml", "--start"];
    let ended = Ended::of(&mut restore(&bench, &libvirtd, &options));
    ended.expect(0, &["started the domain web"]);
    for device in DEVICES {
        let line = format!("qemu-io -d {device} \"read -P 0x11 0 4M\"");
        let said = libvirtd.virsh(&["qemu-monitor-command", "web", "--hmp", &line]);
        let said = said.unwrap();
        assert!(!said.contains("rror") && !said.contains("failed"), "{said}");
    }
    let restored = std::fs::metadata(to.join("web-efidisk0.raw")).unwrap();
    assert_eq!(restored.len(), std::fs::metadata(VARIABLES).unwrap().len());
    libvirtd.virsh(&["destroy", "web"]).unwrap();
}

#[test]
fn checkpoints_of_libvirts_go_on_counting_and_a_transient_domain_is_backed_up_like_others() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    for qemu in fleece_lab::qemus() {
        let disk = Disk::qcow2(SIZE);
        let domain = libvirtd.domain(&qemu, "web").disk(disk).start().unwrap();
        io(&domain, DEVICES[0], "write -P 0x11 0 4M");
        domain.virsh("checkpoint-create-as", &["since"]).unwrap();
        let bench = Bench::new();
        let mut running =
            Running::start(backup(&bench, &libvirtd, "web").args(["--bwlimit", "4M"]));
        running.until("copy-before-write is active");
        // Marked although it goes through the filter.
        io(&domain, DEVICES[0], "write -P 0x55 1M 64k");
        running.end().expect(0, &[]);
        assert_clean(&bench, &domain);
        let options = ["since", "--size", "--no-domain"];
        let xml = domain.virsh("checkpoint-dumpxml", &options).unwrap();
        assert!(xml.contains("size='65536'"), "{xml}");
        domain.virsh("checkpoint-delete", &["since"]).unwrap();

        // Without a definition on disk.
        domain.virsh("undefine", &[]).unwrap();
        let bench = Bench::new();
        support::succeed(&mut backup(&bench, &libvirtd, "web"));
        let xml = vma(&bench, &["config", "-c", "domain.xml"]);
        assert!(xml.contains("<name>web</name>"), "{xml}");
        let bench = Bench::new();
        kill(&mut backup(&bench, &libvirtd, "web"), Step::Exported);
        // It is gone for good, and what was left of its backup goes by its name.
        domain.virsh("destroy", &[]).unwrap();
        Ended::of(bench.fleece("cleanup").arg("web")).expect(0, &["removed"]);
        bench.assert_clean_folders();
    }
}

#[test]
fn a_domain_is_suspended_if_that_is_asked_for_and_not_stopped_since_libvirt_would_end_it() {
    let Some(libvirtd) = Libvirtd::start().unwrap() else {
        return;
    };
    let Some(qemu) = fleece_lab::qemu("11.1") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    let bench = Bench::new();
    let mut command = backup(&bench, &libvirtd, "web");
    let ended = Ended::of(command.args(["--mode", "suspend", "--max-pause", "20000"]));
    ended.expect(0, &["backup mode: suspend", "the guest was paused for"]);
    assert_before(&bench);
    assert_clean(&bench, &domain);
    let mut command = backup(&bench, &libvirtd, "web");
    let ended = Ended::of(command.args(["--mode", "stop"]));
    ended.expect(
        5,
        &["libvirt ends QEMU", "--mode suspend", "virsh shutdown"],
    );
    assert_clean(&bench, &domain);
}
