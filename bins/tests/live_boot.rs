//! A guest on stock QEMU that boots from a disk which `fleece serve` or `vma serve` serves, and from nothing
//! else: the firmware loads a boot sector from it, which does the rest.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fleece_lab::{Linux, Machine, MachineBuilder, Qemu};
use support::Bench;
use support::ended::Ended;
use support::served::Served;

const SECTOR: usize = 512;

/// The 512 KiB behind the boot sector, whose sum it builds.
const SUMMED: std::ops::Range<usize> = SECTOR..SECTOR + (512 << 10);

/// Real mode, at 0x7c00: sums up 1024 sectors, writes the sum into the sector behind them, says it on
/// the serial port, and ends QEMU through `isa-debug-exit`.
#[rustfmt::skip]
const PROGRAM: &[u8] = &[
    0x31, 0xc0,                         //         xor  ax, ax
    0x8e, 0xd8,                         //         mov  ds, ax
    0x8e, 0xc0,                         //         mov  es, ax
    0x8e, 0xd0,                         //         mov  ss, ax
    0xbc, 0x00, 0x7c,                   //         mov  sp, 0x7c00
    0xfc,                               //         cld
    0x88, 0x16, 0x83, 0x7c,             //         mov  [drive], dl     ; the firmware's number of the disk
    0x66, 0x31, 0xdb,                   //         xor  ebx, ebx        ; the sum
    0xbd, 0x40, 0x00,                   //         mov  bp, 64          ; pieces of 16 sectors
    0xb4, 0x42,                         // piece:  mov  ah, 0x42        ; extended read
    0xe8, 0x50, 0x00,                   //         call disk
    0xbe, 0x00, 0x80,                   //         mov  si, 0x8000
    0xb9, 0x00, 0x08,                   //         mov  cx, 2048
    0x66, 0xad,                         // word:   lodsd
    0x66, 0xd1, 0xc3,                   //         rol  ebx, 1
    0x66, 0x01, 0xc3,                   //         add  ebx, eax
    0xe2, 0xf6,                         //         loop word
    0x66, 0x83, 0x06, 0x8c, 0x7c, 0x10, //         add  dword [lba], 16
    0x4d,                               //         dec  bp
    0x75, 0xe2,                         //         jnz  piece
    0x66, 0x89, 0x1e, 0x00, 0x80,       //         mov  [0x8000], ebx
    0xb8, 0x00, 0x43,                   //         mov  ax, 0x4300      ; extended write
    0xe8, 0x2c, 0x00,                   //         call disk
    0xbe, 0x94, 0x7c,                   //         mov  si, text
    0xac,                               // next:   lodsb
    0x84, 0xc0,                         //         test al, al
    0x74, 0x05,                         //         jz   sum
    0xe8, 0x34, 0x00,                   //         call put
    0xeb, 0xf6,                         //         jmp  next
    0xb9, 0x08, 0x00,                   // sum:    mov  cx, 8
    0x66, 0xc1, 0xc3, 0x04,             // digit:  rol  ebx, 4
    0x88, 0xd8,                         //         mov  al, bl
    0x24, 0x0f,                         //         and  al, 15
    0x3c, 0x0a,                         //         cmp  al, 10
    0x72, 0x02,                         //         jb   small
    0x04, 0x27,                         //         add  al, 'a' - 10 - '0'
    0x04, 0x30,                         // small:  add  al, '0'
    0xe8, 0x1c, 0x00,                   //         call put
    0xe2, 0xeb,                         //         loop digit
    0xb0, 0x10,                         //         mov  al, 16
    0xe6, 0xf4,                         // end:    out  0xf4, al        ; QEMU's exit code: twice that, and 1
    0xf4,                               //         hlt
    0xeb, 0xfb,                         //         jmp  end
    0x66, 0x60,                         // disk:   pushad
    0xbe, 0x84, 0x7c,                   //         mov  si, packet
    0x8a, 0x16, 0x83, 0x7c,             //         mov  dl, [drive]
    0xcd, 0x13,                         //         int  0x13
    0x66, 0x61,                         //         popad
    0x73, 0x08,                         //         jnc  done
    0xb0, 0x11,                         //         mov  al, 17
    0xeb, 0xe8,                         //         jmp  end
    0xba, 0xf8, 0x03,                   // put:    mov  dx, 0x3f8
    0xee,                               //         out  dx, al
    0xc3,                               // done:   ret
    0x00,                               // drive:  db   0
    0x10, 0x00,                         // packet: db   16, 0
    0x10, 0x00,                         //         dw   16              ; sectors
    0x00, 0x80, 0x00, 0x00,             //         dw   0x8000, 0       ; to or from here
    0x01, 0x00, 0x00, 0x00,             // lba:    dd   1
    0x00, 0x00, 0x00, 0x00,             //         dd   0
    b'b', b'o', b'o', b't', b'e', b'd', b',', b' ', b's', b'u', b'm', b' ', 0, // text
];

