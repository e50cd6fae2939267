//! `fleece restore --to`: a folder with images, and what starts the guest from there.

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
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::Bench;

const SIZE: usize = (1 << 20) + 4096;

const CONFIG: &str = "#A guest.\nboot: order=virtio1\ncores: 2\nmemory: 256\nname: web\n\
                      net0: virtio=BC:24:11:00:00:01,bridge=vmbr0\nscsi0: gone:vm-1-disk-0\n\
                      scsihw: virtio-scsi-pci\nvirtio1: gone:vm-1-disk-1\n";

/// An archive of a guest with two disks.
struct Host {
    bench: Bench,
    disks: [Vec<u8>; 2],
}

impl Host {
    fn new(config: &str) -> Self {
        let bench = Bench::new();
        let mut scsi = vec![0; SIZE];
        scsi[70_000..200_000].fill(0x11);
        scsi[SIZE - 4096..].fill(0x22);
        let disks = [scsi, vec![0x33; SIZE]];
        fs::write(bench.path("qemu-server.conf"), config).unwrap();
        let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
        create
            .arg("create")
            .arg(bench.path("archives").join("a.vma"))
            .arg("-c")
            .arg(bench.path("qemu-server.conf"));
        for (name, disk) in ["drive-scsi0", "drive-virtio1"].iter().zip(&disks) {
            fs::write(bench.path(name), disk).unwrap();
            create.arg(format!("{name}={}", bench.path(name).display()));
        }
        support::succeed(&mut create);
        Self { bench, disks }
    }

    fn archive(&self) -> PathBuf {
        self.bench.path("archives").join("a.vma")
    }

    fn folder(&self) -> PathBuf {
        self.bench.path("new/folder")
    }

    fn restore(&self) -> Command {
        let mut command = self.bench.fleece("restore");
        command.arg("--to").arg(self.folder());
        command
    }

    fn names(&self) -> Vec<String> {
        let paths = support::entries(&self.folder());
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        paths.iter().map(name).collect()
    }

    fn assert_nothing_made(&self) {
        assert!(!self.bench.path("new").exists());
    }
}

