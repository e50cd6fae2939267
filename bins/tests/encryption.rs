//! Archives that are encrypted with age: by `vma` and `fleece`, read by them and by Debian's `age`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fleece_lab::{Disk, StorageDaemon};
use serde_json::Value;
use support::{Bench, archives, entries, succeed, text};
use tempfile::TempDir;

/// What is in the guest's disk and configuration, and must not be found in any file.
const SECRETS: [&[u8]; 2] = [b"attack at dawn", b"secret-in-config"];

/// Whether a program is there; otherwise says so.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|dir| dir.join(program).exists());
    if !there {
        eprintln!("SKIP: {program} is not installed");
    }
    there
}

/// A disk, a configuration, and keys.
struct Field {
    dir: TempDir,
}

impl Field {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let field = Self { dir };
        // Noise, so that archives have many chunks however they are compressed.
        support::noise(&field.path("disk.raw"), 5 << 20);
        let mut disk = fs::read(field.path("disk.raw")).unwrap();
        for place in [0, 70_000, 3_000_000] {
            disk[place..place + 14].copy_from_slice(SECRETS[0]);
        }
        disk[1 << 20..2 << 20].fill(0);
        fs::write(field.path("disk.raw"), disk).unwrap();
        fs::write(
            field.path("qemu-server.conf"),
            "description: secret-in-config\n",
        )
        .unwrap();
        for key in ["ours", "theirs"] {
            let made = Command::new("age-keygen")
                .arg("-o")
                .arg(field.path(key))
                .output();
            assert!(made.unwrap().status.success());
            let public = Command::new("age-keygen")
                .arg("-y")
                .arg(field.path(key))
                .output();
            fs::write(field.path(&format!("{key}.pub")), public.unwrap().stdout).unwrap();
        }
        field
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn public(&self) -> String {
        fs::read_to_string(self.path("ours.pub"))
            .unwrap()
            .trim()
            .to_owned()
    }

    fn vma(&self, args: &[&str]) -> Output {
        let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
        vma.env_remove("HOME").env_remove("XDG_CACHE_HOME");
        vma.current_dir(self.dir.path()).stdin(Stdio::null());
        vma.args(args).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> Vec<u8> {
        let output = self.vma(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        output.stdout
    }

    /// An encrypted archive, made with these options.
    fn create(&self, name: &str, options: &[&str]) {
        let disk = "format=raw:drive-scsi0=disk.raw";
        let public = self.public();
        let args = [
            "create",
            name,
            "-c",
            "qemu-server.conf",
            "-d",
            disk,
            "--encrypt-to",
            &public,
        ];
        self.ok(&[&args[..], options].concat());
    }

    /// The disk as a client of `vma serve` reads it.
    fn served(&self, name: &str) -> Vec<u8> {
        let mut serve = Command::new(env!("CARGO_BIN_EXE_vma"));
        serve.current_dir(self.dir.path()).args(["serve", name]);
        serve.arg(self.path("socket")).args(IDENTITY);
        let mut serve = serve.stdout(Stdio::piped()).spawn().unwrap();
        let mut uri = String::new();
        let said = serve.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut uri).unwrap();
        let mut read = Command::new("nbdcopy");
        let read = read.args([uri.trim(), "-"]).output().unwrap();
        serve.kill().unwrap();
        serve.wait().unwrap();
        fs::remove_file(self.path("socket")).unwrap();
        assert!(read.status.success(), "{}", text(&read));
        read.stdout
    }

    fn fails(&self, args: &[&str], code: i32, reason: &str) {
        let output = self.vma(args);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(reason), "{args:?}: {said}");
    }