/// A disk with that boot sector and noise.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 2 << 20];
    let mut random = File::open("/dev/urandom").unwrap();
    random.read_exact(&mut disk[SECTOR..]).unwrap();
    disk[..PROGRAM.len()].copy_from_slice(PROGRAM);
    disk[SECTOR - 2..SECTOR].copy_from_slice(&[0x55, 0xaa]);
    disk
}

fn sum(bytes: &[u8]) -> u32 {
    let (words, _) = bytes.as_chunks();
    words.iter().fold(0_u32, |sum, word| {
        sum.rotate_left(1).wrapping_add(u32::from_le_bytes(*word))
    })
}

/// What a guest says that boots from `node`, and ends when it has.
fn boot(qemu: &Qemu, node: &str, device: &str) -> Output {
    let mut command = Command::new("timeout");
    command.arg("60").arg(qemu.system().get_program());
    command.args(["-nodefaults", "-display", "none", "-serial", "stdio"]);
    command.args(["-machine", "pc,accel=tcg", "-m", "32", "-no-reboot"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]);
    command.args(["-blockdev", node, "-device"]);
    command.arg(format!("{device},drive=boot,bootindex=0"));
    command.output().unwrap()
}

fn assert_booted(output: &Output, disk: &[u8], case: &str) {
    let said = support::text(output);
    assert_eq!(output.status.code(), Some(33), "{case}: {said}");
    let booted = format!("booted, sum {:08x}", sum(&disk[SUMMED]));
    assert!(said.contains(&booted), "{case}: {said}");
}

#[test]
fn a_stock_guest_boots_from_our_server_reads_and_writes() {
    for qemu in fleece_lab::qemus() {
        for device in ["virtio-blk-pci", "ide-hd"] {
            let bench = Bench::new();
            let path = bench.path("boot.raw");
            let before = disk();
            std::fs::write(&path, &before).unwrap();
            let served = Served::start(&bench, &[&path]);
            let node = format!(
                "driver=nbd,node-name=boot,export=drive-boot,server.type=unix,server.path={}",
                bench.path("socket").join("nbd.sock").display()
            );
            let output = boot(&qemu, &node, device);

            let case = format!("QEMU {}, {device}", qemu.version());
            assert_booted(&output, &before, &case);
            drop(served);
            let after = std::fs::read(&path).unwrap();
            assert!(after[..SUMMED.end] == before[..SUMMED.end], "{case}");
            let expected = sum(&before[SUMMED]);
            assert_eq!(after[SUMMED.end..][..4], expected.to_le_bytes(), "{case}");
        }
    }
}