/// Runs the script with a QEMU that tells its arguments, and gives them.
fn arguments(host: &Host, script: &Path) -> Vec<String> {
    let bin = host.bench.path("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        let program = bin.join("qemu-system-x86_64");
        fs::write(&program, "#!/bin/sh\nprintf '%s\\0' \"$@\"\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(script);
    let output = support::succeed(command.arg("the last").env("PATH", path));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// The domain is accepted by libvirt's schema, and by libvirt itself.
fn assert_libvirt_takes(domain: &Path) {
    for program in ["virt-xml-validate", "xmllint", "virsh"] {
        if fleece_lab::require(program).is_none() {
            return;
        }
    }
    support::succeed(Command::new("virt-xml-validate").arg(domain).arg("domain"));
    let mut virsh = Command::new("virsh");
    virsh.args(["--connect", "test:///default", "define"]);
    support::succeed(virsh.arg(domain));
}

#[test]
fn a_folder_gets_images_the_configuration_and_two_ways_to_start() {
    let host = Host::new(CONFIG);
    let output = support::succeed(host.restore().arg(host.archive()).arg("--json"));
    let result = support::result(&output);
    let folder = host.folder();
    let image = |n: usize| folder.join(["disk-drive-scsi0.raw", "disk-drive-virtio1.raw"][n]);
    assert_eq!(result["directory"], folder.display().to_string());
    assert_eq!(
        result["disks"]["drive-scsi0"],
        image(0).display().to_string()
    );
    assert_eq!(
        host.names(),
        [
            "disk-drive-scsi0.raw",
            "disk-drive-virtio1.raw",
            "domain.xml",
            "qemu-server.conf",
            "start.sh"
        ]
    );
    for (n, disk) in host.disks.iter().enumerate() {
        assert!(fs::read(image(n)).unwrap() == *disk, "disk {n}");
    }
    let config = fs::read_to_string(folder.join("qemu-server.conf")).unwrap();
    assert_eq!(config, CONFIG);

    let arguments = arguments(&host, &folder.join("start.sh"));
    let joined = arguments.join(" ");
    for part in [
        "-name guest=web",
        r#""filename":"disk-drive-virtio1.raw""#,
        r#"{"bootindex":1,"drive":"drive-virtio1","driver":"virtio-blk-pci","id":"virtio1"}"#,
        "BC:24:11:00:00:01",
    ] {
        assert!(joined.contains(part), "{part}: {joined}");
    }
    assert_eq!(arguments.last().unwrap(), "the last");
    assert_libvirt_takes(&folder.join("domain.xml"));
}

#[test]
fn images_are_qcow2_or_left_out_and_the_guest_is_another_when_told_so() {
    let host = Host::new(CONFIG);
    let output = host
        .restore()
        .arg(host.archive())
        .args(["--format", "qcow2", "--disk", "virtio1=skip", "--unique"])
        .output()
        .unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("virtio1 was not restored"), "{said}");
    let raw = host.bench.path("raw");
    support::succeed(
        Command::new("qemu-img")
            .args(["convert", "-f", "qcow2", "-O", "raw"])
            .arg(host.folder().join("disk-drive-scsi0.qcow2"))
            .arg(&raw),
    );
    assert!(fs::read(&raw).unwrap() == host.disks[0]);
    let script = fs::read_to_string(host.folder().join("start.sh")).unwrap();
    assert!(script.contains("\"driver\":\"qcow2\""), "{script}");
    assert!(script.contains("BC:24:11:"), "{script}");
    assert!(!script.contains("BC:24:11:00:00:01"), "{script}");
    assert!(!script.contains("\"drive-virtio1\""), "{script}");
    assert_libvirt_takes(&host.folder().join("domain.xml"));
}

#[test]
fn a_hostile_configuration_in_an_odd_folder_does_no_harm() {
    let nasty = "$(touch pwned)`touch pwned`';touch pwned;'\"]]><x a='b'/>&,readonly=on \\";
    let config = format!(
        "name: {nasty}\ncpu: {nasty}\nnet0: virtio={nasty},bridge={nasty}\nserial0: {nasty}\n\
         smbios1: uuid={nasty},serial={nasty}\nargs: {nasty}\nvga: {nasty}\nmachine: {nasty}\n\
         scsi0: gone:1,serial={nasty}\nboot: order={nasty}\ndescription: {nasty}\nhookscript: {nasty}\n"
    );
    let host = Host::new(&config);
    let folder = host
        .bench
        .path("it's \"a\" <folder> & $(touch pwned) `touch pwned` ]]> --");
    let mut restore = host.bench.fleece("restore");
    let output = restore.arg("--to").arg(&folder).arg(host.archive());
    let output = output.output().unwrap();
    // What is not translated is worth a warning.
    assert_eq!(output.status.code(), Some(3), "{}", support::text(&output));

    let arguments = arguments(&host, &folder.join("start.sh"));
    let value = |option: &str| {
        let at = arguments.iter().position(|argument| argument == option);
        arguments[at.unwrap() + 1].clone()
    };
    let name = value("-name");
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-=".contains(c);
    assert!(
        name.starts_with("guest=") && name.chars().all(plain),
        "{name}"
    );
    assert_eq!(value("-machine"), "pc,accel=kvm:tcg");
    assert_eq!(value("-cpu"), "kvm64,+lahf_lm,+sep");
    for place in [&folder, &host.bench.path(""), Path::new(".")] {
        assert!(!place.join("pwned").exists());
    }
    assert_libvirt_takes(&folder.join("domain.xml"));
    let domain = fs::read_to_string(folder.join("domain.xml")).unwrap();
    let path = "it's \"a\" &lt;folder&gt; &amp; $(touch pwned) `touch pwned` ]]&gt; --";
    assert!(
        domain
            .replace("&apos;", "'")
            .replace("&quot;", "\"")
            .contains(path),
        "{domain}"
    );
}

#[test]
fn nothing_is_left_of_a_restore_that_fails() {
    let host = Host::new(CONFIG);
    let mut cut = fs::read(host.archive()).unwrap();
    cut.truncate(cut.len() - 70_000);
    fs::write(host.bench.path("cut.vma"), cut).unwrap();
    let output = host
        .restore()
        .arg(host.bench.path("cut.vma"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", support::text(&output));
    host.assert_nothing_made();

    for (arguments, code, word) in [
        (&["--disk", "scsi0=fast"][..], 1, "DISK=skip"),
        (&["--disk", "scsi9=skip"], 1, "no disk 'scsi9'"),
        (&["--vmid", "9"], 2, "--vmid"),
        (&["--format", "vmdk"], 2, "vmdk"),
    ] {
        let output = host
            .restore()
            .arg(host.archive())
            .args(arguments)
            .output()
            .unwrap();
        let said = support::text(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(word), "{said}");
        host.assert_nothing_made();
    }
}

#[test]
fn what_is_there_is_replaced_only_by_force() {
    let host = Host::new(CONFIG);
    let folder = host.folder();
    fs::create_dir_all(&folder).unwrap();
    for name in ["domain.xml", "mine"] {
        fs::write(folder.join(name), "mine").unwrap();
    }
    let output = host.restore().arg(host.archive()).output().unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(
        said.contains("domain.xml is there already") && said.contains("--force"),
        "{said}"
    );
    assert_eq!(host.names(), ["domain.xml", "mine"]);

    support::succeed(host.restore().arg(host.archive()).arg("--force"));
    assert_eq!(host.names().len(), 6);
    assert_eq!(fs::read_to_string(folder.join("mine")).unwrap(), "mine");
    let domain = fs::read_to_string(folder.join("domain.xml")).unwrap();
    assert!(domain.contains("<name>web</name>"), "{domain}");
}

#[test]
fn a_link_in_the_place_of_unfinished_files_is_no_way_out_of_the_folder() {
    let host = Host::new(CONFIG);
    let elsewhere = host.bench.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("precious"), "mine").unwrap();
    fs::create_dir_all(host.folder()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, host.folder().join(".fleece-restore")).unwrap();
    let output = host.restore().arg(host.archive()).output().unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("no directory of this user's"), "{said}");
    assert_eq!(support::entries(&elsewhere), [elsewhere.join("precious")]);
}

/// Half an archive through a pipe, and then whatever `end` does to the restore's process.
fn half(host: &Host, end: impl FnOnce(u32)) -> std::process::Output {
    let mut child = host
        .restore()
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let archive = fs::read(host.archive()).unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&archive[..archive.len() / 2]).unwrap();
    let made = host.folder().join(".fleece-restore/disk-drive-virtio1.raw");
    while !made.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::yield_now();
    }
    end(child.id());
    let output = child.wait_with_output().unwrap();
    drop(pipe);
    output
}

