//! `fleece storage`.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

const BEFORE: &str = "# mine\nfuture: strange\n\tkey value\n\n";

struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        fs::write(host.0.path().join("storage.cfg"), BEFORE).unwrap();
        host
    }

    fn fleece(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command.current_dir(self.0.path());
        command.args(["storage", "--storage-config", "storage.cfg"]);
        command.args(arguments).output().unwrap()
    }

    fn config(&self) -> String {
        fs::read_to_string(self.0.path().join("storage.cfg")).unwrap()
    }
}

#[test]
fn storages_come_and_go_and_what_is_unknown_stays() {
    let host = Host::new();
    let path = format!("path={}", host.0.path().display());
    let output = host.fleece(&["add", "dir", "fast", &path, "content=images"]);
    assert!(output.status.success(), "{}", support::text(&output));
    let with = host.config();
    assert!(with.starts_with(BEFORE), "{with}");
    assert!(with.contains("dir: fast\n\tpath "), "{with}");

    // The unknown type is a warning, and the others are shown.
    let output = host.fleece(&["list"]);
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    let table = String::from_utf8(output.stdout).unwrap();
    let fast = table.lines().find(|line| line.starts_with("fast"));
    assert!(fast.unwrap().contains("iB"), "{table}");
    let strange = table.lines().find(|line| line.starts_with("strange"));
    assert!(strange.unwrap().contains("future"), "{table}");

    assert!(host.fleece(&["remove", "fast"]).status.success());
    assert_eq!(host.config().trim_end(), BEFORE.trim_end());
}

