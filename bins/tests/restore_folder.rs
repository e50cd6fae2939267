//! `fleece restore --to`: a folder with images, and what starts the guest from there.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fleece_qmp_client::Client;
use fleece_qmp_client::commands::QueryStatus;
use support::Bench;
use support::archived::{Archived, Piped};
use support::ended::Ended;

const CONFIG: &str = "#A guest.\nboot: order=virtio1\ncores: 2\nmemory: 256\nname: web\n\
                      net0: virtio=BC:24:11:00:00:01,bridge=vmbr0\nscsi0: gone:vm-1-disk-0\n\
                      scsihw: virtio-scsi-pci\nvirtio1: gone:vm-1-disk-1\n";

/// An archive of a guest, and the folder that it is restored to.
struct Host {
    bench: Bench,
    archived: Archived,
    folder: PathBuf,
}

impl Host {
    fn new() -> Self {
        Self::with("qemu-server.conf", CONFIG)
    }

    fn with(name: &str, config: &str) -> Self {
        let bench = Bench::new();
        let archived = Archived::new(&bench, &[(name, config)]);
        let folder = bench.path("new/folder");
        Self {
            bench,
            archived,
            folder,
        }
    }

    /// `fleece restore` of an archive to the folder, not yet started.
    fn command(&self, archive: impl AsRef<Path>) -> Command {
        let mut command = self.bench.fleece("restore");
        command.arg("--to").arg(&self.folder).arg(archive.as_ref());
        command
    }

    fn restore(&self, options: &[&str]) -> Ended {
        Ended::of(self.command(&self.archived.path).args(options))
    }