#[test]
fn a_stock_guest_boots_from_its_archive_and_writes_beside_it() {
    for qemu in fleece_lab::qemus() {
        let bench = Bench::new();
        let [image, archive, socket, over] =
            ["boot.raw", "boot.vma.zst", "sock", "over.qcow2"].map(|name| bench.path(name));
        let before = disk();
        std::fs::write(&image, &before).unwrap();
        let vma = || Command::new(env!("CARGO_BIN_EXE_vma"));
        let drive = format!("format=raw:drive-boot={}", image.display());
        let create = ["create", "--compress=zstd", "-d", &drive];
        support::succeed(vma().args(create).arg(&archive));

        let mut served = vma()
            .arg("serve")
            .args([&archive, &socket])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut uri = String::new();
        let mut said = BufReader::new(served.stdout.take().unwrap());
        said.read_line(&mut uri).unwrap();
        let mut overlay = qemu.img();
        overlay.args(["create", "-f", "qcow2", "-F", "raw", "-b", uri.trim()]);
        support::succeed(overlay.arg(&over));
        let node = format!(
            "driver=qcow2,node-name=boot,file.driver=file,file.filename={}",
            over.display()
        );
        let output = boot(&qemu, &node, "virtio-blk-pci");

        let case = format!("QEMU {}", qemu.version());
        assert_booted(&output, &before, &case);
        let mut merged = qemu.img();
        merged.args(["convert", "-O", "raw"]).args([&over, &image]);
        support::succeed(&mut merged);
        support::signal(served.id(), "-TERM");
        assert!(served.wait().unwrap().success());
        let after = std::fs::read(&image).unwrap();
        let expected = sum(&before[SUMMED]);
        assert_eq!(after[SUMMED.end..][..4], expected.to_le_bytes(), "{case}");
        support::succeed(vma().args(["verify", "--deep"]).arg(&archive));
    }
}

/// A raw disk of a machine, for a `-device`.
fn drive(machine: MachineBuilder, name: &str, content: &[u8]) -> MachineBuilder {
    let path = machine.folder().join(name);
    std::fs::write(&path, content).unwrap();
    let value = format!("file={},if=none,id={name},format=raw", path.display());
    machine.option("-drive", value)
}

/// Nobody has said what machine it was: QEMU was asked, and the archive tells.
#[test]
fn a_guest_of_no_other_system_boots_as_it_was_from_its_archive_alone() {
    let kinds = [
        (
            "virtio-blk-pci,drive=boot,bootindex=0",
            "virtio-blk-pci,drive=data,serial=DATA7,logical_block_size=4096,physical_block_size=4096",
        ),
        (
            "scsi-hd,bus=scsi.0,drive=boot,bootindex=0",
            "scsi-hd,bus=scsi.0,drive=data,scsi-id=3,lun=5,serial=DATA7,logical_block_size=4096,\
             physical_block_size=4096",
        ),
    ];
    for (qemu, (boot, data)) in fleece_lab::qemus().iter().zip(kinds.into_iter().cycle()) {
        let case = format!("QEMU {}, {boot}", qemu.version());
        let bench = Bench::new();
        let before = disk();
        let machine = Machine::builder(qemu).unwrap();
        let machine = drive(drive(machine, "boot", &before), "data", &vec![7; 1 << 20]);
        let machine = machine
            .option("-device", "virtio-scsi-pci,id=scsi")
            .option("-device", boot)
            .option("-device", data)
            .option("-device", "virtio-net-pci,romfile=,addr=0x9")
            .option("-smp", "2")
            .option("-cpu", "qemu64,+aes")
            .option("-name", "old web")
            .start()
            .unwrap();
        support::succeed(&mut bench.backup(&machine.qmp_socket()));
        drop(machine);
        let folder = bench.path("folder");
        let mut restore = bench.fleece("restore");
        restore.arg(bench.archive()).arg("--to").arg(&folder);
        let told = Ended::of(&mut restore).expect(0, &[]);
        assert!(!told.contains("WARN"), "{case}: {told}");
        let script = std::fs::read_to_string(folder.join("start.sh")).unwrap();
        let mut words = vec![
            "old-web",
            "virtio-net-pci",
            "\"addr\":\"0x9\"",
            "qemu64,+aes",
        ];
        words.extend([
            "\"logical_block_size\":4096",
            "\"serial\":\"DATA7\"",
            "-machine type=pc-",
        ]);
        if boot.starts_with("scsi") {
            words.extend(["\"scsi-id\":3", "\"lun\":5"]);
        }
        for word in words {
            assert!(script.contains(word), "{word}: {script}");
        }

        let system = qemu.system();
        let bin = std::path::Path::new(system.get_program()).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut start = Command::new("timeout");
        start
            .arg("60")
            .arg(folder.join("start.sh"))
            .env("PATH", path);
        start.args(["-machine", "accel=tcg", "-display", "none", "-no-reboot"]);
        start.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]);
        let output = start.output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(33),
            "{case}: {}",
            support::text(&output)
        );
        let disks = support::entries(&folder);
        let boot = disks
            .iter()
            .find(|path| path.to_string_lossy().contains("boot"));
        let after = std::fs::read(boot.unwrap()).unwrap();
        assert_eq!(
            after[SUMMED.end..][..4],
            sum(&before[SUMMED]).to_le_bytes(),
            "{case}"
        );
    }
}

