//! `fleece list`, `verify`, `prune`, `note`, `protect` and `delete`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use fleece_vma_format::HeaderBuilder;
use serde_json::Value;
use tempfile::TempDir;

/// An archive of a config and no disks.
fn archive() -> Vec<u8> {
    let mut header = HeaderBuilder::new([0; 16], 0);
    header.add_config("qemu-server.conf", "cores: 1\n").unwrap();
    header.build().unwrap().as_bytes().to_vec()
}

/// A directory with five nights' backups of guest 100 and one of guest 101.
struct Dumps(TempDir);

impl Dumps {
    fn new() -> Self {
        let dumps = Self(tempfile::tempdir().unwrap());
        for night in 1..=5 {
            fs::write(dumps.archive(night), archive()).unwrap();
        }
        let other = "vzdump-qemu-101-2026_11_01-02_00_00.vma";
        fs::write(dumps.0.path().join(other), archive()).unwrap();
        dumps
    }

    /// Real archives of one small disk instead, each with its index.
    fn verifiable() -> Self {
        let dumps = Self(tempfile::tempdir().unwrap());
        let disk = dumps.0.path().join("disk");
        fs::write(&disk, vec![0x5a; 1 << 20]).unwrap();
        for night in 1..=5 {
            let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
            create.arg("create").arg(dumps.archive(night));
            let disk = format!("drive-scsi0={}", disk.display());
            support::succeed(create.arg(disk).args(["--compress", "zstd"]));
        }
        dumps
    }

    /// Changes one bit of the last payload.
    fn damage(&self, night: u32) {
        let mut bytes = fs::read(self.archive(night)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(self.archive(night), bytes).unwrap();
    }

    fn archive(&self, night: u32) -> PathBuf {
        let name = format!("vzdump-qemu-100-2026_11_0{night}-02_00_00.vma.zst");
        self.0.path().join(name)
    }

    fn fleece(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command.current_dir(self.0.path()).args(arguments);
        command.output().unwrap()
    }

    /// Runs it, which succeeds, and reads the objects that it printed.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.fleece(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", support::text(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|object| object["event"] == "summary")
            .collect()
    }
}

#[test]
fn backups_are_listed_with_what_is_known_of_them() {
    let dumps = Dumps::new();
    let archive = dumps.archive(2);
    let archive = archive.to_str().unwrap();
    assert!(
        dumps
            .fleece(&["note", archive, "before the\nupdate"])
            .status
            .success()
    );
    assert!(dumps.fleece(&["protect", archive]).status.success());
    let listed = dumps.json(&["list", "."]);
    assert_eq!(listed.len(), 6);
    let second = &listed[1];
    assert_eq!(second["vmid"], 100);
    assert_eq!(second["size"], fs::metadata(archive).unwrap().len());
    assert_eq!(second["notes"], "before the\nupdate");
    assert_eq!(second["protected"], true);
    assert_eq!(dumps.json(&["list", ".", "--vmid", "101"]).len(), 1);

    let output = dumps.fleece(&["list", "."]);
    let table = String::from_utf8(output.stdout).unwrap();
    let line = table.lines().nth(2).unwrap();
    for word in [
        "100",
        "2026-11-02 02:00:00",
        "12.50 KiB",
        "yes",
        "before the",
    ] {
        assert!(line.contains(word), "'{word}' is missing: {line}");
    }
    assert!(!table.contains("update"), "only the first line: {table}");
    let note = dumps.fleece(&["note", archive]);
    assert_eq!(note.stdout, b"before the\nupdate\n");
}

