//! `fleece restore --live`: a guest that starts on its archive, while its disks are copied behind it. What it reads and
//! writes is read and written through its own device, by QEMU's `qemu-io`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use fleece_lab::Qemu;
use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{HumanMonitorCommand, QueryBlockStats, Quit};
use serde_json::Value;
use support::Bench;
use support::ended::Ended;
use support::running::Running;

const MIB: usize = 1 << 20;
const CONFIG: &str = "name: web\nmemory: 64\nvirtio0: l:vm-1-disk-0\nscsi1: l:vm-1-disk-1\n\
                      scsihw: virtio-scsi-pci\n";
const LATE: Duration = Duration::from_secs(120);

/// An archive, and the folder in which its guest starts.
struct Host {
    bench: Bench,
    folder: PathBuf,
    archive: PathBuf,
    path: std::ffi::OsString,
    /// What the first disk held.
    disk: Vec<u8>,
}

impl Host {
    fn new(qemu: &Qemu) -> Self {
        let bench = Bench::new();
        let [bin, folder, archive] = ["bin", "guest", "web.vma"].map(|name| bench.path(name));
        fs::create_dir(&bin).unwrap();
        let program = qemu.programs().join("qemu-system-x86_64");
        let script = format!(
            "#!/bin/sh\necho $$ > {}\nexec {} \"$@\" -machine accel=tcg -display none -qmp \
             unix:{},server=on,wait=off\n",
            bench.path("pid").display(),
            program.display(),
            bench.path("test.sock").display(),
        );
        let wrapper = bin.join("qemu-system-x86_64");
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        let others = std::env::var_os("PATH").unwrap();
        let path = std::iter::once(bin).chain(std::env::split_paths(&others));
        let path = std::env::join_paths(path).unwrap();

        let [config, first, second] = ["qemu-server.conf", "a", "b"].map(|name| bench.path(name));
        fs::write(&config, CONFIG).unwrap();
        support::noise(&first, 6 << 20);
        let mut disk = fs::read(&first).unwrap();
        disk[2 * MIB..4 * MIB].fill(0);
        fs::write(&first, &disk).unwrap();
        support::noise(&second, 1 << 20);
        let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
        create.arg("create").arg(&archive).arg("-c").arg(&config);
        create.arg(format!("drive-virtio0={}", first.display()));
        create.arg(format!("drive-scsi1={}", second.display()));
        support::succeed(&mut create);
        Self {
            bench,
            folder,
            archive,
            path,
            disk,
        }
    }

    /// The archive as Proxmox writes it: it can only be read from front to back.
    fn in_one_frame(&mut self) {
        let whole = fs::read(&self.archive).unwrap();
        self.archive = self.bench.path("web.vma.zst");
        fs::write(&self.archive, zstd::encode_all(&*whole, 1).unwrap()).unwrap();
    }

    /// Encrypts the archive, and gives the file with the secret key.
    fn encrypt(&mut self) -> PathBuf {
        let (plain, key) = (self.archive.clone(), self.bench.path("key"));
        self.archive = self.bench.path("web.vma.zst.age");
        support::succeed(Command::new("age-keygen").arg("-o").arg(&key));
        let public = support::succeed(Command::new("age-keygen").arg("-y").arg(&key));
        let public = String::from_utf8(public.stdout).unwrap();
        let mut encrypt = Command::new(env!("CARGO_BIN_EXE_vma"));
        encrypt.arg("reframe").arg(&plain).arg(&self.archive);
        support::succeed(encrypt.args(["--encrypt-to", public.trim()]));
        fs::remove_file(plain).unwrap();
        key
    }

    /// Where a copy of an archive is that cannot be read anywhere.
    fn copy(&self) -> PathBuf {
        self.bench.path("guest.live.vma.zst")
    }

    fn restore(&self) -> Command {
        let mut command = self.bench.fleece("restore");
        command.env("PATH", &self.path);
        command
    }

    /// A live restore that takes so many bytes per second.
    fn live(&self, rate: &str) -> Command {
        let mut command = self.restore();
        command.arg(&self.archive).args(["--live", "--to"]);
        command.arg(&self.folder).args(["--bwlimit", rate]);
        command
    }

    fn resume(&self) -> Command {
        let mut command = self.restore();
        command.arg("--resume").arg(&self.folder);
        command
    }

    fn image(&self) -> PathBuf {
        self.folder.join("disk-drive-virtio0.qcow2")
    }

    /// What the guest does with its first disk.
    fn guest(&self, line: &str) {
        guest(&self.bench.path("test.sock"), line);
    }

    /// Ends QEMU, which tells then whether all that was read was what was expected.
    fn quit(&self) {
        let client = Client::connect_unix(self.bench.path("test.sock")).unwrap();
        client.execute(&Quit {}).unwrap();
        self.await_end_of_qemu();
        let said = fs::read_to_string(self.folder.join("start.log")).unwrap();
        assert!(said.contains("ops;") && !said.contains("failed"), "{said}");
    }

    fn await_end_of_qemu(&self) {
        let process = self.qemu();
        wait_for("the end of QEMU", || has_ended(process));
    }