/// Instead of its disks, it has its archive when it boots, and it ends long before they are copied.
#[test]
fn a_guest_that_ends_before_its_disks_are_complete_leaves_them_as_if_they_had_been() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let before = disk();
    let [image, archive, folder, config] =
        ["boot.raw", "boot.vma.zst", "guest", "qemu-server.conf"].map(|name| bench.path(name));
    std::fs::write(&image, &before).unwrap();
    std::fs::write(
        &config,
        "memory: 32\nvirtio0: l:vm-1-disk-0\nserial0: socket\n",
    )
    .unwrap();
    let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
    create
        .args(["create", "--compress=zstd", "-c"])
        .arg(&config)
        .arg(&archive);
    support::succeed(create.arg(format!("drive-virtio0={}", image.display())));

    let path = ending(&bench, &qemu);
    let mut restore = bench.fleece("restore");
    restore
        .arg(&archive)
        .args(["--live", "--bwlimit", "200k", "--to"]);
    let told = Ended::of(restore.arg(&folder).env("PATH", path));
    told.expect(0, &["completed without it", "is not needed any more"]);

    std::fs::remove_file(&archive).unwrap();
    let mut convert = Command::new("qemu-img");
    convert
        .args(["convert", "-O", "raw"])
        .arg(folder.join("disk-drive-virtio0.qcow2"));
    support::succeed(convert.arg(&image));
    let after = std::fs::read(&image).unwrap();
    assert!(after[..SUMMED.end] == before[..SUMMED.end]);
    assert_eq!(after[SUMMED.end..][..4], sum(&before[SUMMED]).to_le_bytes());
}

/// A `PATH` whose QEMU ends when the guest says so.
fn ending(bench: &Bench, qemu: &Qemu) -> String {
    let bin = bench.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\nexec {} \"$@\" -machine accel=tcg -display none -no-reboot \
         -device isa-debug-exit,iobase=0xf4,iosize=1\n",
        qemu.programs().join("qemu-system-x86_64").display()
    );
    let wrapper = bin.join("qemu-system-x86_64");
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

/// Backups of a guest that boots, 100, and of one that does not, 101; each has a second disk with a file system.
fn backups(bench: &Bench) -> [PathBuf; 2] {
    let [config, data] = ["qemu-server.conf", "data.raw"].map(|name| bench.path(name));
    let lines = "memory: 32\nvirtio0: l:vm-1-disk-0\nvirtio1: l:vm-1-disk-1\n\
                 net0: virtio=BC:24:11:00:00:01\n";
    std::fs::write(&config, lines).unwrap();
    File::create(&data).unwrap().set_len(8 << 20).unwrap();
    let mut format = Command::new("/sbin/mke2fs");
    support::succeed(format.args(["-q", "-t", "ext4"]).arg(&data));
    // It resets the machine, by way of the keyboard's controller.
    let mut other = vec![0; 1 << 20];
    other[..5].copy_from_slice(&[0xb0, 0xfe, 0xe6, 0x64, 0xf4]);
    other[SECTOR - 2..SECTOR].copy_from_slice(&[0x55, 0xaa]);
    [(100, disk()), (101, other)].map(|(guest, content)| {
        let image = bench.path("image.raw");
        std::fs::write(&image, content).unwrap();
        let name = format!("vzdump-qemu-{guest}-2026_01_01-00_00_00.vma.zst");
        let archive = bench.path("archives").join(name);
        let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
        create
            .args(["create", "--compress=zstd", "-c"])
            .arg(&config);
        create.arg(&archive);
        create.arg(format!("drive-virtio0={}", image.display()));
        support::succeed(create.arg(format!("drive-virtio1={}", data.display())));
        archive
    })
}