#[test]
fn pruning_says_why_each_backup_stays_and_a_dry_run_removes_nothing() {
    let dumps = Dumps::new();
    let protected = dumps.archive(1);
    dumps.fleece(&["protect", protected.to_str().unwrap()]);
    fs::write(
        dumps
            .0
            .path()
            .join("vzdump-qemu-100-2026_11_02-02_00_00.log"),
        "",
    )
    .unwrap();
    let rules = ["--keep", "keep-last=2", "--vmid", "100"];

    let dry = dumps.json(&[&["prune", ".", "--dry-run"], rules.as_slice()].concat());
    let verdicts: Vec<&str> = dry
        .iter()
        .map(|one| one["verdict"].as_str().unwrap())
        .collect();
    let expected = [
        "keep (protected)",
        "remove",
        "remove",
        "keep (last)",
        "keep (last)",
    ];
    assert_eq!(verdicts, expected);
    assert!(dry.iter().all(|one| one["removed"] == false));
    assert!(dumps.archive(2).exists());

    let done = dumps.json(&[&["prune", "."], rules.as_slice()].concat());
    let removed = done.iter().filter(|one| one["removed"] == true);
    assert_eq!(removed.count(), 2);
    for (night, there) in [(1, true), (2, false), (3, false), (4, true), (5, true)] {
        assert_eq!(dumps.archive(night).exists(), there, "{night}");
    }
    let left = support::entries(dumps.0.path());
    assert!(
        !left
            .iter()
            .any(|path| path.extension().is_some_and(|e| e == "log"))
    );
    // Another guest's were not looked at.
    assert_eq!(dumps.json(&["list", ".", "--vmid", "101"]).len(), 1);
}

#[test]
fn damaged_and_empty_backups_displace_no_sound_ones() {
    let dumps = Dumps::verifiable();
    dumps.damage(3);
    dumps.damage(5);
    let future = "vzdump-qemu-100-2099_01_01-00_00_00.vma.zst";
    fs::write(dumps.0.path().join(future), "").unwrap();
    let output = dumps.fleece(&["verify", "."]);
    assert_eq!(output.status.code(), Some(4), "{}", support::text(&output));

    let pruned = dumps.json(&["prune", ".", "--keep", "keep-last=2"]);
    let verdicts: Vec<&str> = pruned
        .iter()
        .map(|one| one["verdict"].as_str().unwrap())
        .collect();
    let expected = [
        "remove",
        "keep (last)",
        "remove (damaged)",
        "keep (last)",
        "keep (damaged, but nothing newer is sound)",
        "keep (dated in the future, ignored by all rules)",
    ];
    assert_eq!(verdicts, expected);
    assert_eq!(pruned[2]["fault"], "damaged");
    for (night, there) in [(1, false), (2, true), (3, false), (4, true), (5, true)] {
        assert_eq!(dumps.archive(night).exists(), there, "{night}");
    }
}

#[test]
fn what_was_verified_of_late_is_passed_over_unless_asked_for() {
    let dumps = Dumps::verifiable();
    let read = |arguments: &[&str]| {
        let verified = dumps.json(&[&["verify"], arguments].concat());
        let passed = verified.iter().filter(|one| one["passed_over"] == true);
        verified.len() - passed.count()
    };
    assert_eq!(read(&["."]), 5);
    assert_eq!(read(&["."]), 0);
    assert_eq!(read(&[".", "--all"]), 5);
    assert_eq!(read(&[".", "--outdated-after", "0"]), 5);
    assert_eq!(read(&[dumps.archive(1).to_str().unwrap()]), 1);
    // A month ago, and damaged.
    for (night, line) in [
        (2, "sound 2026-01-01T00:00:00Z"),
        (3, "damaged 2026-11-28T00:00:00Z"),
    ] {
        let side = format!("{}.verified", dumps.archive(night).display());
        let old = fs::read_to_string(&side).unwrap();
        let rest: Vec<&str> = old.split(' ').skip(2).collect();
        fs::write(side, format!("{line} {}", rest.join(" "))).unwrap();
    }
    let output = dumps.fleece(&["verify", ".", "--outdated-after", "100000"]);
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert_eq!(said.matches("not verified again").count(), 5, "{said}");
    fs::remove_file(format!("{}.verified", dumps.archive(3).display())).unwrap();
    assert_eq!(read(&["."]), 2);
}