#[test]
fn a_signal_leaves_nothing_and_what_sigkill_leaves_the_next_restore_removes() {
    let host = Host::new(CONFIG);
    let output = half(&host, |id| support::signal(id, "-TERM"));
    assert_eq!(
        output.status.code(),
        Some(143),
        "{}",
        support::text(&output)
    );
    host.assert_nothing_made();

    half(&host, |id| support::signal(id, "-KILL"));
    assert_eq!(host.names(), [".fleece-restore"]);
    let mut child = host
        .restore()
        .arg("-")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let archive = fs::read(host.archive()).unwrap();
    child.stdin.take().unwrap().write_all(&archive).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(host.names().len(), 5);
    let image = host.folder().join("disk-drive-scsi0.raw");
    assert!(fs::read(image).unwrap() == host.disks[0]);
}

#[test]
fn two_restores_to_one_folder_do_not_mix() {
    let host = Host::new(CONFIG);
    let output = half(&host, |id| {
        let second = host.restore().arg(host.archive()).output().unwrap();
        let said = support::text(&second);
        assert_eq!(second.status.code(), Some(6), "{said}");
        assert!(said.contains("another restore writes to"), "{said}");
        support::signal(id, "-INT");
    });
    assert_eq!(
        output.status.code(),
        Some(130),
        "{}",
        support::text(&output)
    );
    host.assert_nothing_made();
}

#[test]
fn an_archived_configuration_does_not_take_the_place_of_what_is_made_here() {
    let host = Host::new(CONFIG);
    let forged = host.bench.path("start.sh");
    fs::write(&forged, "#!/bin/sh\ntouch pwned\n").unwrap();
    let archive = host.bench.path("archives").join("forged.vma");
    let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
    create.arg("create").arg(&archive).arg("-c").arg(&forged);
    let disk = host.bench.path("drive-scsi0");
    support::succeed(create.arg(format!("drive-scsi0={}", disk.display())));
    let output = host.restore().arg(&archive).output().unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("start.sh is left out"), "{said}");
    let script = fs::read_to_string(host.folder().join("start.sh")).unwrap();
    assert!(!script.contains("pwned"), "{script}");
    assert_eq!(
        host.names(),
        ["disk-drive-scsi0.raw", "domain.xml", "start.sh"]
    );
}