    /// A restore from a pipe that has made both images, and has half of the archive yet to come.
    fn pipe(&self) -> Piped {
        let made = self.folder.join(".fleece-restore/disk-drive-virtio1.raw");
        self.archived.pipe(&mut self.command("-"), &made)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let paths = support::entries(&self.folder);
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

#[test]
fn a_folder_on_a_file_system_without_flags_of_a_rename_will_do() {
    let host = Host::new();
    fs::create_dir_all(&host.folder).unwrap();
    let Some(_fuse) = support::fuse::Fuse::mount(host.folder.clone(), &[]) else {
        return;
    };
    host.restore(&[]).expect(0, &[]);
    assert!(fs::read(host.folder.join("disk-drive-scsi0.raw")).unwrap() == host.archived.disks[0]);
    host.restore(&[]).expect(6, &["is there already"]);
    host.restore(&["--force"]).expect(0, &[]);
    assert!(!host.folder.join(".fleece-restore").exists());
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
    let host = Host::new();
    let mut restore = host.command(&host.archived.path);
    let result = support::result(&support::succeed(restore.arg("--json")));
    let folder = &host.folder;
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
    for (n, disk) in host.archived.disks.iter().enumerate() {
        assert!(fs::read(image(n)).unwrap() == *disk, "disk {n}");
    }
    assert_eq!(host.read("qemu-server.conf"), CONFIG);

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
fn a_guest_with_another_processor_gets_no_script_that_cannot_start_it() {
    let host = Host::with("qemu-server.conf", &format!("arch: aarch64\n{CONFIG}"));
    host.restore(&[]).expect(3, &["aarch64"]);
    let names = host.names();
    assert!(
        names.contains(&"disk-drive-scsi0.raw".to_owned()),
        "{names:?}"
    );
    assert!(
        !names
            .iter()
            .any(|name| name == "start.sh" || name == "domain.xml")
    );
}

#[test]
fn images_are_qcow2_or_left_out_and_the_guest_is_another_when_told_so() {
    let host = Host::new();
    let options = ["--format", "qcow2", "--disk", "virtio1=skip", "--unique"];
    let ended = host.restore(&options);
    ended.expect(3, &["virtio1 was not restored"]);
    let image = host.folder.join("disk-drive-scsi0.qcow2");
    host.archived.assert_in_qcow2(0, &image);
    let script = host.read("start.sh");
    assert!(script.contains("\"driver\":\"qcow2\""), "{script}");
    assert!(script.contains("BC:24:11:"), "{script}");
    assert!(!script.contains("BC:24:11:00:00:01"), "{script}");
    assert!(!script.contains("\"drive-virtio1\""), "{script}");
    assert_libvirt_takes(&host.folder.join("domain.xml"));
}

#[test]
fn a_hostile_configuration_in_an_odd_folder_does_no_harm() {
    let nasty = "$(touch pwned)`touch pwned`';touch pwned;'\"]]><x a='b'/>&,readonly=on \\";
    let config = format!(
        "name: {nasty}\ncpu: {nasty}\nnet0: virtio={nasty},bridge={nasty}\nserial0: {nasty}\n\
         smbios1: uuid={nasty},serial={nasty}\nargs: {nasty}\nvga: {nasty}\nmachine: {nasty}\n\
         scsi0: gone:1,serial={nasty}\nboot: order={nasty}\ndescription: {nasty}\nhookscript: {nasty}\n"
    );
    let mut host = Host::with("qemu-server.conf", &config);
    let odd = "it's \"a\" <folder> & $(touch pwned) `touch pwned` ]]> --";
    host.folder = host.bench.path(odd);
    let folder = &host.folder;
    // What has no equivalent is worth a warning.
    host.restore(&[]).expect_code(3);

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
    for place in [folder, &host.bench.path(""), Path::new(".")] {
        assert!(!place.join("pwned").exists());
    }
    assert_libvirt_takes(&folder.join("domain.xml"));
    let domain = host.read("domain.xml");
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
    let host = Host::new();
    Ended::of(&mut host.command(host.archived.cut())).expect_code(4);
    host.assert_nothing_made();

    for (options, code, word) in [
        (&["--disk", "scsi0=fast"][..], 1, "DISK=skip"),
        (&["--disk", "scsi9=skip"], 1, "no disk 'scsi9'"),
        (&["--vmid", "9"], 2, "--vmid"),
        (&["--format", "vmdk"], 2, "vmdk"),
    ] {
        host.restore(options).expect(code, &[word]);
        host.assert_nothing_made();
    }
}

#[test]
fn what_is_there_is_replaced_only_by_force() {
    let host = Host::new();
    let folder = &host.folder;
    fs::create_dir_all(folder).unwrap();
    for name in ["domain.xml", "mine"] {
        fs::write(folder.join(name), "mine").unwrap();
    }
    let words = ["domain.xml is there already", "--force"];
    host.restore(&[]).expect(6, &words);
    assert_eq!(host.names(), ["domain.xml", "mine"]);

    host.restore(&["--force"]).expect_code(0);
    assert_eq!(host.names().len(), 6);
    assert_eq!(host.read("mine"), "mine");
    let domain = host.read("domain.xml");
    assert!(domain.contains("<name>web</name>"), "{domain}");
}

#[test]
fn a_link_in_the_place_of_unfinished_files_is_no_way_out_of_the_folder() {
    let host = Host::new();
    let elsewhere = host.bench.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("precious"), "mine").unwrap();
    fs::create_dir_all(&host.folder).unwrap();
    std::os::unix::fs::symlink(&elsewhere, host.folder.join(".fleece-restore")).unwrap();
    host.restore(&[])
        .expect(6, &["not a directory of this user"]);
    assert_eq!(support::entries(&elsewhere), [elsewhere.join("precious")]);
}

#[test]
fn a_signal_leaves_nothing_and_what_sigkill_leaves_the_next_restore_removes() {
    let host = Host::new();
    host.pipe().end("-TERM").expect_code(143);
    host.assert_nothing_made();

    host.pipe().end("-KILL");
    assert_eq!(host.names(), [".fleece-restore"]);
    host.pipe().finish().expect_code(0);
    assert_eq!(host.names().len(), 5);
    let image = host.folder.join("disk-drive-scsi0.raw");
    assert!(fs::read(image).unwrap() == host.archived.disks[0]);
}

#[test]
fn two_restores_to_one_folder_do_not_mix() {
    let host = Host::new();
    let first = host.pipe();
    let words = ["another restore writes to"];
    host.restore(&[]).expect(6, &words);
    first.end("-INT").expect_code(130);
    host.assert_nothing_made();
}

#[test]
fn an_archived_configuration_does_not_take_the_place_of_what_is_made_here() {
    let host = Host::with("start.sh", "#!/bin/sh\ntouch pwned\n");
    host.restore(&[]).expect(3, &["start.sh is left out"]);
    let script = host.read("start.sh");
    assert!(!script.contains("pwned"), "{script}");
    assert_eq!(
        host.names(),
        [
            "disk-drive-scsi0.raw",
            "disk-drive-virtio1.raw",
            "domain.xml",
            "start.sh"
        ]
    );
}

#[test]
fn a_guest_is_started_from_its_folder() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let host = Host::new();
    let system = qemu.system();
    let real = Path::new(system.get_program()).parent().unwrap();
    let start = |bin: &Path| {
        let mut command = host.command(&host.archived.path);
        command.args(["--start", "--force"]);
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        command
    };
    if !Path::new("/usr/bin/qemu-system-x86_64").exists() {
        let words = ["no qemu-system-x86_64", "without --start"];
        Ended::of(&mut start(Path::new("/nowhere"))).expect(1, &words);
        host.assert_nothing_made();
    }
    Ended::of(&mut start(real)).expect(0, &["start.sh as process", "qmp.sock"]);
    let client = Client::connect_unix(host.folder.join("qmp.sock")).unwrap();
    assert!(client.execute(&QueryStatus {}).unwrap().running);
    client.execute_raw("quit", None).unwrap();
    drop(client);
    let bin = host.bench.path("bin");
    fs::create_dir(&bin).unwrap();
    let program = bin.join("qemu-system-x86_64");
    fs::write(&program, "#!/bin/sh\necho 'no such machine' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let words = ["is restored, but", "no such machine"];
    Ended::of(&mut start(&bin)).expect(5, &words);
}

#[test]
fn a_hostile_record_of_the_machine_gets_nothing_into_the_script() {
    let hostile = r#"{"format": "fleece-machine", "version": 1, "machine": "pc-i440fx-9.0 '; touch x",
        "kernel": "/x '; touch x", "append": "$(touch x)",
        "threads": 4000000000, "cpu-flags": ["+a,kvm=off", "$(touch x)", "-x'\n", "+aes"],
        "disks": [{"device": "drive-scsi0", "serial": "'; touch x", "target": 99999, "lun": 1,
        "logical-block-size": 1000, "physical-block-size": 3}, {"device": "../x"}],
        "cards": [{"slot": 0}, {"slot": 77}], "command-line": ["rm", "-rf", "/"]}"#;
    let bench = Bench::new();
    let configs = [
        ("qemu-server.conf", CONFIG),
        ("fleece-machine.json", hostile),
    ];
    let archived = Archived::new(&bench, &configs);
    let folder = bench.path("folder");
    let host = Host {
        bench,
        archived,
        folder,
    };
    let words = ["not all of its flags", "-kernel FILE"];
    host.restore(&[]).expect(3, &words);
    let arguments = arguments(&host, &host.folder.join("start.sh")).join(" ");
    assert!(arguments.contains("+aes"), "{arguments}");
    for word in [
        "touch",
        "kvm=off",
        "99999",
        "1000",
        "rm",
        "i440fx",
        "4000000000",
    ] {
        assert!(!arguments.contains(word), "{word}: {arguments}");
    }
    for broken in ["{}", "[", r#"{"format": "fleece-machine", "version": 2}"#] {
        let bench = Bench::new();
        let configs = [
            ("qemu-server.conf", CONFIG),
            ("fleece-machine.json", broken),
        ];
        let archived = Archived::new(&bench, &configs);
        let folder = bench.path("folder");
        let host = Host {
            bench,
            archived,
            folder,
        };
        host.restore(&[])
            .expect(3, &["record of the machine is not used"]);
    }
}

#[test]
fn files_beside_an_archive_may_be_named_with_it_and_a_directory_by_its_name() {
    let host = Host::new();
    let beside = |kind: &str| {
        let path = PathBuf::from(format!("{}.{kind}", host.archived.path.display()));
        fs::write(&path, "x").unwrap();
        path
    };
    let notes = beside("notes");
    let mut restore = host.command(&notes);
    Ended::of(restore.arg(&host.archived.path).arg(beside("idx"))).expect_code(0);
    let mut several = host.command(host.archived.cut());
    Ended::of(several.arg(&host.archived.path)).expect(1, &["one archive"]);
    // Without a slash, in the directory of the command.
    for name in ["plain", "configs"] {
        fs::create_dir(host.bench.path(name)).unwrap();
    }
    let mut restore = host.bench.fleece("restore");
    restore
        .current_dir(host.bench.path(""))
        .arg(&host.archived.path);
    restore.args([
        "--vmid",
        "9",
        "--storage",
        "plain:qcow2",
        "--config-dir",
        "configs",
    ]);
    Ended::of(&mut restore).expect_code(0);
    assert!(host.bench.path("plain/vm-9-disk-0.qcow2").exists());
}

/// An archive holds more disks than any bus.
#[test]
fn disks_without_a_name_of_a_drive_fill_one_bus_after_the_other() {
    let bench = Bench::new();
    let image = bench.path("image.raw");
    fs::write(&image, [7; 4096]).unwrap();
    let made = |count: usize| {
        let archive = bench.path(&format!("{count}.vma"));
        let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
        create.arg("create").arg(&archive);
        for number in 0..count {
            create.arg("-d");
            create.arg(format!("format=raw:d{number}={}", image.display()));
        }
        support::succeed(&mut create);
        archive
    };
    let restore = |archive: &Path, folder: &str| {
        let mut command = bench.fleece("restore");
        command.arg(archive).arg("--to").arg(bench.path(folder));
        Ended::of(&mut command)
    };
    restore(&made(53), "all").expect(3, &["no guest configuration"]);
    let script = fs::read_to_string(bench.path("all/start.sh")).unwrap();
    for id in ["scsi30", "virtio15", "sata5"] {
        assert!(
            script.contains(&format!("\"id\":\"{id}\"")),
            "{id}: {script}"
        );
    }
    assert_libvirt_takes(&bench.path("all/domain.xml"));
    let words = ["no slot left for d53", "--disk d53=skip"];
    restore(&made(54), "more").expect(6, &words);
    assert!(!bench.path("more").exists());
}

/// Another part of the first disk, where there was something, and where there were zeroes.
fn spoil(image: &Path) {
    let format = image.extension().unwrap().to_str().unwrap();
    for write in ["write -P 0 100000 5000", "write -P 7 2097152 512"] {
        let mut io = Command::new("qemu-io");
        support::succeed(io.args(["-f", format, "-c", write]).arg(image));
    }
}

#[test]
fn into_the_images_of_a_folder_only_what_differs_is_written() {
    let host = Host::new();
    let not_there = [
        "no image",
        "disk-drive-scsi0.raw",
        "--disk drive-scsi0=skip",
    ];
    host.restore(&["--in-place"]).expect(1, &not_there);
    host.assert_nothing_made();
    for format in ["raw", "qcow2"] {
        host.restore(&["--force", "--format", format])
            .expect(0, &[]);
        let names = host.names();
        let script = host.read("start.sh");
        let image = host.folder.join(format!("disk-drive-scsi0.{format}"));
        let written = || {
            let mut restore = host.command(&host.archived.path);
            let said = support::result(&support::succeed(restore.args(["--in-place", "--json"])));
            said["written"].as_u64().unwrap()
        };
        assert_eq!(written(), 0);
        spoil(&image);
        let before = fs::read(&image).unwrap();
        let would = [
            "would restore drive-scsi0",
            "as far as it differs",
            "nothing was changed",
        ];
        host.restore(&["--in-place", "--dry-run"]).expect(0, &would);
        assert!(fs::read(&image).unwrap() == before);
        // Two blocks of the first change, one of the second.
        assert_eq!(written(), 3 * 4096, "{format}");
        match format {
            "raw" => assert!(fs::read(&image).unwrap() == host.archived.disks[0]),
            _ => host.archived.assert_in_qcow2(0, &image),
        }
        assert_eq!((host.names(), host.read("start.sh")), (names, script));
        for name in ["disk-drive-scsi0", "disk-drive-virtio1"] {
            fs::remove_file(host.folder.join(format!("{name}.{format}"))).unwrap();
        }
    }
}

#[test]
fn an_image_of_another_size_or_in_use_or_elsewhere_is_not_written_into() {
    let host = Host::new();
    host.restore(&[]).expect(0, &[]);
    let image = host.folder.join("disk-drive-scsi0.raw");
    let refused = |code, words: &[&str]| {
        let before = fs::read(&image).unwrap();
        host.restore(&["--in-place"]).expect(code, words);
        assert!(fs::read(&image).unwrap() == before);
        assert!(!host.folder.join(".fleece-unfinished").exists());
    };
    spoil(&image);
    {
        let mut user = Command::new("qemu-io");
        let file = format!("driver=file,filename={}", image.display());
        user.args(["--image-opts", &file])
            .stdin(std::process::Stdio::piped());
        user.stdout(std::process::Stdio::piped());
        let mut user = user.spawn().unwrap();
        // It has the image when it answers.
        use std::io::{Read as _, Write as _};
        user.stdin.as_mut().unwrap().write_all(b"length\n").unwrap();
        let mut answer = [0; 1];
        user.stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut answer)
            .unwrap();
        refused(6, &["disk-drive-scsi0.raw"]);
        drop(user.stdin.take());
        user.wait().unwrap();
    }
    let elsewhere = host.bench.path("elsewhere");
    fs::rename(&image, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &image).unwrap();
    refused(1, &["there is no image"]);
    fs::rename(&elsewhere, &image).unwrap();
    let file = fs::File::options().write(true).open(&image).unwrap();
    file.set_len(1 << 20).unwrap();
    refused(1, &["unexpected size 1048576"]);
}

