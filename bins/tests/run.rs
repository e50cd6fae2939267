//! `fleece run`: the backups of several guests. What needs QEMU is in `live_run.rs`.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::ended::Ended;
use support::mounted::Tmpfs;
use support::running::Running;
use tempfile::TempDir;

/// A host with images of two guests and a configuration.
struct Host(TempDir);

impl Host {
    fn new(config: &str) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for name in ["to", "guests/web", "guests/db"] {
            fs::create_dir_all(host.path(name)).unwrap();
        }
        for name in ["web", "db"] {
            let image = host.path(&format!("guests/{name}/disk.raw"));
            fs::write(image, vec![7; 1 << 20]).unwrap();
        }
        host.configure(config);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn configure(&self, config: &str) {
        let config =
            format!("state-dir = 'state'\n[backup]\nto = 'to'\ncompress = 'none'\n{config}");
        fs::write(self.path("fleece.toml"), config).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command.current_dir(self.0.path()).args(arguments);
        command.env("FLEECE_CONFIG", "fleece.toml");
        command
    }

    fn fleece(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.command(arguments))
    }

    /// The last line of a run with `--json`, and its exit code.
    fn run(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.command(arguments).arg("--json").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let last = said.lines().last().unwrap_or_default();
        let summary = serde_json::from_str(last).unwrap();
        (output.status.code().unwrap(), summary)
    }

    /// The archives of a guest.
    fn archives(&self, guest: &str) -> Vec<PathBuf> {
        let mut archives = support::entries(&self.path("to"));
        let prefix = format!("vzdump-qemu-{guest}-");
        archives.retain(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(&prefix) && name.ends_with(".vma")
        });
        archives
    }
}

const JOB: &str = "[job.nightly]
image = ['guests/*/disk.raw']
guest = ['lost', 'nowhere']
retry-after = 0

[guest.lost]
image = ['guests/lost.raw']
";

/// Of each guest: its exit code and how many attempts there were.
fn results(summary: &Value) -> Vec<(String, u64, u64)> {
    let guests = summary["guests"].as_array().unwrap().iter();
    let result = |guest: &Value| {
        let name = guest["guest"].as_str().unwrap().to_owned();
        let [code, attempts] = ["exit_code", "attempts"].map(|key| guest[key].as_u64().unwrap());
        (name, code, attempts)
    };
    guests.map(result).collect()
}

#[test]
fn a_guest_that_fails_does_not_keep_the_others_from_their_backups() {
    let host = Host::new(JOB);
    let (code, summary) = host.run(&["run", "nightly"]);
    let results = results(&summary);
    let names: Vec<_> = results.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["lost", "nowhere", "db", "web"]);
    assert_eq!(results[2].1, 0, "{summary}");
    assert_eq!(results[3].1, 0, "{summary}");
    // The image may come back; who says nothing of a guest is refused at once.
    assert!(results[0].1 > 0 && results[0].2 == 2, "{summary}");
    assert_eq!((results[1].1, results[1].2), (2, 0), "{summary}");
    let worst = results.iter().map(|(_, code, _)| *code).max().unwrap();
    assert_eq!(u64::try_from(code), Ok(worst));
    for guest in ["web", "db"] {
        assert_eq!(host.archives(guest).len(), 1);
    }
    // No lock, no status, no image.
    let left = support::entries(&host.path("state"));
    let left: Vec<_> = left
        .iter()
        .filter(|path| path.extension().is_none_or(|ending| ending != "claim"))
        .filter(|path| !path.is_dir())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What `fleece report` says of each guest: its state, and why.