fn assert_no_drill_left(bench: &Bench) {
    let drills = bench.path("state").join("drills");
    assert!(support::entries(&drills).is_empty());
    assert!(drilling(bench).is_empty());
}

/// The QEMUs of drills.
fn drilling(bench: &Bench) -> Vec<u32> {
    let Ok(drills) = bench.path("state").join("drills").canonicalize() else {
        return Vec::new();
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_ours = |number: &u32| {
        std::fs::read_link(format!("/proc/{number}/cwd")).is_ok_and(|cwd| cwd.starts_with(&drills))
    };
    numbers.filter(is_ours).collect()
}

#[test]
fn a_drill_tells_a_backup_that_boots_from_one_that_does_not() {
    for qemu in fleece_lab::qemus() {
        let case = format!("QEMU {}", qemu.version());
        let bench = Bench::new();
        let [boots, fails] = backups(&bench);
        let before = std::fs::read(&boots).unwrap();
        let others = std::env::var("PATH").unwrap();
        let path = format!("{}:{others}", qemu.programs().display());
        let drill = |options: &[&str]| {
            let mut drill = bench.fleece("drill");
            drill.env("PATH", &path).args(["--accel", "tcg"]);
            drill.args(["--wait", "serial=booted, sum *"]);
            drill.args(options).arg("--to").arg(bench.path("archives"));
            Ended::of(&mut drill)
        };
        let pictures = bench.path("pictures");
        std::fs::create_dir(&pictures).unwrap();
        let keep = ["100", "--json", "--screenshots", pictures.to_str().unwrap()];
        let said = drill(&keep).expect(0, &["\"boots\":true", "on the serial port"]);
        let picture = std::fs::read(&support::entries(&pictures)[0]).unwrap();
        assert!(picture.starts_with(b"\x89PNG"), "{case}: {said}");
        assert_no_drill_left(&bench);
        assert!(std::fs::read(&boots).unwrap() == before, "{case}");

        let all = drill(&["--all"]);
        let words = ["it boots", "it does not boot: ", "1 backup does not boot"];
        all.expect(4, &words);
        assert_no_drill_left(&bench);
        let mut list = bench.fleece("list");
        let listed = Ended::of(list.arg(bench.path("archives")));
        listed.expect(0, &["+boots", "fails to boot"]);
        let mut report = bench.fleece("report");
        let report = Ended::of(report.arg("--json").arg(bench.path("archives")));
        assert!(
            report.said.contains("did not boot"),
            "{case}: {}",
            report.said
        );
        // The record is about that archive, and goes with it.
        let mut delete = bench.fleece("delete");
        support::succeed(delete.arg(&fails));
        assert!(!fails.with_extension("zst.drilled").exists());
        assert!(boots.with_extension("zst.drilled").exists());
    }
}

/// What a guest does that shows all signs of life, each a moment after the other.
const ALIVE: &str = r#"
ifconfig eth0 10.0.2.15
printf '#!/bin/sh\necho SSH-2.0-lab\n' >/bin/greet
chmod +x /bin/greet
nc -ll -p 22 -e /bin/greet &
printf '#!/bin/sh\nread line && echo HTTP/1.0 400\n' >/bin/answer
chmod +x /bin/answer
nc -ll -p 80 -e /bin/answer &
start_agent
echo 'lab login: ' >/dev/ttyS0
while :; do sleep 60; done
"#;

#[test]
fn a_drill_waits_for_all_signs_of_life_and_one_archive_that_cannot_be_read_does_not_end_it() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let archives = bench.path("archives");
    let [config, image, bin] =
        ["qemu-server.conf", "image.raw", "bin"].map(|name| bench.path(name));
    std::fs::create_dir_all(&archives).unwrap();
    std::fs::create_dir(&bin).unwrap();
    // With one processor, TCG now and then loses an interrupt of a virtio device.
    let lines = "memory: 256\ncores: 2\nvirtio0: l:vm-1-disk-0\n";
    std::fs::write(&config, lines).unwrap();
    support::noise(&image, 1 << 20);
    let archive = |guest| archives.join(format!("vzdump-qemu-{guest}-2026_01_01-00_00_00.vma"));
    let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
    create
        .arg("create")
        .arg("-c")
        .arg(&config)
        .arg(archive(100));
    support::succeed(create.arg(format!("drive-virtio0={}", image.display())));
    std::fs::copy(&image, archive(99)).unwrap();
    let linux = Linux::new(ALIVE).with_agent().module("virtio_net");
    linux.install(&qemu, &bin).unwrap();

    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let drill = || {
        let mut drill = bench.fleece("drill");
        drill.env("PATH", &path).args(["--timeout", "100"]);
        for marker in [
            "serial=lab*login:",
            "agent",
            "event=vserport_change",
            "port=22",
            "port=80",
        ] {
            drill.args(["--wait", marker]);
        }
        Ended::of(drill.args(["--all", "--json", "--to"]).arg(&archives))
    };
    // On a busy host one boot in some fifty hangs under TCG.
    let booted = |ended: &Ended| ended.said.contains("\"boots\":true");
    let mut ended = drill();
    for _ in 0..2 {
        if !booted(&ended) {
            eprintln!("it does not come up, once more: {}", ended.said);
            ended = drill();
        }
    }
    let words = [
        "vzdump-qemu-99-2026_01_01-00_00_00.vma",
        "'lab*login:' on the serial port",
        "an answer of the guest's agent",
        "the event VSERPORT_CHANGE",
        "a service at TCP port 22",
        "a service at TCP port 80",
    ];
    // The other one is damaged.
    ended.expect(4, &words);
    assert_no_drill_left(&bench);
}