#[test]
fn a_restore_into_images_that_did_not_end_keeps_the_guest_from_being_started() {
    let host = Host::new();
    host.restore(&[]).expect(0, &[]);
    let (image, script) = (
        host.folder.join("disk-drive-scsi0.raw"),
        host.folder.join("start.sh"),
    );
    let unfinished = host.folder.join(".fleece-unfinished");
    let must_not_start = || {
        assert!(unfinished.exists());
        let output = Command::new(&script).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("run it again"));
    };
    // Its end is missing. Through a pipe all before that is written first.
    let cut = host.archived.cut();
    let cut = || {
        let mut restore = host.command("-");
        restore
            .arg("--in-place")
            .stdin(fs::File::open(&cut).unwrap());
        Ended::of(&mut restore)
    };
    // Nothing differs, so nothing is half written.
    cut().expect_code(4);
    assert!(!unfinished.exists());
    spoil(&image);
    cut().expect(4, &["neither as before nor as in the archive"]);
    must_not_start();
    // Nothing more is written, but the images are as they were left.
    cut().expect_code(4);
    must_not_start();
    host.restore(&["--in-place"]).expect(0, &[]);
    assert!(!unfinished.exists());
    assert!(fs::read(&image).unwrap() == host.archived.disks[0]);
    let piped = host
        .archived
        .pipe(host.command("-").arg("--in-place"), &unfinished);
    piped.end("-KILL");
    must_not_start();
    // New images in their place do as well.
    host.restore(&["--force"]).expect(0, &[]);
    assert!(!unfinished.exists());
    assert_eq!(arguments(&host, &script).last().unwrap(), "the last");
}
