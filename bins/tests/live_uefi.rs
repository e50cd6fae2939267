//! A guest that starts from UEFI with a TPM comes back as itself: its variables and its TPM's state, too.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_lab::Qemu;
use support::Bench;
use support::ended::Ended;

const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// What UEFI's shell does when it starts: it shows a variable that only an earlier start has set.
const STARTUP: &str = "echo -off\r\nsetvar Marker -guid 11111111-2222-3333-4444-555555555555\r\n\
                       setvar Marker -guid 11111111-2222-3333-4444-555555555555 -bs -nv =0x4242\r\n\
                       echo fleece marker\r\n";

/// How long UEFI takes to its shell, five seconds of waiting there included, on a busy machine without KVM.
const TIMEOUT: Duration = Duration::from_secs(180);

struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What UEFI says on the serial port until the marker.
fn console(socket: &Path) -> String {
    let end = Instant::now() + TIMEOUT;
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let (mut said, mut buffer) = (String::new(), [0; 4096]);
    // The shell echoes the line before it.
    while said.matches("fleece marker").count() < 1 {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0 && Instant::now() < end, "{said}");
        said.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap()));
    }
    said
}

/// A disk with the shell's script, made by QEMU's own FAT.
fn disk(qemu: &Qemu, bench: &Bench) -> std::path::PathBuf {
    let (tree, image) = (bench.path("esp"), bench.path("esp.raw"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("startup.nsh"), STARTUP).unwrap();
    let mut convert = qemu.img();
    convert.args(["convert", "-O", "raw"]);
    support::succeed(convert.arg(format!("fat:{}", tree.display())).arg(&image));
    image
}

fn started(command: &mut Command) -> Ends {
    Ends(command.stdin(Stdio::null()).spawn().unwrap())
}

#[test]
fn a_guest_with_uefi_and_a_tpm_comes_back_with_its_variables_and_its_secrets() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let Some(swtpm) = fleece_lab::require("swtpm") else {
        return;
    };
    if !Path::new(CODE).exists() {
        return fleece_lab::skip("Debian's OVMF is not installed");
    }
    let bench = Bench::new();
    let (image, variables, tpm) = (disk(&qemu, &bench), bench.path("vars"), bench.path("tpm"));
    fs::copy(VARIABLES, &variables).unwrap();
    fs::create_dir(&tpm).unwrap();
    let socket = |name: &str| bench.path(name);
    let swtpm = started(
        Command::new(swtpm)
            .args(["socket", "--tpm2", "--tpmstate"])
            .arg(format!("dir={}", tpm.display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", socket("tpm.sock").display())),
    );
    while !socket("tpm.sock").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut system = qemu.system();
    system.args([
        "-nodefaults",
        "-display",
        "none",
        "-m",
        "256",
        "-name",
        "secure",
    ]);
    system.args(["-machine", "q35,accel=tcg", "-cpu", "qemu64,+aes"]);
    for (option, value) in [
        (
            "-drive",
            format!("if=pflash,unit=0,format=raw,readonly=on,file={CODE}"),
        ),
        (
            "-drive",
            format!("if=pflash,unit=1,format=raw,file={}", variables.display()),
        ),
        (
            "-drive",
            format!("if=none,id=esp,format=raw,file={}", image.display()),
        ),
        ("-device", "virtio-blk-pci,drive=esp,bootindex=0".to_owned()),
        (
            "-chardev",
            format!("socket,id=chrtpm,path={}", socket("tpm.sock").display()),
        ),
        ("-tpmdev", "emulator,id=tpm0,chardev=chrtpm".to_owned()),
        ("-device", "tpm-crb,tpmdev=tpm0".to_owned()),
        (
            "-serial",
            format!("unix:{},server=on,wait=on", socket("serial").display()),
        ),
        (
            "-qmp",
            format!("unix:{},server=on,wait=off", socket("qmp").display()),
        ),
    ] {
        system.arg(option).arg(value);
    }
    let guest = started(&mut system);
    let first = console(&socket("serial"));
    assert!(first.contains("Unable to get"), "{first}");
    let said = Ended::of(&mut bench.backup(&socket("qmp")));
    let said = said.expect(0, &["drive-efidisk0", "key material"]);
    assert!(!said.contains("WARN"), "{said}");
    let secret = fs::read(tpm.join("tpm2-00.permall")).unwrap();
    drop((guest, swtpm));
    for lost in [&image, &variables] {
        fs::remove_file(lost).unwrap();
    }
    fs::remove_dir_all(&tpm).unwrap();

    let folder = bench.path("folder");
    let mut restore = bench.fleece("restore");
    restore.arg(bench.archive()).arg("--to").arg(&folder);
    let told = Ended::of(&mut restore).expect(0, &[]);
    assert!(!told.contains("WARN"), "{told}");
    assert_eq!(fs::read(folder.join("tpm2-00.permall")).unwrap(), secret);
    let script = fs::read_to_string(folder.join("start.sh")).unwrap();
    for words in [
        "pflash,unit=1",
        "+aes",
        "--tpmstate \"dir=$PWD\"",
        "type=pc-q35-10.0",
    ] {
        assert!(script.contains(words), "{words}: {script}");
    }
    let system = qemu.system();
    let bin = Path::new(system.get_program()).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut start = Command::new(folder.join("start.sh"));
    start.env("PATH", path);
    start.args(["-machine", "accel=tcg", "-display", "none"]);
    let guest = started(&mut start);
    let second = console(&folder.join("serial0.sock"));
    assert!(!second.contains("Unable to get"), "{second}");
    assert!(second.contains("Marker"), "{second}");
    drop(guest);
}