    fn qemu(&self) -> u32 {
        let pid = fs::read_to_string(self.bench.path("pid")).unwrap();
        pid.trim().parse().unwrap()
    }

    /// The process that serves the archive.
    fn server(&self) -> Option<u32> {
        let folder = self.folder.canonicalize().ok()?;
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.find(|number: &u32| {
            let of = |file: &str| Path::new("/proc").join(number.to_string()).join(file);
            let line = fs::read_to_string(of("cmdline")).unwrap_or_default();
            line.contains("--live-server")
                && fs::read_link(of("cwd")).is_ok_and(|cwd| cwd == folder)
        })
    }

    fn kill(&self, process: u32) {
        support::signal(process, "-KILL");
        wait_for("its end", || has_ended(process));
    }

    /// The disk is what it was, but for what the guest wrote, and knows of no archive; and nothing else is left.
    fn assert_complete(&self, writes: &[(usize, u8)]) {
        assert!(!self.folder.join("live.json").exists());
        assert!(!self.folder.join("live.sock").exists());
        assert_eq!(self.server(), None);
        assert!(!self.copy().exists());
        // It is not there any more when it is looked at.
        let _ = fs::remove_file(&self.archive);
        let mut expected = self.disk.clone();
        for (at, byte) in writes {
            expected[*at..at + 65536].fill(*byte);
        }
        let mut info = Command::new("qemu-img");
        info.args(["info", "-U", "--output=json"]).arg(self.image());
        let info: Value = serde_json::from_slice(&support::succeed(&mut info).stdout).unwrap();
        assert_eq!(info["backing-filename"], Value::Null, "{info}");
        let raw = self.bench.path("raw");
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-U", "-O", "raw"]);
        support::succeed(convert.arg(self.image()).arg(&raw));
        assert!(fs::read(&raw).unwrap() == expected);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let qemu = fs::read_to_string(self.bench.path("pid")).ok();
        let processes = qemu
            .into_iter()
            .chain(self.server().map(|id| id.to_string()));
        for process in processes {
            let _ = Command::new("kill")
                .args(["-KILL", process.trim()])
                .status();
        }
    }
}

fn guest(monitor: &Path, line: &str) {
    let client = Client::connect_unix(monitor).unwrap();
    let device = "/machine/peripheral/virtio0/virtio-backend";
    let command_line = format!("qemu-io -d {device} \"{line}\"");
    let said = client
        .execute(&HumanMonitorCommand { command_line })
        .unwrap();
    assert_eq!(said, "");
    drop(client);
    assert_fine(monitor);
}

/// QEMU says what went wrong in its log, when it ends, and counts it at once.
fn assert_fine(monitor: &Path) {
    let client = Client::connect_unix(monitor).unwrap();
    let stats = client.execute(&QueryBlockStats::default()).unwrap();
    let stats = stats.iter().map(|device| &device.stats);
    let failed = stats.map(|stats| stats.failed_rd_operations + stats.failed_wr_operations);
    assert_eq!(failed.sum::<u64>(), 0);
}

/// Whether a process is no more, or only waits to be asked how it ended: before that, its files may still be locked.
fn has_ended(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, state)| state.starts_with(['Z', 'X']))
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + LATE;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_guest_runs_on_its_archive_and_goes_on_without_it() {
    for (number, qemu) in fleece_lab::qemus().into_iter().enumerate() {
        let mut host = Host::new(&qemu);
        // One that is encrypted: nobody but this process gets the key.
        let key = (number == 0).then(|| host.encrypt());
        let mut live = host.live("4M");
        if let Some(key) = &key {
            live.arg("--identity").arg(key);
        }
        let mut restore = Running::start(&mut live);
        restore.until("the guest runs after");
        assert!(host.folder.join("live.json").exists());
        // It writes into what is copied and into what is not, and reads what is where it was.
        for at in ["64k", "5M"] {
            host.guest(&format!("write -P 7 {at} 64k"));
            host.guest(&format!("read -P 7 {at} 64k"));
        }
        host.guest("read -P 0 2M 2M");
        let ended = restore.end();
        let said = ended.expect(0, &["is not needed any more"]);
        let result: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!(result["bytes"], 7 << 20);
        assert!(result["started"].as_f64().unwrap() > 0.0, "{result}");
        assert_eq!(
            result["disks"]["drive-virtio0"],
            host.image().display().to_string()
        );
        host.guest("read -P 7 5M 64k");
        host.quit();
        host.assert_complete(&[(64 << 10, 7), (5 << 20, 7)]);
        // Without an archive it starts as any other.
        let script = fs::read_to_string(host.folder.join("start.sh")).unwrap();
        assert!(script.contains("if [ -e live.json ]"), "{script}");
    }
}