#[test]
fn a_backup_is_verified_as_soon_as_it_is_written() {
    let dumps = Dumps::new();
    fs::write(dumps.0.path().join("disk.raw"), vec![0x5a; 1 << 20]).unwrap();
    for compress in ["zstd", "none"] {
        fs::create_dir(dumps.0.path().join(compress)).unwrap();
        let backup = [
            "backup",
            "--state-dir",
            "state",
            "--image",
            "disk.raw",
            "--vmid",
            "100",
        ];
        let how = ["--to", compress, "--verify", "--compress", compress];
        let output = dumps.fleece(&[&backup[..], &how[..]].concat());
        assert!(output.status.success(), "{}", support::text(&output));
        assert_eq!(dumps.json(&["list", compress])[0]["verified"], "sound");
    }
}

#[cfg(feature = "faults")]
#[test]
fn a_backup_that_is_damaged_as_soon_as_it_is_written_is_told_and_marked_and_prunes_nothing() {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

    let dumps = Dumps::new();
    fs::write(dumps.0.path().join("disk.raw"), vec![0x5a; 1 << 20]).unwrap();
    let mut backup = Command::new(env!("CARGO_BIN_EXE_fleece"));
    backup
        .current_dir(dumps.0.path())
        .env("FLEECE_FAULT", "stop@renamed");
    backup.args([
        "backup",
        "--state-dir",
        "state",
        "--image",
        "disk.raw",
        "--vmid",
        "100",
    ]);
    backup.args([
        "--to",
        ".",
        "--verify",
        "--prune-backups",
        "keep-last=1",
        "--notes",
        "new",
    ]);
    let child = backup.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let process = Pid::from_child(&child);
    let (_, status) = waitpid(Some(process), WaitOptions::UNTRACED)
        .unwrap()
        .unwrap();
    assert!(status.stopped());
    let is_new = |name: &str| !name.contains("2026_11_0") && name.ends_with(".vma.zst");
    let entries = fs::read_dir(dumps.0.path()).unwrap();
    let new = entries
        .map(|entry| entry.unwrap().path())
        .find(|path| is_new(path.file_name().unwrap().to_str().unwrap()))
        .unwrap();
    let mut bytes = fs::read(&new).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs::write(&new, bytes).unwrap();
    kill_process(process, Signal::CONT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("is damaged already; nothing was pruned"),
        "{said}"
    );
    let listed = dumps.json(&["list", ".", "--vmid", "100"]);
    assert_eq!(listed.len(), 6);
    let marked = |one: &&Value| one["verified"] == "damaged" && one["notes"] == "new";
    assert_eq!(listed.iter().filter(marked).count(), 1, "{listed:?}");
}

#[test]
fn names_and_notes_of_others_are_words() {
    let dumps = Dumps::new();
    let name = "a\u{1b}[2J\nERROR: \u{202e}x.vma";
    fs::write(dumps.0.path().join(name), "").unwrap();
    fs::write(
        format!("{}.notes", dumps.archive(1).display()),
        "\u{1b}]0;x\u{7}\nmine",
    )
    .unwrap();
    let first = dumps.archive(1);
    let cases = [
        vec!["list", "."],
        vec!["prune", ".", "--keep", "keep-last=9", "--dry-run"],
        vec!["verify", "."],
        vec!["verify", name],
        vec!["delete", "b\u{1b}[2J.vma"],
        vec!["note", first.to_str().unwrap()],
    ];
    for arguments in cases {
        for json in [&["--json"][..], &[]] {
            let output = dumps.fleece(&[&arguments[..], json].concat());
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            let acts = |c: char| c.is_control() && c != '\n';
            assert!(!said.is_empty() || !json.is_empty(), "{arguments:?}");
            assert!(!said.contains(acts), "{arguments:?}: {said:?}");
            assert!(
                !said.lines().any(|line| line.starts_with("ERROR: ?x")),
                "{said:?}"
            );
        }
    }
}

