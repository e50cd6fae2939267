//! Options from the environment and from files: `docs/CONFIGURATION.md`.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::ended::Ended;
use tempfile::TempDir;

/// A host with an image of a guest, a directory for archives, and a configuration.
struct Host(TempDir);

impl Host {
    fn new(config: &str) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        fs::create_dir(host.path().join("archives")).unwrap();
        fs::write(host.path().join("disk.raw"), vec![7; 1 << 20]).unwrap();
        fs::write(host.path().join("fleece.toml"), config).unwrap();
        host
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command.current_dir(self.path()).args(arguments);
        command.env("FLEECE_CONFIG", "fleece.toml");
        command
    }

    fn fleece(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.command(arguments))
    }

    /// The names of the archives that there are, which are removed.
    fn archives(&self) -> Vec<String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path().join("archives")).unwrap() {
            let path = entry.unwrap().path();
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
            fs::remove_file(path).unwrap();
        }
        names.retain(|name| name.ends_with(".vma") || name.ends_with(".vma.zst"));
        names
    }
}

const GUESTS: &str = "state-dir = 'state'

[backup]
to = 'archives'
compress = 'none'
no-fleecing = true

[guest.'web*']
image = ['disk.raw']
notes = 'of the web'
";

#[test]
fn a_backup_needs_no_options_but_the_name_and_what_is_said_nearer_counts_more() {
    let host = Host::new(GUESTS);
    host.fleece(&["backup", "--name", "web1"]).expect_code(0);
    let names = host.archives();
    assert!(
        matches!(&names[..], [name] if name.ends_with(".vma")),
        "{names:?}"
    );

    let mut command = host.command(&["backup", "--name", "web1"]);
    command.env("FLEECE_BACKUP_COMPRESS", "zstd");
    Ended::of(&mut command).expect_code(0);
    let names = host.archives();
    assert!(
        matches!(&names[..], [name] if name.ends_with(".zst")),
        "{names:?}"
    );

    Ended::of(command.args(["--compress", "none"])).expect_code(0);
    let names = host.archives();
    assert!(
        matches!(&names[..], [name] if name.ends_with(".vma")),
        "{names:?}"
    );

    // The pattern is not that of this guest, and nobody says where it is.
    host.fleece(&["backup", "--name", "db"]).expect_code(2);
}

#[test]
fn the_example_in_the_documentation_is_right() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fleece.toml");
    let text = fs::read_to_string(&example).unwrap();
    // What is commented out may be used, too.
    let all: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting)
                if setting
                    .split_once(" = ")
                    .is_some_and(|(key, _)| !key.contains(' ')) =>
            {
                setting
            }
            _ => line,
        })
        .fold(String::new(), |text, line| text + line + "\n");
    assert_ne!(all, text);
    for config in [&text, &all] {
        let host = Host::new(config);
        host.fleece(&["config", "check"]).expect_code(0);
        host.fleece(&["config", "show", "web1"])
            .expect(0, &["bwlimit", "100M", "fleece.toml:"]);
    }
}

#[test]
fn what_the_command_line_excludes_is_left_out() {
    let host = Host::new(GUESTS);
    let elsewhere = [
        "backup",
        "--name",
        "web1",
        "--fleecing",
        "/tmp",
        "--dry-run",
    ];
    host.fleece(&elsewhere).expect_code(0);
}