    /// That no file below has anything of the guest's in clear.
    fn nothing_is_in_clear(&self, directory: &Path) {
        for path in entries(directory) {
            if path.is_dir() {
                self.nothing_is_in_clear(&path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            for secret in SECRETS {
                let found = bytes.windows(secret.len()).any(|window| window == secret);
                assert!(
                    !found,
                    "{} has {:?}",
                    path.display(),
                    String::from_utf8_lossy(secret)
                );
            }
        }
    }

    fn fleece(&self, args: &[&str]) -> Output {
        let mut fleece = Command::new(env!("CARGO_BIN_EXE_fleece"));
        fleece
            .current_dir(self.dir.path())
            .env("FLEECE_CONFIG", self.path("fleece.toml"));
        fleece.args(args).output().unwrap()
    }
}

const IDENTITY: [&str; 2] = ["--identity", "ours"];

#[test]
fn every_command_reads_an_encrypted_archive_with_its_key() {
    if !has("age") {
        return;
    }
    let field = Field::new();
    for (name, options) in [
        ("a.vma.age", &["--no-sync"][..]),
        ("a.vma.zst.age", &["--no-sync", "--compress", "zstd=1"]),
        ("a.vma.gz.age", &["--no-sync", "--compress", "gzip=1"]),
    ] {
        field.create(name, options);
        let with = |args: &[&str]| field.ok(&[args, &IDENTITY].concat());
        assert!(
            String::from_utf8(with(&["list", name]))
                .unwrap()
                .contains("drive-scsi0")
        );
        assert_eq!(with(&["config", name]), b"description: secret-in-config\n");
        with(&["verify", name]);
        let info = String::from_utf8(with(&["info", name])).unwrap();
        assert!(info.contains("encrypted for: an X25519 key"), "{info}");
        with(&["extract", name, "out"]);
        let disk = fs::read(field.path("disk.raw")).unwrap();
        assert!(
            fs::read(field.path("out/disk-drive-scsi0.raw")).unwrap() == disk,
            "{name}"
        );
        fs::remove_dir_all(field.path("out")).unwrap();
        // Through a pipe, and with the key that the environment names.
        let file = fs::File::open(field.path(name)).unwrap();
        let mut piped = Command::new(env!("CARGO_BIN_EXE_vma"));
        piped
            .current_dir(field.dir.path())
            .stdin(file)
            .env("FLEECE_IDENTITY", "ours");
        succeed(piped.args(["extract", "-", "out"]));
        assert!(
            fs::read(field.path("out/disk-drive-scsi0.raw")).unwrap() == disk,
            "{name}"
        );
        fs::remove_dir_all(field.path("out")).unwrap();
        if name != "a.vma.gz.age" {
            // At any offset, of which no copy is made.
            assert!(with(&["extract", name, "-", "-d", "drive-scsi0"]) == disk);
            assert!(!field.path(&format!("{name}.idx")).exists());
            assert!(field.served(name) == disk);
        }
        field.fails(
            &[&["index", name], &IDENTITY[..]].concat(),
            2,
            "would tell what is in it",
        );
    }
    field.ok(&[&["verify", "--deep", "a.vma.zst.age"], &IDENTITY[..]].concat());
    let info = field.ok(&[&["info", "a.vma.zst.age", "--json"], &IDENTITY[..]].concat());
    let info: Value = serde_json::from_slice(&info).unwrap();
    assert!(info["encrypted_for"].as_str().unwrap().contains("X25519"));
    assert_eq!(info["index"], "inside");
    field.ok(&[&["diff", "a.vma.age", "a.vma.zst.age"], &IDENTITY[..]].concat());
    // A copy in clear where only a whole reading does is not made by itself.
    let cached = [
        "extract",
        "a.vma.gz.age",
        "-",
        "-d",
        "drive-scsi0",
        "--cache",
        "cache",
    ];
    field.fails(&[&cached, &IDENTITY[..]].concat(), 1, "in clear");
    assert!(!field.path("cache").exists());
}

#[test]
fn age_and_zstd_give_the_archive_and_what_age_has_encrypted_is_read() {
    if !has("age") || !has("zstd") {
        return;
    }
    let field = Field::new();
    field.create("a.vma.zst.age", &["--compress", "zstd"]);
    let shell = |script: &str| {
        let mut sh = Command::new("sh");
        succeed(sh.current_dir(field.dir.path()).args(["-ec", script]));
    };
    shell("age -d -i ours a.vma.zst.age > a.vma.zst; zstd -q -d a.vma.zst -o a.vma");
    field.ok(&["verify", "a.vma"]);
    field.ok(&["verify", "--deep", "a.vma.zst"]);
    field.ok(&["extract", "a.vma", "out"]);
    let disk = |name: &str| fs::read(field.path(name)).unwrap();
    assert!(disk("out/disk-drive-scsi0.raw") == disk("disk.raw"));
    shell("age -R theirs.pub -R ours.pub < a.vma.zst > b.vma.zst.age");
    for key in ["ours", "theirs"] {
        let deep = ["verify", "--deep", "b.vma.zst.age", "--identity", key];
        field.ok(&deep);
    }
    // What is in clear is encrypted later.
    let public = field.public();
    field.ok(&["reframe", "a.vma", "c.vma.zst.age", "--encrypt-to", &public]);
    field.ok(&[&["verify", "--deep", "c.vma.zst.age"], &IDENTITY[..]].concat());
}

#[test]
fn an_archive_that_was_cut_off_or_changed_is_refused_and_nothing_of_it_gets_its_name() {
    if !has("age") {
        return;
    }
    let field = Field::new();
    for name in ["a.vma.age", "a.vma.zst.age"] {
        let compress = if name == "a.vma.age" {
            "none"
        } else {
            "zstd=1"
        };
        field.create(name, &["--no-sync", "--compress", compress]);
        let whole = fs::read(field.path(name)).unwrap();
        let chunk = 65_536 + 16;
        let end = whole
            .windows(5)
            .position(|window| window == b"\n--- ")
            .unwrap()
            + 1;
        let line = whole[end..].iter().position(|byte| *byte == b'\n').unwrap();
        let start = end + line + 1 + 16;
        let mut swapped = whole.clone();
        swapped.copy_within(start + chunk..start + 2 * chunk, start + 2 * chunk);
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 4;
        let mut header = whole.clone();
        header[30] ^= 1;
        let mut cases = vec![swapped, flipped, header, [&whole[..], b"more"].concat()];
        for border in [0, 1, 3, 20] {
            for more in [0, 1, 500] {
                let length = start + border * chunk + more;
                cases.push(whole[..length.min(whole.len() - 1)].to_vec());
            }
        }
        for (number, bytes) in cases.iter().enumerate() {
            fs::write(field.path("bad.age"), bytes).unwrap();
            for args in [
                &["extract", "bad.age", "out"][..],
                &["verify", "bad.age"],
                &["verify", "--deep", "bad.age"],
            ] {
                let output = field.vma(&[args, &IDENTITY].concat());
                // Without an index, there is nothing to check the payload against.
                let no_index = args.contains(&"--deep") && name == "a.vma.age";
                let refused = !output.status.success();
                assert!(
                    refused || no_index,
                    "{name} {number} {args:?}: {}",
                    text(&output)
                );
                assert!(!field.path("out").exists(), "{name} {number}");
            }
            let file = fs::File::open(field.path("bad.age")).unwrap();
            let mut piped = Command::new(env!("CARGO_BIN_EXE_vma"));
            piped.current_dir(field.dir.path()).stdin(file);
            let output = piped
                .args(["extract", "-", "out"])
                .args(IDENTITY)
                .output()
                .unwrap();
            assert!(
                !output.status.success(),
                "{name} {number}: {}",
                text(&output)
            );
            assert!(!field.path("out").exists(), "{name} {number}");
        }
        // What is not damaged can be had: with the index within, all around it.
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 4;
        let reason = match name {
            "a.vma.age" => "is not authentic",
            _ => "wrong contents",
        };
        for (bytes, reason) in [(&flipped[..], reason), (&whole[..start], "was cut off")] {
            fs::write(field.path("bad.age"), bytes).unwrap();
            let recover = [&["recover", "bad.age", "out"], &IDENTITY[..]].concat();
            field.fails(&recover, 4, reason);
            let _ = fs::remove_dir_all(field.path("out"));
        }
    }
}

#[test]
fn without_the_key_it_is_said_whose_is_needed_and_nobody_takes_it_for_damage() {
    if !has("age") {
        return;
    }
    let field = Field::new();
    field.create("a.vma.zst.age", &["--compress", "zstd=1"]);
    for args in [
        &["list", "a.vma.zst.age"][..],
        &["extract", "a.vma.zst.age", "out"],
        &["verify", "a.vma.zst.age"],
        &["serve", "a.vma.zst.age", "socket"],
    ] {
        field.fails(args, 1, "it is encrypted, for an X25519 key");
        field.fails(args, 1, "give the key's file with --identity");
        field.fails(
            &[args, &["--identity", "theirs"]].concat(),
            1,
            "none of the secret keys given (1)",
        );
        field.fails(
            &[args, &["--identity", "missing"]].concat(),
            1,
            "cannot read the secret key",
        );
        field.fails(
            &[args, &["--identity", "ours.pub"]].concat(),
            1,
            "public key",
        );
    }
    assert!(!field.path("out").exists());
}

#[test]
fn nothing_is_written_unless_it_is_certain_for_whom() {
    if !has("age") {
        return;
    }
    let field = Field::new();
    fs::write(field.path("nobody"), "# nobody\n").unwrap();
    fs::create_dir(field.path("dump")).unwrap();
    let public = field.public();
    let secret = fs::read_to_string(field.path("ours")).unwrap();
    let secret = secret.lines().last().unwrap();
    let drive = ["-d", "format=raw:disk.raw"];
    for (args, reason) in [
        (&["dump/a.vma.zst.age"][..], "nobody is named"),
        (&["dump/a.vma", "--encrypt-to", &public], "ends in .age"),
        (&["dump/a.vma.age", "--encrypt-to", ""], "no public key"),
        (
            &["dump/a.vma.age", "--encrypt-to", "age1abc"],
            "not a whole age key",
        ),
        (&["dump/a.vma.age", "--encrypt-to", secret], "a secret key"),
        (
            &[
                "dump/a.vma.age",
                "--encrypt-to",
                &public,
                "--recipients",
                "nobody",
            ],
            "no public key in",
        ),
        (
            &["dump/a.vma.age", "--recipients", "missing"],
            "cannot read the public keys",
        ),
    ] {
        let output = field.vma(&[&["create"], args, &drive].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = text(&output);
        assert!(
            said.contains(reason) && !said.contains(secret),
            "{args:?}: {said}"
        );
    }
    for (args, code, reason) in [
        (&["--to", "dump/a.vma.zst.age"][..], 1, "nobody is named"),
        (
            &["--to", "dump/a.vma.zst", "--encrypt-to", &public],
            1,
            "ends in .age",
        ),
        (&["--to", "dump", "--encrypt-to", ""], 1, "no public key"),
        (
            &["--to", "dump", "--recipients", "nobody"],
            1,
            "no public key in",
        ),
        (
            &["--to", "dump", "--recipients", "missing"],
            1,
            "cannot read the public keys",
        ),
        (
            &["--to", "dump", "--encrypt-to", &public, "--reuse"],
            2,
            "cannot be used with",
        ),
        (
            &["--to", "dump", "--encrypt-to", &public, "--verify"],
            2,
            "cannot be used with",
        ),
    ] {
        fs::write(field.path("fleece.toml"), "").unwrap();
        let backup = [
            "backup",
            "--state-dir",
            "state",
            "--vmid",
            "100",
            "--image",
            "disk.raw",
        ];
        let output = field.fleece(&[&backup, args].concat());
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(reason), "{args:?}: {said}");
    }
    // A list of nobody is no wish for an archive in clear.
    fs::write(field.path("fleece.toml"), "[backup]\nencrypt-to = []\n").unwrap();
    let backup = [
        "backup",
        "--state-dir",
        "state",
        "--vmid",
        "100",
        "--image",
        "disk.raw",
    ];
    let output = field.fleece(&[&backup[..], &["--to", "dump"]].concat());
    assert!(
        !output.status.success() && text(&output).contains("names nobody"),
        "{}",
        text(&output)
    );
    // What is there says that it failed.
    assert_eq!(archives(&field.path("dump")), Vec::<PathBuf>::new());
}

#[test]
fn a_backup_is_encrypted_as_the_configuration_says_and_restored_with_the_key() {
    if !has("age") {
        return;
    }
    let field = Field::new();
    fs::create_dir(field.path("dump")).unwrap();
    let recipients = format!("[guest.100]\nrecipients = [{:?}]\n", field.path("ours.pub"));
    fs::write(field.path("fleece.toml"), recipients).unwrap();
    let output = field.fleece(&[
        "--json",
        "backup",
        "--state-dir",
        "state",
        "--vmid",
        "100",
        "--image",
        "disk.raw",
        "--to",
        "dump",
        "--config",
        "qemu-server.conf",
        "--notes",
        "mine",
    ]);
    assert!(output.status.success(), "{}", text(&output));
    let done = support::result(&output);
    let archive = PathBuf::from(done["archive"].as_str().unwrap());
    let archive = field.dir.path().join(archive);
    let name = archive.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.ends_with(".vma.zst.age"), "{name}");
    assert_eq!(done["size"], archive.metadata().unwrap().len());
    field.nothing_is_in_clear(&field.path("dump"));
    field.nothing_is_in_clear(&field.path("state"));
    assert!(!text(&output).contains("secret-in-config"));
    let listed = text(&field.fleece(&["list", "dump"]));
    assert!(listed.contains(&name), "{listed}");
    // Whoever has no key neither reads it nor takes it for damaged.
    let output = field.fleece(&["verify", "dump"]);
    assert_eq!(output.status.code(), Some(6), "{}", text(&output));
    assert!(
        text(&output).contains("it is encrypted, for"),
        "{}",
        text(&output)
    );
    let archive = archive.to_str().unwrap();
    let output = field.fleece(&["restore", archive, "--to", "guest"]);
    assert!(!output.status.success() && !field.path("guest").exists());
    assert!(
        field
            .fleece(&["verify", "dump", "--identity", "ours"])
            .status
            .success()
    );
    fs::write(
        field.path("fleece.toml"),
        format!("[restore]\nidentity = {:?}\n", field.path("ours")),
    )
    .unwrap();
    let output = field.fleece(&["restore", archive, "--to", "guest"]);
    assert!(output.status.success(), "{}", text(&output));
    let restored = entries(&field.path("guest"));
    let image = restored
        .iter()
        .find(|path| path.extension().is_some_and(|end| end == "raw"));
    assert!(
        fs::read(image.expect("an image")).unwrap() == fs::read(field.path("disk.raw")).unwrap()
    );
    let deleted = field.fleece(&["delete", archive]);
    assert!(deleted.status.success(), "{}", text(&deleted));
    assert_eq!(entries(&field.path("dump")), Vec::<PathBuf>::new());
}

#[test]
fn a_running_guest_is_backed_up_encrypted_and_restored_as_it_was() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    if !has("age") {
        return;
    }
    let field = Field::new();
    let daemon = StorageDaemon::builder(&qemu)
        .disk(Disk::raw(8 << 20))
        .export()
        .start()
        .unwrap();
    let image = daemon.disk_path(0).to_owned();
    fs::write(&image, {
        let mut disk = fs::read(field.path("disk.raw")).unwrap();
        disk.resize(8 << 20, 0);
        disk
    })
    .unwrap();
    let bench = Bench::new();
    succeed(
        bench
            .backup(&daemon.qmp_socket())
            .arg("--nbd-server")
            .arg(daemon.nbd_socket())
            .args(["--encrypt-to", &field.public()]),
    );
    let archive = entries(&bench.path("archives"))
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "age"))
        .unwrap();
    field.nothing_is_in_clear(&bench.path("archives"));
    bench.assert_clean(&daemon.qmp_socket());
    let archive = archive.to_str().unwrap();
    field.ok(&[&["extract", archive, "out"], &IDENTITY[..]].concat());
    let restored = entries(&field.path("out"));
    let disk = restored
        .iter()
        .find(|path| path.extension().is_some_and(|end| end == "raw"));
    assert!(fs::read(disk.unwrap()).unwrap() == fs::read(&image).unwrap());
}