/// The configuration is read from anywhere, and one that is the same on all nodes is wrong on none.
#[test]
fn a_storage_is_added_by_a_relative_path_and_one_that_is_not_for_here_is_no_failure() {
    let host = Host::new();
    fs::write(host.0.path().join("storage.cfg"), "").unwrap();
    let store = host.0.path().join("a/store");
    let added = host.fleece(&["add", "dir", "near", "path=a/store", "is_mountpoint=0"]);
    assert!(added.status.success(), "{}", support::text(&added));
    assert!(store.is_dir());
    let path = format!("path {}\n", store.canonicalize().unwrap().display());
    assert!(host.config().contains(&path), "{}", host.config());
    let later = host.fleece(&["add", "dir", "later", "path=/srv", "disable=1"]);
    assert!(later.status.success(), "{}", support::text(&later));
    let more =
        "dir: off\n\tpath /nowhere\n\tdisable\n\ndir: far\n\tpath /nowhere\n\tnodes elsewhere\n";
    fs::write(
        host.0.path().join("storage.cfg"),
        format!("{}{more}", host.config()),
    )
    .unwrap();
    let listed = host.fleece(&["list"]);
    let said = support::text(&listed);
    assert!(listed.status.success(), "{said}");
    for words in ["disabled", "elsewhere"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let host = Host::new();
    for (arguments, code, words) in [
        (["remove", "nosuch"].as_slice(), 6, "no storage nosuch"),
        (&["add", "dir", "strange", "path=/srv"], 6, "strange"),
        (&["add", "dir", "bad id", "path=/srv"], 6, "bad id"),
        (&["add", "dir", "new", "path"], 2, "KEY=VALUE"),
        (&["add", "nonsense", "new"], 6, "there is no plugin"),
        (&["add", "dir", "new", "path=storage.cfg"], 6, "storage.cfg"),
        (&["add", "dir", "new"], 6, "lacks its 'path'"),
        (&["add", "nfs", "new", "server=a"], 6, "lacks its 'export'"),
    ] {
        let output = host.fleece(arguments);
        let said = support::text(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert_eq!(host.config(), BEFORE);
}

/// Nobody has made a directory by hand, and the storage says what is to be kept.
#[test]
fn a_new_storage_takes_backups_and_prunes_them_by_its_own_rules() {
    let host = Host::new();
    let (root, store) = (host.0.path(), host.0.path().join("new/store"));
    let path = format!("path={}", store.display());
    let rules = "prune-backups=keep-last=1";
    let added = host.fleece(&["add", "dir", "bb", &path, "content=backup", rules]);
    assert!(added.status.success(), "{}", support::text(&added));
    let fleece = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command.current_dir(root).args(arguments);
        command.args(["--storage-config", "storage.cfg", "--state-dir", "state"]);
        let output = command.output().unwrap();
        let said = support::text(&output);
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    };
    assert!(fleece(&["list", "bb"]).contains("no backups"));
    assert!(fleece(&["prune", "bb"]).contains("no backups"));
    fs::write(root.join("disk.raw"), [7; 4096]).unwrap();
    // A directory of that name is not meant.
    fs::create_dir(root.join("bb")).unwrap();
    for _ in 0..2 {
        fleece(&["backup", "--image", "disk.raw", "--to", "bb"]);
    }
    assert!(support::entries(&root.join("bb")).is_empty());
    assert!(fleece(&["list", "bb"]).contains("./bb"));
    let archives = || {
        let mut files = support::entries(&store.join("dump"));
        files.retain(|path| path.to_string_lossy().ends_with(".vma.zst"));
        files
    };
    let before = archives();
    assert_eq!(before.len(), 2);
    // One that keeps all is no error, every night.
    let config = root.join("storage.cfg");
    let last = fs::read_to_string(&config).unwrap();
    fs::write(&config, last.replace("keep-last=1", "keep-all=1")).unwrap();
    assert!(fleece(&["prune", "bb"]).contains("keep (no rule"));
    assert_eq!(archives(), before);
    fs::write(&config, last).unwrap();
    fleece(&["prune", "bb"]);
    assert_eq!(archives(), before[1..]);
    fleece(&["list", "./bb"]);
}

/// What a storage is for, where it is, and that it is off holds for whatever is asked of it.
#[test]
fn what_a_storage_is_for_holds_for_every_command() {
    let bench = support::Bench::new();
    let archived = support::archived::Archived::new(&bench, &[]);
    let image = bench.path("disk.raw");
    fs::write(&image, [7; 4096]).unwrap();
    fs::create_dir(bench.path("configs")).unwrap();
    let path = bench.path("fleecing");
    let path = path.display();
    let storages = format!(
        "dir: a\n\tpath {path}\n\tcontent images;iso\n\n\
         dir: b\n\tpath {path}\n\tcontent backup\n\n\
         dir: off\n\tpath {path}\n\tcontent images,backup\n\tdisable 1\n\n\
         dir: far\n\tpath {path}\n\tcontent images,backup\n\tnodes elsewhere other\n"
    );
    fs::write(bench.path("storage.cfg"), storages).unwrap();
    let (image, archive) = (image.to_str().unwrap(), archived.path.to_str().unwrap());
    let backups: [&[&str]; 6] = [
        &["backup", "--image", image, "--to", "ID"],
        &["backup", "--image", image, "--dry-run", "--to", "ID"],
        &["list", "ID"],
        &["prune", "--keep", "keep-last=1", "ID"],
        &["prune", "--dry-run", "--keep", "keep-last=1", "ID"],
        &["verify", "ID"],
    ];
    let disks: [&[&str]; 3] = [
        &["restore", archive, "--vmid", "9", "--storage", "ID"],
        &[
            "restore",
            archive,
            "--vmid",
            "9",
            "--dry-run",
            "--storage",
            "ID",
        ],
        &[
            "restore",
            archive,
            "--vmid",
            "9",
            "--storage",
            "a",
            "--disk",
            "scsi0=ID",
        ],
    ];
    let fails = |arguments: &[&str], id: &str, words: &str| {
        let mut command = bench.fleece(arguments.first().unwrap());
        command
            .arg("--storage-config")
            .arg(bench.path("storage.cfg"));
        command.arg("--config-dir").arg(bench.path("configs"));
        command.args(arguments.iter().skip(1).map(|word| word.replace("ID", id)));
        let output = command.output().unwrap();
        let said = support::text(&output);
        assert_eq!(output.status.code(), Some(6), "{arguments:?} {id}: {said}");
        assert!(said.contains(words), "{arguments:?} {id}: {said}");
    };
    for arguments in backups {
        fails(arguments, "a", "a is not for backups");
    }
    for arguments in disks {
        fails(arguments, "b", "b is not for disks");
    }
    for arguments in backups.iter().chain(&disks) {
        fails(arguments, "off", "disabled");
        fails(arguments, "far", "elsewhere other");
    }
    let made = support::entries(&bench.path("fleecing"));
    assert!(
        made.is_empty() || made == [bench.path("fleecing/images")],
        "{made:?}"
    );
    // Where it is meant to be, it is, and an id of one letter is one.
    let mut restore = bench.fleece("restore");
    restore
        .arg("--storage-config")
        .arg(bench.path("storage.cfg"));
    restore.arg("--config-dir").arg(bench.path("configs"));
    restore.args([archive, "--vmid", "9", "--storage", "a", "--json"]);
    let output = restore.output().unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("a:9/vm-9-disk-0.raw"), "{said}");
    let mut backup = bench.fleece("backup");
    backup
        .arg("--storage-config")
        .arg(bench.path("storage.cfg"));
    support::succeed(backup.args(["--image", image, "--to", "b"]));
}