#[test]
fn whoever_is_killed_the_guest_gets_no_error_and_the_restore_goes_on() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let host = Host::new(&qemu);
    let mut restore = Running::start(&mut host.live("1M"));
    restore.until("the guest runs after");
    host.guest("write -P 9 5M 64k");
    restore.kill();
    // The server goes on, and so does QEMU.
    host.guest("read 4M 64k");
    host.kill(host.server().unwrap());
    let monitor = host.bench.path("test.sock");
    let waits = thread::spawn(move || guest(&monitor, "read 5888k 64k"));
    // Another process goes on, but for one at a time.
    let mut resumed = Running::start(&mut host.resume());
    resumed.until("the guest runs");
    waits.join().unwrap();
    Ended::of(&mut host.resume()).expect(6, &["another process looks after"]);
    // A server that is killed meanwhile is started again.
    if let Some(server) = host.server() {
        support::signal(server, "-KILL");
    }
    let ended = resumed.end();
    let code = if ended.said.contains("was started again") {
        3
    } else {
        0
    };
    ended.expect_code(code);
    host.guest("read -P 9 5M 64k");
    host.quit();
    host.assert_complete(&[(5 << 20, 9)]);
    Ended::of(&mut host.resume()).expect(1, &["there is no live restore"]);
}

#[test]
fn after_a_power_failure_nothing_is_lost_that_the_guest_wrote() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let host = Host::new(&qemu);
    let mut restore = Running::start(&mut host.live("1M"));
    restore.until("the guest runs after");
    host.guest("write -P 5 5M 64k");
    host.guest("flush");
    // A signal ends the looking after, and nothing else.
    restore.signal("-TERM");
    restore
        .end()
        .expect(143, &["the guest goes on", "must stay", "--resume"]);
    host.guest("write -P 6 3M 64k");
    host.guest("flush");
    host.kill(host.qemu());
    host.kill(host.server().unwrap());

    // Neither the image nor its script can be mistaken for what is complete.
    let mut info = Command::new("qemu-img");
    let checked = Ended::of(
        info.arg("compare")
            .arg(host.image())
            .arg(host.bench.path("a")),
    );
    assert!(checked.said.contains("live.sock"), "{}", checked.said);
    let mut script = Command::new(host.folder.join("start.sh"));
    Ended::of(script.env("PATH", &host.path)).expect(1, &["fleece restore --resume"]);
    Ended::of(&mut host.live("1M")).expect(1, &["not complete", "fleece restore --resume"]);

    // Without the archive it cannot go on, and says so; with it, it does, without the guest.
    let elsewhere = host.bench.path("elsewhere");
    fs::rename(&host.archive, &elsewhere).unwrap();
    Ended::of(&mut host.resume()).expect(1, &["cannot be served", "web.vma"]);
    fs::rename(&elsewhere, &host.archive).unwrap();
    Ended::of(&mut host.resume()).expect(0, &["completed without it", "is not needed any more"]);
    host.await_end_of_qemu();
    host.assert_complete(&[(5 << 20, 5), (3 << 20, 6)]);
}

#[test]
fn after_a_power_failure_the_guest_can_start_again_at_once() {
    let Some(qemu) = fleece_lab::qemu("7.2") else {
        return;
    };
    let mut host = Host::new(&qemu);
    host.in_one_frame();
    let mut restore = Running::start(&mut host.live("1M"));
    restore.until("is read once now");
    restore.until("the guest runs after");
    // All that is left of it is in a copy for the time being.
    fs::remove_file(&host.archive).unwrap();
    assert_eq!(
        fs::metadata(host.copy()).unwrap().permissions().mode() & 0o777,
        0o600
    );
    host.guest("write -P 5 5M 64k");
    host.guest("flush");
    host.kill(host.qemu());
    restore.kill();
    if let Some(server) = host.server() {
        host.kill(server);
    }
    let mut resumed = Running::start(host.resume().arg("--start"));
    resumed.until("started ");
    wait_for("its monitor", || host.bench.path("test.sock").exists());
    host.guest("read -P 5 5M 64k");
    host.guest("write -P 6 0 64k");
    resumed.end().expect_code(0);
    host.guest("read -P 6 0 64k");
    host.quit();
    host.assert_complete(&[(5 << 20, 5), (0, 6)]);
}

#[test]
fn what_cannot_be_live_is_refused_before_anything_is_made() {
    let bench = Bench::new();
    let image = bench.path("image");
    support::noise(&image, 1 << 20);
    let plain = bench.path("plain.vma");
    let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
    create.arg("create").arg(&plain);
    support::succeed(create.arg(format!("drive-virtio0={}", image.display())));
    let folder = bench.path("folder");
    let restore = |archive: &Path, options: &[&str]| {
        let mut command = bench.fleece("restore");
        command.arg(archive).arg("--live").args(options);
        Ended::of(&mut command)
    };
    let to = ["--to", folder.to_str().unwrap()];
    restore(&plain, &["--vmid", "7"]).expect(1, &["Proxmox", "--to DIR"]);
    restore(&plain, &["--libvirt"]).expect(1, &["--to DIR"]);
    restore(&plain, &[&to[..], &["--format", "raw"]].concat()).expect(1, &["qcow2"]);
    restore(Path::new("-"), &to).expect(1, &["pipe"]);
    assert!(!folder.exists());
}
