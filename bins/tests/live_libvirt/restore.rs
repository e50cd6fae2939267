//! Domains that come back.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fleece_lab::{Disk, Format, Interface};

use crate::support::ended::Ended;
use crate::support::libvirt::{
    self, DEVICES, SIZE, assert_clean, backup, fill, firmware, io, restore, two_disks, vma,
};
use crate::support::running::Running;
use crate::support::{self, Bench};

#[test]
fn a_lost_domain_comes_back_with_its_disks_and_firmware_and_a_copy_can_run_beside_it() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
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
    let restored = fs::read(bench.path("images").join("copy-efidisk0.raw")).unwrap();
    assert!(restored == fs::read(&variables).unwrap());

    // Lost, and back as itself, from the pool where its disks are.
    let uuid = domain.virsh("domuuid", &[]).unwrap();
    drop(domain);
    let pool = bench.path("pool");
    fs::create_dir(&pool).unwrap();
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
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let domain = two_disks(&libvirtd, &qemu);
    let bench = Bench::new();
    let hostile = bench.path("hostile.xml");
    let disks = "<disk type='file' device='disk'><source file='/etc/passwd'/><target dev='vda' bus='virtio'/></disk>";
    fs::write(
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
    fs::remove_file(bench.archive()).unwrap();

    // A machine that there is not.
    let broken = "<domain type='kvm'><name>broken</name><memory>65536</memory><os><type arch='x86_64' \
                  machine='none-such'>hvm</type></os></domain>";
    fs::write(&hostile, broken).unwrap();
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

/// The firmware's shell runs this from the first disk, and tells of it at the serial port.
const STARTUP: &str = "echo -off\r\necho the guest has booted\r\n";

/// Two qcow2 disks under Debian's own UEFI firmware, which boots from one of them and writes its variables.
#[test]
fn two_qcow2_disks_and_the_variables_of_real_firmware_are_of_one_instant_come_back_and_boot() {
    const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
    const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    if !Path::new(CODE).exists() {
        return fleece_lab::skip("Debian's OVMF is not installed");
    }
    let folder = libvirtd.folder();
    let (variables, serial) = (folder.join("vars.fd"), folder.join("serial"));
    fs::copy(VARIABLES, &variables).unwrap();
    let os = format!(
        "<loader readonly='yes' type='pflash'>{CODE}</loader><nvram>{}</nvram>",
        variables.display()
    );
    let port = format!(
        "<serial type='file'><source path='{}'/></serial>",
        serial.display()
    );
    let (tree, image) = (folder.join("esp"), folder.join("esp.qcow2"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("startup.nsh"), STARTUP).unwrap();
    let mut convert = qemu.img();
    let convert = convert.args(["convert", "-O", "qcow2", &format!("fat:{}", tree.display())]);
    support::succeed(convert.arg(&image));
    let builder = libvirtd.domain(&qemu, "web").devices(&port).os(&os);
    let scsi = Disk::qcow2(SIZE).interface(Interface::VirtioScsi);
    let domain = builder
        .disk(Disk::image(&image, Format::Qcow2))
        .disk(scsi)
        .start()
        .unwrap();
    // Where no file is.
    let places = [(DEVICES[0], "400M"), (DEVICES[1], "0")];
    for (device, place) in places {
        io(&domain, device, &format!("write -P 0x11 {place} 4M"));
    }
    let bench = Bench::new();
    let mut command = backup(&bench, &libvirtd, "web");
    let mut running = Running::start(command.args(["--bwlimit", "4M", "--max-pause", "20000"]));
    let line = running.until("copy-before-write is active");
    assert!(line.contains("the guest was paused for"), "{line}");
    for (device, place) in places {
        io(&domain, device, &format!("write -P 0x55 {place} 6M"));
    }
    running.end().expect(0, &["include disk 'drive-efidisk0'"]);
    assert_clean(&bench, &domain);
    drop(domain);
    for lost in [&image, &variables, &serial] {
        fs::remove_file(lost).unwrap();
    }
    let to = bench.path("images");
    let options = ["--to", to.to_str().unwrap(), "--trust-xml", "--start"];
    let ended = Ended::of(&mut restore(&bench, &libvirtd, &options));
    ended.expect(0, &["started the domain web"]);
    for (device, place) in places {
        let line = format!("qemu-io -d {device} \"read -P 0x11 {place} 4M\"");
        let said = libvirtd.virsh(&["qemu-monitor-command", "web", "--hmp", &line]);
        let said = said.unwrap();
        assert!(!said.contains("rror") && !said.contains("failed"), "{said}");
    }
    let deadline = Instant::now() + Duration::from_secs(120);
    let booted = || {
        fs::read(&serial)
            .is_ok_and(|said| String::from_utf8_lossy(&said).contains("the guest has booted"))
    };
    while !booted() {
        assert!(Instant::now() < deadline, "{:?}", fs::read(&serial));
        std::thread::sleep(Duration::from_millis(50));
    }
    let restored = fs::metadata(to.join("web-efidisk0.raw")).unwrap();
    assert_eq!(restored.len(), fs::metadata(VARIABLES).unwrap().len());
    libvirtd.virsh(&["destroy", "web"]).unwrap();
}

/// What docs/RESTORING.md has for a domain that is to run at once, step by step.
#[test]
fn a_domain_runs_on_its_archive_by_libvirts_own_means_until_its_disk_is_complete() {
    let Some((libvirtd, qemu)) = libvirt::start("10.0") else {
        return;
    };
    let bench = Bench::new();
    let [disk, archive, socket, image] =
        ["disk", "web.vma", "sock", "web.qcow2"].map(|name| bench.path(name));
    support::noise(&disk, SIZE);
    let vma = || Command::new(env!("CARGO_BIN_EXE_vma"));
    let mut create = vma();
    create.arg("create").arg(&archive);
    support::succeed(create.arg(format!("drive-virtio0={}", disk.display())));

    let mut serve = vma();
    serve.arg("serve").args([&archive, &socket]);
    let mut served = serve.stdout(Stdio::piped()).spawn().unwrap();
    let mut uri = String::new();
    let mut said = BufReader::new(served.stdout.take().unwrap());
    said.read_line(&mut uri).unwrap();
    let mut over = qemu.img();
    over.args(["create", "-f", "qcow2", "-F", "raw", "-b", uri.trim()]);
    support::succeed(over.arg(&image));
    let builder = libvirtd.domain(&qemu, "web");
    let domain = builder
        .disk(Disk::image(&image, Format::Qcow2))
        .start()
        .unwrap();
    io(&domain, DEVICES[0], "write -P 0x55 2M 1M");
    let active = domain.virsh("dumpxml", &[]).unwrap();
    assert!(active.contains("protocol='nbd'"), "{active}");
    domain.virsh("blockpull", &["vda", "--wait"]).unwrap();

    let active = domain.virsh("dumpxml", &[]).unwrap();
    assert!(!active.contains("protocol='nbd'"), "{active}");
    support::signal(served.id(), "-TERM");
    served.wait().unwrap();
    fs::remove_file(&archive).unwrap();
    io(&domain, DEVICES[0], "write -P 0x66 4M 1M");
    domain.virsh("destroy", &[]).unwrap();
    domain.virsh("start", &[]).unwrap();
    io(&domain, DEVICES[0], "read -P 0x66 4M 1M");
    domain.virsh("destroy", &[]).unwrap();
    let mut expected = fs::read(&disk).unwrap();
    for (range, byte) in [(2 << 20..3 << 20, 0x55), (4 << 20..5 << 20, 0x66)] {
        expected.get_mut(range).unwrap().fill(byte);
    }
    let mut convert = qemu.img();
    support::succeed(convert.args(["convert", "-O", "raw"]).args([&image, &disk]));
    assert!(fs::read(&disk).unwrap() == expected);
}