#[test]
fn each_value_is_shown_with_its_line() {
    let host = Host::new(GUESTS);
    let shown = host.fleece(&["config", "show", "web1"]).expect_code(0);
    for (option, value, line) in [
        ("state-dir", "state", 1),
        ("compress", "none", 5),
        ("image", "disk.raw", 9),
    ] {
        let row = shown.lines().find(|row| row.starts_with(option)).unwrap();
        assert!(row.contains(value), "{row}");
        assert!(row.ends_with(&format!("fleece.toml:{line}")), "{row}");
    }
    let mut command = host.command(&["config", "show"]);
    let shown = Ended::of(command.env("FLEECE_BACKUP_TO", "elsewhere")).expect_code(0);
    let row = shown.lines().find(|row| row.starts_with("to ")).unwrap();
    assert!(row.ends_with("FLEECE_BACKUP_TO"), "{row}");
    assert!(!shown.contains("image"), "{shown}");
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_may_be_meant() {
    let host = Host::new("[backup]\ncompres = 'none'\n");
    for arguments in [&["config", "check"][..], &["list", "archives"]] {
        let said = host.fleece(arguments);
        said.expect(
            1,
            &["fleece.toml:2", "\"compres\"", "is \"compress\" meant?"],
        );
    }
    // Help is had all the same.
    host.fleece(&["backup", "--help"])
        .expect(0, &["--compress"]);

    let host = Host::new("[backup]\nto = 'archives'\ncompress = 'rar'\nverify = 'perhaps'\n");
    let said = host.fleece(&["config", "check"]);
    said.expect(
        1,
        &["fleece.toml:3", "rar", "fleece.toml:4", "true or false"],
    );
    let host = Host::new("[backup]\nto = 'archives'\ncompress = 'rar'\n");
    let said = host.fleece(&["backup", "--image", "disk.raw"]);
    said.expect(2, &["rar", "--compress comes from fleece.toml:3"]);

    let host = Host::new(GUESTS);
    host.fleece(&["config", "check"])
        .expect(0, &["fleece.toml is fine"]);
}

#[test]
fn what_proxmox_s_vzdump_conf_says_counts_least() {
    let host = Host::new("[backup]\nto = 'archives'\n[guest.web]\nimage = ['disk.raw']\n");
    let conf = "# dumpdir: /nowhere\ndumpdir: nowhere\ncompress: 0\nnotes-template: {{guestname}} {{vmid}}\\n{{cluster}}\n\
                prune-backups: keep-last=1\nionice: 7\nperformance: max-workers=4\nwhat-comes-later: 1\n";
    fs::write(host.path().join("vzdump.conf"), conf).unwrap();
    let command = |arguments: &[&str]| {
        let mut command = host.command(arguments);
        command.env("FLEECE_VZDUMP_CONF", "vzdump.conf");
        Ended::of(&mut command)
    };
    let shown = command(&["config", "show", "web"]).expect_code(0);
    let row = |option: &str| {
        let row = shown.lines().find(|row| row.starts_with(option));
        row.unwrap().to_owned()
    };
    assert!(row("compress").ends_with("vzdump.conf:3"), "{shown}");
    assert!(row("to ").ends_with("fleece.toml:2"), "{shown}");
    command(&["config", "check"]).expect_code(0);
    for _ in 0..2 {
        command(&["backup", "--name", "web"]).expect_code(0);
    }
    let notes = fs::read_dir(host.path().join("archives")).unwrap();
    let mut notes = notes.map(|entry| entry.unwrap().path());
    let notes = notes.find(|path| path.extension().is_some_and(|ending| ending == "notes"));
    let notes = fs::read_to_string(notes.unwrap()).unwrap();
    assert_eq!(notes.trim(), "VM web web\nstandalone node");
    let names = host.archives();
    assert!(
        matches!(&names[..], [name] if name.ends_with(".vma")),
        "{names:?}"
    );
}

/// The blocks of TOML on a page.
fn examples(page: &str) -> Vec<String> {
    let blocks = page.split("```toml\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap().to_owned());
    blocks.collect()
}

#[test]
fn the_examples_in_the_documentation_are_right() {
    let pages = [
        include_str!("../../docs/CONFIGURATION.md"),
        include_str!("../../docs/FLEET.md"),
        include_str!("../../docs/HOOKS.md"),
    ];
    let examples: Vec<_> = pages.into_iter().flat_map(examples).collect();
    assert!(examples.len() >= 5, "{examples:?}");
    for example in examples {
        let host = Host::new(&example);
        host.fleece(&["config", "check"]).expect_code(0);
    }
}