fn reported(host: &Host) -> Vec<(String, String, String)> {
    let output = host.command(&["report", "to", "--json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let guests = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let guests = guests.filter(|guest| guest["guest"].is_string());
    let word = |guest: &Value, key: &str| guest[key].as_str().unwrap().to_owned();
    guests
        .map(|guest| {
            (
                word(&guest, "guest"),
                word(&guest, "state"),
                word(&guest, "why"),
            )
        })
        .collect()
}

#[test]
fn every_guest_without_a_backup_has_failed_and_is_not_missing_whatever_it_failed_of() {
    // A monitor that is not there, one that nobody answers at, no way, no image, an option that makes no sense, and
    // hosts that are no guests.
    let host = Host::new(
        "[run]\nno-retry = true\n[guest.gone]\nqmp = 'gone.qmp'\n[guest.silent]\nqmp = 'run/silent.sock'\n\
         [guest.wayless]\nnotes = 'x'\n[guest.lost]\nimage = ['lost.raw']\n[guest.odd]\nimage = ['guests/web/disk.raw']\n\
         notes = '{{odd}}'\n[guest.102]\nqmp = 'gone.qmp'\n",
    );
    let _silent = hung(&host, "silent");
    let connect = "qemu:///system?socket=/nowhere";
    let (code, summary) = host.run(&[
        "run",
        "--all",
        "--jobs",
        "6",
        "--libvirt",
        "--connect",
        connect,
    ]);
    assert_eq!(code, 6, "{summary}");
    let libvirt = results(&summary)
        .into_iter()
        .find(|(name, ..)| name == "(libvirt)");
    assert_ne!(libvirt.unwrap().1, 0, "{summary}");
    let reported = reported(&host);
    let names: Vec<_> = reported.iter().map(|(guest, ..)| guest.as_str()).collect();
    assert_eq!(names, ["102", "gone", "lost", "odd", "silent", "wayless"]);
    for (guest, state, why) in &reported {
        assert_eq!(state, "failed", "{guest}: {why}");
        assert!(!why.is_empty(), "{guest}");
    }
    // One record each, with its log, also of a backup by itself; who is killed is recorded by the run.
    let logs = |guest: &str| {
        let prefix = format!("vzdump-qemu-{guest}-");
        let files = support::entries(&host.path("to"));
        let names = files
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
        names
            .filter(|name| name.starts_with(&prefix) && name.ends_with(".log"))
            .count()
    };
    assert_eq!((logs("gone"), logs("silent"), logs("wayless")), (1, 1, 1));
    std::thread::sleep(std::time::Duration::from_secs(1));
    host.fleece(&["backup", "--name", "gone"]).expect_code(5);
    assert_eq!(logs("gone"), 2);
    host.fleece(&["backup", "--name", "gone", "--dry-run"])
        .expect_code(5);
    assert_eq!(logs("gone"), 2);
}

#[test]
fn a_target_that_is_full_or_read_only_has_failed_nights_too_and_takes_their_records_later() {
    let host = Host::new("[run]\nno-retry = true\nimage = ['guests/*/disk.raw']\n");
    let to = host.path("to");
    let _mounted = Tmpfs::mount(to.clone(), "8M");
    let filler = to.join("filler");
    let full = fs::write(&filler, vec![1; 16 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let fails_by = |cause: &str| {
        assert_ne!(host.run(&["run"]).0, 0);
        let [(db, state, why), (web, ..)] = &reported(&host)[..] else {
            panic!("two guests fail")
        };
        assert_eq!([db, web], ["db", "web"]);
        assert_eq!(state, "failed");
        assert!(why.contains(cause), "{why}");
    };
    fails_by("full");
    let remount = |option: &str| {
        let option = format!("remount,{option}");
        support::succeed(Command::new("mount").arg("-o").arg(option).arg(&to));
    };
    remount("ro");
    std::thread::sleep(std::time::Duration::from_secs(1));
    fails_by("Read-only file system");
    remount("rw");
    assert_eq!(support::entries(&to), std::slice::from_ref(&filler));
    let said = host.fleece(&["metrics", "to"]).expect_code(0);
    assert!(
        said.contains("fleece_backup_result{guest=\"web\"} 2"),
        "{said}"
    );
    fs::remove_file(&filler).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(host.run(&["run"]).0, 0);
    // Two records of failed runs and one of a good one, each with a log.
    let records = support::entries(&to).into_iter();
    let records = records.filter(|path| path.to_string_lossy().ends_with(".stats.json"));
    assert_eq!(records.count(), 6);
    let kept = host.path("state/unwritten");
    let kept = Command::new("find").arg(kept).args(["-type", "f"]).output();
    assert_eq!(kept.unwrap().stdout, b"");
    for (_, state, why) in reported(&host) {
        assert_eq!(state, "unverified", "{why}");
    }
}

#[test]
fn a_backup_that_is_killed_has_failed() {
    let host = Host::new("[run]\nno-retry = true\n[guest.mail]\nnative = 'run/mail.sock'\n");
    let _server = hung(&host, "mail");
    let mut running = Running::start(&mut host.command(&["run", "--all"]));
    running.until("creating vzdump archive");
    let status = fs::read_to_string(host.path("state/mail.status")).unwrap();
    let status: Value = serde_json::from_str(&status).unwrap();
    support::signal(
        u32::try_from(status["pid"].as_u64().unwrap()).unwrap(),
        "-KILL",
    );
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(137), "{}", ended.said);
    let [(_, state, why)] = &reported(&host)[..] else {
        unreachable!()
    };
    assert_eq!(
        (state.as_str(), why.as_str()),
        ("failed", "ended by signal 9")
    );
}

#[test]
fn a_guest_that_another_process_works_on_is_tried_again() {
    let host = Host::new("[run]\nretry-after = 0\n[guest.mail]\nnative = 'run/mail.sock'\n");
    let _server = hung(&host, "mail");
    let mut running = Running::start(&mut host.command(&["backup", "--name", "mail"]));
    running.until("creating vzdump archive");
    let (_, summary) = host.run(&["run", "--all"]);
    running.signal("-TERM");
    running.end();
    let mail = &summary["guests"][0];
    assert_eq!(
        (&mail["kind"], &mail["attempts"]),
        (&"busy".into(), &2.into()),
        "{summary}"
    );
}

#[test]
fn guests_share_a_limit_and_what_one_leaves_unused_the_others_have() {
    let host = Host::new(
        "[job.nightly]\nnative = ['run/*.sock']\nimage = ['guests/*/disk.raw']\njobs = 3\nbwlimit = '2M'\n",
    );
    let _server = hung(&host, "mail");
    for (name, size) in [("web", 6 << 20), ("db", 2 << 20)] {
        support::noise(&host.path(&format!("guests/{name}/disk.raw")), size);
    }
    let mut running = Running::start(&mut host.command(&["run", "nightly"]));
    running.until("vzdump-qemu-mail");
    // Of the one that does nothing they wait for nothing: a third of the limit each would take nine seconds.
    running.until("\"guest\":\"web\",\"message\":\"Finished Backup");
    running.signal("-TERM");
    let ended = running.end();
    let summary = ended
        .said
        .lines()
        .rev()
        .find(|line| line.contains("\"guests\":"));
    let last: Value = serde_json::from_str(summary.unwrap()).unwrap();
    let of = |guest: &str| {
        let guests = last["guests"].as_array().unwrap();
        guests
            .iter()
            .find(|one| one["guest"] == guest)
            .unwrap()
            .clone()
    };
    assert_eq!(
        (&of("web")["exit_code"], &of("db")["exit_code"]),
        (&0.into(), &0.into())
    );
    let seconds = of("web")["seconds"].as_f64().unwrap();
    // Eight in all, less a burst and what was booked last.
    assert!(seconds > 2.8, "{last}");
    assert!(!host.path("state/job=nightly.shared").exists());
}

/// A host whose `/run` is another, so that Proxmox's monitors can be there.
fn on_proxmox(host: &Host, monitor: &Path, arguments: &str) -> Command {
    let fleece = env!("CARGO_BIN_EXE_fleece");
    let script = format!(
        "mount -t tmpfs none /run && mkdir /run/qemu-server && ln -s {} /run/qemu-server/100.qmp && exec {fleece} {arguments}",
        monitor.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    command
        .current_dir(host.0.path())
        .env("FLEECE_CONFIG", "fleece.toml");
    command
}

#[test]
fn all_guests_of_a_proxmox_host_are_backed_up_also_those_that_do_not_run() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    if !Command::new("unshare")
        .args(["--mount", "true"])
        .status()
        .unwrap()
        .success()
    {
        println!("SKIP: mounting needs root");
        return;
    }
    let disk = fleece_lab::Disk::raw(1 << 20);
    let daemon = fleece_lab::StorageDaemon::builder(&qemu)
        .disk(disk)
        .export()
        .start()
        .unwrap();
    let host = Host::new("");
    host.configure(&format!(
        "no-fleecing = true\n[run]\nproxmox = true\nexclude = ['103']\n[guest.100]\nnbd-server = '{}'\n",
        daemon.nbd_socket().display()
    ));
    for name in ["qemu-server", "store/images/101"] {
        fs::create_dir_all(host.path(name)).unwrap();
    }
    support::noise(&host.path("store/images/101/vm-101-disk-0.raw"), 3 << 20);
    let store = format!(
        "dir: store\n\tpath {}\n\tcontent images\n",
        host.path("store").display()
    );
    fs::write(host.path("storage.cfg"), store).unwrap();
    for (number, config) in [
        // It runs.
        (100, "name: web\nscsi0: none,media=cdrom\n"),
        (
            101,
            "name: off\nscsi0: store:101/vm-101-disk-0.raw,size=3M\nide2: none,media=cdrom\n",
        ),
        (102, "scsi0: lost:vm-102-disk-0\n"),
        (103, "name: excluded\n"),
    ] {
        fs::write(host.path(&format!("qemu-server/{number}.conf")), config).unwrap();
    }
    let arguments = "--config-dir qemu-server --storage-config storage.cfg --json";
    let monitor = daemon.qmp_socket();
    let rehearsed = on_proxmox(&host, &monitor, &format!("run {arguments} --dry-run"))
        .output()
        .unwrap();
    assert!(
        support::entries(&host.path("to")).is_empty(),
        "{rehearsed:?}"
    );
    let ended = on_proxmox(&host, &monitor, &format!("run {arguments}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let results = results(&last);
    let codes: Vec<_> = results
        .iter()
        .map(|(guest, code, _)| (guest.as_str(), *code))
        .collect();
    assert_eq!(codes, [("100", 0), ("101", 0), ("102", 6)], "{said}");
    assert!(said.contains("guest 101 does not run"), "{said}");
    // The stopped one comes back as Proxmox knows it: its disk under its name, and its configuration.
    let [archive] = &host.archives("101")[..] else {
        unreachable!()
    };
    let listed = Command::new(env!("CARGO_BIN_EXE_vma"))
        .arg("list")
        .arg(archive)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("devname: drive-scsi0") && listed.contains("qemu-server.conf"),
        "{listed}"
    );
    let config = fs::read_to_string(host.path("qemu-server/101.conf")).unwrap();
    assert!(!config.contains("lock:"), "{config}");
    // What has no backup has failed.
    let failed = reported(&host)
        .into_iter()
        .find(|(guest, ..)| guest == "102")
        .unwrap();
    assert!(
        failed.1 == "failed" && failed.2.contains("lost"),
        "{failed:?}"
    );
}

#[test]
fn people_get_a_table_on_standard_output_and_talk_on_standard_error() {
    let host = Host::new(JOB);
    let output = host.command(&["run", "nightly", "--exclude", "nowhere"]);
    let output = { output }.output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("GUEST "), "{table}");
    assert_eq!(lines.len(), 4, "{table}");
    assert!(
        lines[1].contains("FAILED") && lines[1].contains("lost.raw"),
        "{table}"
    );
    assert!(
        lines[2].contains("done") && lines[2].contains("vzdump-qemu-db-"),
        "{table}"
    );
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(
        talk.contains("INFO: web: creating vzdump archive"),
        "{talk}"
    );
    assert!(
        talk.contains("WARN: lost: failed, and is tried again"),
        "{talk}"
    );
    assert!(talk.contains("ERROR: lost: failed ("), "{talk}");
    assert!(!talk.contains("100%"), "{talk}");
}

#[test]
fn a_dry_run_changes_nothing_and_tells_the_same() {
    let host = Host::new(JOB);
    let (code, summary) = host.run(&["run", "nightly", "--dry-run"]);
    assert_ne!(code, 0);
    assert_eq!(results(&summary)[3], ("web".to_owned(), 0, 1));
    assert!(support::entries(&host.path("to")).is_empty());
    assert!(!host.path("state").exists());
}

#[test]
fn what_is_not_said_is_asked_for() {
    let host = Host::new(JOB);
    host.fleece(&["run"])
        .expect(1, &["it has nightly", "--all"]);
    host.fleece(&["run", "weekly"])
        .expect(1, &["there is no job \"weekly\"", "nightly"]);
    host.fleece(&["run", "--image", "guests/web/disk.raw"])
        .expect(1, &["exactly one *"]);
    host.fleece(&["run", "--image", "none/*.raw"])
        .expect(3, &["no guest is found"]);
    host.configure("[job.nightly]\njobss = 1\n");
    host.fleece(&["run", "nightly"])
        .expect(1, &["fleece.toml:6", "is \"jobs\" meant?"]);
}

/// A guest whose server takes connections and never answers.
fn hung(host: &Host, name: &str) -> UnixListener {
    fs::create_dir_all(host.path("run")).unwrap();
    UnixListener::bind(host.path(&format!("run/{name}.sock"))).unwrap()
}

#[test]
fn a_second_run_of_a_job_says_who_runs_it_and_a_signal_ends_all_in_order() {
    let host = Host::new("[job.nightly]\nnative = ['run/*.sock']\nimage = ['guests/*/disk.raw']\n");
    let _server = hung(&host, "mail");
    let mut running = Running::start(&mut host.command(&["run", "nightly"]));
    running.until("creating vzdump archive");
    let seen = host
        .fleece(&["status"])
        .expect(0, &["mail", "creating vzdump archive"]);
    assert!(seen.contains("GUEST"), "{seen}");
    let who = format!(
        "process {} is running the job nightly since ",
        running.child.id()
    );
    host.fleece(&["run", "nightly"]).expect(1, &[&who]);
    // Another job is another matter.
    host.fleece(&["run", "--image", "guests/w*/disk.raw"])
        .expect_code(0);
    running.signal("-TERM");
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(143), "{}", ended.said);
    assert!(ended.said.contains("not begun"), "{}", ended.said);
    assert!(!host.path("state/job=nightly.lock").exists());
    assert!(!has_process_in(host.0.path()), "{}", ended.said);
}

/// Whether a process has its working directory there.
fn has_process_in(directory: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read_link(process.path().join("cwd")).ok())
        .any(|cwd| cwd == directory)
}

#[test]
fn what_guests_that_are_gone_have_left_is_pruned_and_verified_and_others_archives_stay() {
    let host = Host::new("[guest.old]\nimage = ['guests/web/disk.raw']\n");
    for _ in 0..3 {
        host.fleece(&["backup", "--name", "old"]).expect_code(0);
    }
    // Of another host, at the same target.
    let [first, ..] = &host.archives("old")[..] else {
        unreachable!()
    };
    for second in 0..3 {
        let name = format!("vzdump-qemu-others-2026_01_01-00_00_0{second}.vma");
        fs::copy(first, host.path("to").join(name)).unwrap();
    }
    host.configure(
        "prune-backups = 'keep-last=2'\n[job.nightly]\nimage = ['guests/d*/disk.raw']\nverify-after = 30\n",
    );
    let (code, summary) = host.run(&["run", "nightly"]);
    assert_eq!(code, 0, "{summary}");
    assert_eq!(host.archives("old").len(), 2);
    assert_eq!(host.archives("others").len(), 3);
    for guest in ["old", "b"] {
        for archive in host.archives(guest) {
            let verified = format!("{}.verified", archive.display());
            assert!(Path::new(&verified).exists(), "{verified}");
        }
    }
    let done = summary["afterwards"].as_array().unwrap();
    let done: Vec<_> = done
        .iter()
        .map(|done| {
            format!(
                "{} {}",
                done["what"].as_str().unwrap(),
                done["guest"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(done, ["verify b", "prune old", "verify old"]);
}

#[test]
fn with_quiet_only_trouble_is_told() {
    let host = Host::new(
        "[guest.web]\nimage = ['guests/web/disk.raw']\n[guest.lost]\nimage = ['lost.raw']\n[run]\nno-retry = true\n",
    );
    let quiet = |arguments: &[&str]| host.command(arguments).arg("--quiet").output().unwrap();
    let fine = quiet(&["run", "--guest", "web"]);
    assert_eq!(
        (fine.status.code(), fine.stdout.len(), fine.stderr.len()),
        (Some(0), 0, 0),
        "{fine:?}"
    );
    let trouble = quiet(&["run", "--all"]);
    let table = String::from_utf8(trouble.stdout).unwrap();
    assert!(
        table.contains("FAILED") && table.contains("done"),
        "{table}"
    );
    let talk = String::from_utf8(trouble.stderr).unwrap();
    assert_eq!(talk.lines().count(), 1, "{talk}");
    assert!(talk.starts_with("ERROR: lost: failed ("), "{talk}");
    let fine = quiet(&["backup", "--name", "web"]);
    assert_eq!((fine.stdout.len(), fine.stderr.len()), (0, 0), "{fine:?}");
}

#[test]
fn on_a_terminal_there_are_bars_and_lists_are_as_wide_as_that_and_grouped() {
    if Command::new("script").arg("--version").output().is_err() {
        println!("SKIP: script is missing");
        return;
    }
    let host = Host::new("[job.nightly]\nimage = ['guests/*/disk.raw']\n");
    let program = env!("CARGO_BIN_EXE_fleece");
    let on_terminal = |arguments: &str| {
        let line = format!("stty cols 72; {program} {arguments}");
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        command
            .current_dir(host.0.path())
            .env("FLEECE_CONFIG", "fleece.toml");
        Ended::of(command.env("TERM", "xterm")).expect_code(0)
    };
    let said = on_terminal("run nightly");
    assert!(said.contains("0 of 2"), "{said}");
    let listed = on_terminal("list to");
    for guest in ["guest db: 1 backup, ", "guest web: 1 backup, "] {
        assert!(listed.contains(guest), "{listed}");
    }
    let lines = listed
        .lines()
        .skip(1)
        .map(|line| line.trim_end().chars().count());
    assert!(lines.max().unwrap() <= 72, "{listed}");
    assert!(listed.contains("vzdump-qemu-web-"), "{listed}");
}