#[test]
fn a_protected_backup_is_not_deleted_and_others_go_with_their_side_files() {
    let dumps = Dumps::new();
    let (first, second) = (dumps.archive(1), dumps.archive(2));
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    dumps.fleece(&["protect", first]);
    dumps.fleece(&["note", second, "x"]);
    let output = dumps.fleece(&["delete", first, second]);
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is protected and stays"), "{said}");
    assert!(dumps.archive(1).exists() && !dumps.archive(2).exists());
    assert!(!PathBuf::from(format!("{second}.notes")).exists());
    dumps.fleece(&["protect", "--off", first]);
    assert!(dumps.fleece(&["delete", first]).status.success());
    assert!(!dumps.archive(1).exists());
}

#[test]
fn what_cannot_be_looked_into_is_neither_damaged_nor_in_the_way_of_others() {
    let dumps = Dumps(tempfile::tempdir().unwrap());
    let path = |name: &str| dumps.0.path().join(name);
    fs::write(path("disk"), vec![0x5a; 1 << 20]).unwrap();
    let sound = path("vzdump-qemu-100-2026_11_02-02_00_00.vma");
    let mut create = Command::new(env!("CARGO_BIN_EXE_vma"));
    create.arg("create").arg(&sound);
    create.arg(format!("drive-scsi0={}", path("disk").display()));
    support::succeed(&mut create);
    let wrapped = path("vzdump-qemu-100-2026_11_01-02_00_00.vma.bz2");
    fs::write(&wrapped, b"BZh91AY&SY").unwrap();
    let listed = support::text(&dumps.fleece(&["list", "."]));
    for words in ["not read", "bunzip2 -c"] {
        assert!(listed.contains(words), "{words}: {listed}");
    }
    let output = dumps.fleece(&["verify", "."]);
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("bzip2"), "{said}");
    assert!(
        dumps
            .json(&["list", "."])
            .iter()
            .any(|backup| backup["verified"] == "sound")
    );
    let pruned = dumps.fleece(&["prune", ".", "--keep", "keep-last=1"]);
    assert!(pruned.status.success() && wrapped.exists() && sound.exists());
}

#[test]
fn what_a_verification_finds_is_recorded_until_the_archive_changes() {
    let folder = tempfile::tempdir().unwrap();
    let dumps = Dumps(folder);
    let disk = dumps.0.path().join("disk");
    fs::write(&disk, vec![0x5a; 1 << 20]).unwrap();
    let archive = dumps
        .0
        .path()
        .join("vzdump-qemu-100-2026_11_01-02_00_00.vma");
    support::succeed(
        Command::new(env!("CARGO_BIN_EXE_vma"))
            .arg("create")
            .arg(&archive)
            .arg(format!("drive-scsi0={}", disk.display())),
    );
    let verified = || dumps.json(&["list", "."])[0]["verified"].clone();
    assert_eq!(verified(), "unknown");
    assert!(dumps.fleece(&["verify", "."]).status.success());
    assert_eq!(verified(), "sound");

    let mut bytes = fs::read(&archive).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&archive, &bytes[..]).unwrap();
    let output = dumps.fleece(&["verify", archive.to_str().unwrap()]);
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("vma recover"), "{said}");
    assert_eq!(verified(), "damaged");

    // Without its index only the structure can be checked, which is said and not recorded.
    fs::remove_file(format!("{}.idx", archive.display())).unwrap();
    fs::remove_file(format!("{}.verified", archive.display())).unwrap();
    let output = dumps.fleece(&["verify", "."]);
    let said = support::text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("payload cannot be checked"), "{said}");
    assert_eq!(verified(), "unknown");
}

