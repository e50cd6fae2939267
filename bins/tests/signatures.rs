//! `--sign` and `--signed-by`: archives are checked without any secret.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::{entries, text};
use tempfile::TempDir;

struct Field {
    dir: TempDir,
}

impl Field {
    /// A disk, keys, and an empty directory of backups; `None` without the programs that make keys.
    fn new() -> Option<Self> {
        let field = Self {
            dir: TempDir::new().unwrap(),
        };
        support::noise(&field.path("disk.raw"), 3 << 20);
        fs::create_dir(field.path("dump")).unwrap();
        for key in ["host", "other"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(field.path(key));
            let Ok(status) = keygen.status() else {
                eprintln!("SKIP: ssh-keygen is not installed");
                return None;
            };
            assert!(status.success());
        }
        Some(field)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .args(args)
            .output()
            .unwrap()
    }

    fn vma(&self, args: &[&str]) -> Output {
        self.run(env!("CARGO_BIN_EXE_vma"), args)
    }

    fn fleece(&self, args: &[&str]) -> Output {
        self.run(env!("CARGO_BIN_EXE_fleece"), args)
    }

    /// Ends so, and says this.
    fn says(&self, output: &Output, code: i32, words: &str) {
        let said = text(output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }

    /// An archive for the key of the other host, which nobody here has, signed by this one.
    fn create(&self, name: &str) {
        let made = self.vma(&[
            "create",
            name,
            "-d",
            "format=raw:disk.raw",
            "--compress",
            "zstd=1",
            "--recipients",
            "other.pub",
            "--sign",
            "host",
        ]);
        assert!(made.status.success(), "{}", text(&made));
    }
}

#[test]
fn a_signed_archive_is_checked_without_its_key_and_tampering_is_found() {
    let Some(field) = Field::new() else { return };
    field.create("a.vma.zst.age");
    field.create("b.vma.zst.age");
    let check = |name: &str, by: &str| field.vma(&["verify", name, "--signed-by", by]);
    field.says(
        &check("a.vma.zst.age", "host.pub"),
        0,
        "every byte is as it was signed by ssh-ed25519 ",
    );
    // With the key, what is inside is looked at as well; a key is named by itself, too.
    let key = fs::read_to_string(field.path("host.pub")).unwrap();
    let inside = [
        "verify",
        "--deep",
        "a.vma.zst.age",
        "--signed-by",
        key.trim(),
        "--identity",
        "other",
    ];
    field.says(&field.vma(&inside), 0, "signed by ssh-ed25519");
    let json = field.vma(&[
        "verify",
        "a.vma.zst.age",
        "--signed-by",
        "host.pub",
        "--json",
    ]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(
        json["sound"] == true
            && json["signed_by"]
                .as_str()
                .unwrap()
                .starts_with("ssh-ed25519")
    );
    field.says(
        &check("a.vma.zst.age", "other.pub"),
        4,
        "not signed by any of the keys",
    );
    field.says(&check("a.vma.zst.age", "host"), 2, "private key");
    let whole = fs::read(field.path("a.vma.zst.age")).unwrap();
    let put = |bytes: &[u8]| fs::write(field.path("a.vma.zst.age"), bytes).unwrap();
    let mut rotten = whole.clone();
    rotten[2 << 20] ^= 1;
    put(&rotten);
    field.says(
        &check("a.vma.zst.age", "host.pub"),
        4,
        "1 of its pieces of 1 MiB is not what was signed, the first at byte 2097152",
    );
    put(&whole[..whole.len() - 1]);
    field.says(
        &check("a.vma.zst.age", "host.pub"),
        4,
        "and was signed with",
    );
    put(&[&whole[..], b"x"].concat());
    field.says(
        &check("a.vma.zst.age", "host.pub"),
        4,
        "and was signed with",
    );
    // Another archive of this host, with its signature, under this name.
    for end in ["", ".sig"] {
        fs::copy(
            field.path(&format!("b.vma.zst.age{end}")),
            field.path(&format!("a.vma.zst.age{end}")),
        )
        .unwrap();
    }
    field.says(
        &check("a.vma.zst.age", "host.pub"),
        4,
        "is for another file",
    );
    fs::remove_file(field.path("a.vma.zst.age.sig")).unwrap();
    field.says(&check("a.vma.zst.age", "host.pub"), 4, "is not signed");
}

#[test]
fn a_signature_is_made_with_a_private_key_of_ones_own_or_there_is_no_archive() {
    let Some(field) = Field::new() else { return };
    let create = |target: &str, key: &str| {
        field.vma(&["create", target, "-d", "format=raw:disk.raw", "--sign", key])
    };
    let mode =
        |mode| fs::set_permissions(field.path("host"), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    field.says(&create("dump/a.vma", "host"), 2, "chmod 600");
    mode(0o600);
    field.says(
        &create("dump/a.vma", "host.pub"),
        2,
        "may be read by others",
    );
    field.says(&create("dump/a.vma", "missing"), 2, "cannot read the key");
    field.says(
        &create("exec:cat > /dev/null", "host"),
        2,
        "no place for the signature",
    );
    assert_eq!(entries(&field.path("dump")), Vec::<PathBuf>::new());
    // One in clear is signed as well, and looked into.
    assert!(create("dump/a.vma", "host").status.success());
    let checked = field.vma(&["verify", "--deep", "dump/a.vma", "--signed-by", "host.pub"]);
    field.says(&checked, 0, "signed by");
}

#[test]
fn a_signed_backup_is_verified_by_whoever_cannot_read_it_and_its_signature_goes_with_it() {
    let Some(field) = Field::new() else { return };
    let backup = |guest: &str| {
        let output = field.fleece(&[
            "--json",
            "backup",
            "--state-dir",
            "state",
            "--vmid",
            guest,
            "--image",
            "disk.raw",
            "--to",
            "dump",
            "--recipients",
            "other.pub",
            "--sign",
            "host",
        ]);
        assert!(output.status.success(), "{}", text(&output));
        field
            .dir
            .path()
            .join(support::result(&output)["archive"].as_str().unwrap())
    };
    let (first, second) = (backup("100"), backup("101"));
    let sig = |archive: &Path| PathBuf::from(format!("{}.sig", archive.display()));
    assert!(sig(&first).exists() && sig(&second).exists());
    let verify = || field.fleece(&["verify", "dump", "--signed-by", "host.pub"]);
    field.says(&verify(), 0, "every byte is as it was signed by");
    let listed = text(&field.fleece(&["list", "dump", "--json"]));
    assert_eq!(
        listed
            .lines()
            .filter(|line| line.contains("\"file\""))
            .count(),
        2,
        "{listed}"
    );
    let newer = backup("100");
    let prune = ["prune", "dump", "--guest", "100", "--keep", "keep-last=1"];
    field.says(&field.fleece(&prune), 0, "");
    assert!(!first.exists() && !sig(&first).exists() && sig(&newer).exists());
    let mut bytes = fs::read(&second).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&second, bytes).unwrap();
    field.says(&verify(), 4, "is not what was signed");
    for archive in [&newer, &second] {
        let deleted = field.fleece(&["delete", archive.to_str().unwrap()]);
        assert!(deleted.status.success(), "{}", text(&deleted));
    }
    assert_eq!(entries(&field.path("dump")), Vec::<PathBuf>::new());
}
