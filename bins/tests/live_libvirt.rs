//! Guests that libvirt runs, backed up through it.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

#[path = "live_libvirt/ends.rs"]
mod ends;
#[path = "live_libvirt/modes.rs"]
mod modes;
#[path = "live_libvirt/native.rs"]
mod native;
#[path = "live_libvirt/refusals.rs"]
mod refusals;
#[path = "live_libvirt/restore.rs"]
mod restore;

use fleece_fleecing::Step;
use fleece_lab::{Disk, Domain, Interface, Libvirtd};
use serde_json::Value;
use support::Bench;
use support::ended::Ended;
use support::libvirt::{
    self, DEVICES, SIZE, assert_before, assert_clean, backup, cleanup, fill, io, kill, two_disks,
    vma,
};
use support::running::Running;

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

/// Only raw disks, whose top nodes can be reopened: no pause, on any QEMU.
#[test]
fn raw_disks_need_no_pause_and_a_qcow2_disk_alone_needs_none_either() {
    let Some((libvirtd, qemu)) = libvirt::start("7.2") else {
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
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
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
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
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

/// libvirt's own TPM, which `swtpm` emulates.
#[test]
fn the_state_of_a_domains_tpm_is_in_its_archive() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    if fleece_lab::require("swtpm_setup").is_none() {
        return;
    }
    let tpm = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>";
    let builder = libvirtd.domain(&qemu, "web").disk(Disk::raw(SIZE));
    let domain = builder.devices(tpm).start().unwrap();
    let uuid = domain.virsh("domuuid", &[]).unwrap();
    let file = format!("lib/libvirt/swtpm/{}/tpm2/tpm2-00.permall", uuid.trim());
    for way in [None, Some("--libvirt-native")] {
        let bench = Bench::new();
        let said = Ended::of(backup(&bench, &libvirtd, "web").args(way));
        let said = said.expect(0, &["key material"]);
        assert!(!said.contains("WARN"), "{said}");
        let mut vma = std::process::Command::new(env!("CARGO_BIN_EXE_vma"));
        vma.args(["config", "-c", "tpm2-00.permall"]);
        let archived = support::succeed(vma.arg(bench.archive())).stdout;
        assert!(archived.len() > 1000, "{} bytes", archived.len());
        // A user's own libvirt has it elsewhere.
        if let Ok(state) = std::fs::read(libvirtd.folder().join(&file)) {
            assert!(archived == state);
        }
        assert_clean(&bench, &domain);
    }
}

#[test]
fn a_disk_on_the_network_is_backed_up_like_others_and_named_if_the_domain_is_off() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let Some(nbdkit) = fleece_lab::require("nbdkit") else {
        return;
    };
    let socket = libvirtd.folder().join("far.nbd");
    let mut server = std::process::Command::new(nbdkit);
    server.args(["--foreground", "--exit-with-parent", "-U"]);
    let mut server = server.arg(&socket).args(["memory", "8M"]).spawn().unwrap();
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let far = format!(
        "<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd'>\
         <host transport='unix' socket='{}'/></source><target dev='vdb' bus='virtio'/></disk>",
        socket.display()
    );
    let builder = libvirtd.domain(&qemu, "web").disk(Disk::qcow2(SIZE));
    let domain = builder.devices(&far).start().unwrap();
    let devices = [
        DEVICES[0],
        "/machine/peripheral/virtio-disk1/virtio-backend",
    ];
    for device in devices {
        io(&domain, device, "write -P 0x11 0 4M");
    }
    let bench = Bench::new();
    let mut running = Running::start(backup(&bench, &libvirtd, "web").args(["--bwlimit", "8M"]));
    running.until("copy-before-write is active");
    for device in devices {
        io(&domain, device, "write -P 0x55 0 6M");
    }
    running.end().expect(0, &["drive-virtio0", "drive-virtio1"]);
    assert_before(&bench);
    assert_clean(&bench, &domain);
    domain.virsh("destroy", &[]).unwrap();
    let ended = Ended::of(&mut backup(&bench, &libvirtd, "web"));
    ended.expect(5, &["is off", "what it has as vdb", "drive-virtio0="]);
    server.kill().unwrap();
    server.wait().unwrap();
}