#[test]
fn a_drill_checks_file_systems_and_one_that_is_killed_leaves_nothing_for_long() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let bench = Bench::new();
    let [boots, _] = backups(&bench);
    // As Proxmox writes it: it can only be read from front to back.
    let whole = zstd::decode_all(File::open(&boots).unwrap()).unwrap();
    std::fs::write(&boots, zstd::encode_all(&*whole, 1).unwrap()).unwrap();
    let path = ending(&bench, &qemu);
    let mut drill = bench.fleece("drill");
    drill.env("PATH", &path).arg("--fsck").arg(&boots);
    let said = Ended::of(drill.args(["--wait", "serial=booted, sum"]));
    said.expect(0, &["drive-virtio1 (ext4): sound", "it boots"]);
    let mut late = bench.fleece("drill");
    late.env("PATH", &path).arg(&boots).args(["--timeout", "1"]);
    let late = Ended::of(late.args(["--wait", "port=22"]));
    late.expect(4, &["it does not boot", "without a service at TCP port 22"]);
    assert_no_drill_left(&bench);

    let others = std::env::var("PATH").unwrap();
    let path = format!("{}:{others}", qemu.programs().display());
    let waiting = || {
        let mut drill = bench.fleece("drill");
        drill
            .env("PATH", &path)
            .arg(&boots)
            .args(["--accel", "tcg"]);
        let mut drill = drill.args(["--wait", "event=NEVER"]).spawn().unwrap();
        while drilling(&bench).is_empty() {
            assert!(drill.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(20));
        }
        drill
    };
    let mut killed = waiting();
    killed.kill().unwrap();
    killed.wait().unwrap();
    // QEMU does not outlive it.
    while !drilling(&bench).is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut cleanup = bench.fleece("cleanup");
    Ended::of(cleanup.arg("--all")).expect(0, &["which a killed drill has left"]);
    assert_no_drill_left(&bench);
    let ended = waiting();
    support::signal(ended.id(), "-TERM");
    Ended::from(ended.wait_with_output().unwrap()).expect_code(143);
    assert_no_drill_left(&bench);
}