#[test]
fn a_backup_comes_with_notes_and_protection_and_older_ones_go() {
    let dumps = Dumps::new();
    fs::write(dumps.0.path().join("disk.raw"), vec![0x5a; 1 << 20]).unwrap();
    let backup = [
        "backup",
        "--state-dir",
        "state",
        "--image",
        "disk.raw",
        "--vmid",
        "100",
    ];
    let wishes = [
        "--notes",
        "nightly",
        "--protected",
        "--prune-backups",
        "keep-last=2",
    ];
    let output = dumps.fleece(&[&backup[..], &["--to", "."], &wishes[..]].concat());
    assert!(output.status.success(), "{}", support::text(&output));
    let listed = dumps.json(&["list", ".", "--vmid", "100"]);
    // Two by the rule, and the new one, which is protected and takes no part.
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert_eq!(listed[2]["notes"], "nightly");
    assert_eq!(listed[2]["protected"], true);
    let output = dumps.fleece(&[&backup[..], &["--to", "-"], &wishes[..]].concat());
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("need a directory"), "{said}");
}

#[test]
fn what_cannot_be_done_is_said_with_its_cause() {
    let dumps = Dumps::new();
    for (arguments, code, words) in [
        (
            ["list", "nosuch"].as_slice(),
            6,
            "neither a directory nor a storage",
        ),
        (
            &["prune", ".", "--keep", "keep-all=1"],
            1,
            "nothing would ever be removed",
        ),
        (
            &["prune", ".", "--keep", "keep-always=1"],
            2,
            "there is no rule 'keep-always'",
        ),
        (&["prune", "."], 1, "give --keep"),
        (
            &["delete", "vzdump-qemu-9-2026_11_01-02_00_00.vma"],
            1,
            "there is no backup",
        ),
        (&["note", "storage.cfg", "text"], 1, "there is no backup"),
    ] {
        let output = dumps.fleece(arguments);
        let said = support::text(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert_eq!(dumps.json(&["list", "."]).len(), 6);
}

/// In every zone, on days without an hour and with one twice; and an archive of another name tells its instant.
#[test]
fn a_backup_is_of_the_time_that_its_name_says_wherever_it_is_listed() {
    let dumps = Dumps(tempfile::tempdir().unwrap());
    let named = |time: &str| format!("vzdump-qemu-100-{time}.vma");
    for time in [
        "2026_03_29-02_30_00",
        "2026_10_25-02_30_00",
        "2026_06_01-12_00_00",
    ] {
        fs::write(dumps.0.path().join(named(time)), archive()).unwrap();
    }
    let mut header = HeaderBuilder::new([0; 16], 1_780_000_000);
    header.add_config("qemu-server.conf", "cores: 1\n").unwrap();
    let header = header.build().unwrap();
    fs::write(dumps.0.path().join("mine.vma"), header.as_bytes()).unwrap();
    for (zone, mine) in [
        ("Europe/Berlin", "2026-05-28 22:26:40"),
        ("America/New_York", "2026-05-28 16:26:40"),
        ("UTC", "2026-05-28 20:26:40"),
        ("Asia/Kathmandu", "2026-05-29 02:11:40"),
    ] {
        let mut list = Command::new(env!("CARGO_BIN_EXE_fleece"));
        let output = support::succeed(list.env("TZ", zone).arg("list").arg(dumps.0.path()));
        let said = support::text(&output);
        for time in [
            "2026-03-29 02:30:00",
            "2026-10-25 02:30:00",
            "2026-06-01 12:00:00",
            mine,
        ] {
            assert!(said.contains(time), "{zone} {time}: {said}");
        }
    }
}

/// What stands in a directory of backups and is no regular file is no backup, whatever is asked of it; a link to an
/// archive is one by its own name, and goes alone.
#[test]
fn what_is_no_regular_file_is_no_backup_for_any_command() {
    let dumps = Dumps(tempfile::tempdir().unwrap());
    let at = |name: &str| dumps.0.path().join(name);
    let kinds = [
        "fifo",
        "directory",
        "socket",
        "dangling",
        "device",
        "circle",
        "astray",
    ];
    let name = |kind: &str| {
        let number = kinds
            .iter()
            .position(|other| *other == kind)
            .map_or(10, |n| n.saturating_add(1));
        at(&format!("vzdump-qemu-100-2026_01_{number:02}-00_00_00.vma"))
    };
    support::succeed(Command::new("mkfifo").arg(name("fifo")));
    fs::create_dir(name("directory")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(name("socket")).unwrap();
    std::os::unix::fs::symlink("nowhere", name("dangling")).unwrap();
    std::os::unix::fs::symlink("/dev/null", name("device")).unwrap();
    std::os::unix::fs::symlink(name("circle"), name("circle")).unwrap();
    std::os::unix::fs::symlink("/dev/null/x", name("astray")).unwrap();
    let fleece = |arguments: &[&str], path: &std::path::Path| {
        let mut command = Command::new("timeout");
        command.arg("20").arg(env!("CARGO_BIN_EXE_fleece"));
        command
            .args(arguments)
            .arg(path)
            .args(["--state-dir"])
            .arg(at("state"));
        let output = command.output().unwrap();
        (output.status.code(), support::text(&output))
    };
    let keep = ["prune", "--keep", "keep-last=1"];
    for command in [["list"].as_slice(), &keep, &["verify"]] {
        let (code, said) = fleece(command, dumps.0.path());
        assert_eq!(code, Some(0), "{command:?}: {said}");
        assert!(!said.contains("vzdump-qemu-100"), "{command:?}: {said}");
    }
    for kind in kinds {
        for command in [["note"].as_slice(), &["protect"], &["delete"]] {
            let (code, said) = fleece(command, &name(kind));
            assert_eq!(code, Some(1), "{kind} {command:?}: {said}");
            let words = ["not a regular file", "there is no backup"];
            assert!(
                words.iter().any(|words| said.contains(words)),
                "{kind} {command:?}: {said}"
            );
        }
        let (code, said) = fleece(&["verify"], &name(kind));
        assert_eq!(
            code,
            Some(if kind == "directory" { 0 } else { 6 }),
            "{kind}: {said}"
        );
        if kind != "fifo" {
            // From a pipe with a name an archive can come.
            let to = at("restored");
            let (code, said) = fleece(&["restore", "--to", to.to_str().unwrap()], &name(kind));
            assert!(
                matches!(code, Some(1 | 4 | 6)),
                "{kind} restore: {code:?} {said}"
            );
            assert!(!to.exists(), "{kind} restore: {said}");
        }
        assert!(name(kind).symlink_metadata().is_ok(), "{kind}");
    }
    fs::write(at("elsewhere"), archive()).unwrap();
    std::os::unix::fs::symlink("elsewhere", name("link")).unwrap();
    let (_, said) = fleece(&["list"], dumps.0.path());
    assert!(said.contains("vzdump-qemu-100-2026_01_10"), "{said}");
    let (code, said) = fleece(&["delete"], &name("link"));
    assert_eq!(code, Some(0), "{said}");
    assert!(at("elsewhere").exists() && name("link").symlink_metadata().is_err());
}

/// What the system says of a file system on a network is told with its meaning and a next step.
#[test]
fn errors_of_network_file_systems_are_told_with_a_next_step() {
    if fleece_lab::require("strace").is_none() {
        return;
    }
    let dumps = Dumps::new();
    for (errno, words) in [
        ("ESTALE", "unmount and mount it again"),
        ("EREMOTEIO", "look at its log"),
        ("ENOTCONN", "has ended"),
        ("ETIMEDOUT", "does not answer"),
        ("EHOSTDOWN", "cannot be reached"),
        ("EIO", "kernel's log"),
    ] {
        let mut list = Command::new("strace");
        list.args(["-f", "-qq", "-o", "/dev/null", "-e"]);
        list.arg(format!("inject=getdents64:error={errno}"));
        list.arg(env!("CARGO_BIN_EXE_fleece"))
            .arg("list")
            .arg(dumps.0.path());
        let said = support::ended::Ended::of(&mut list);
        said.expect(6, &["cannot list the backups", words]);
    }
}
