//! What Debian's `age` encrypts is decrypted here, and the other way round.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use fleece_encryption::{Decrypted, Decryptor, Encryptor, ErrorKind, Identities, Recipients};
use tempfile::TempDir;

/// Whether the programs are there; otherwise says so.
fn programs() -> bool {
    let there = ["age", "age-keygen", "ssh-keygen"].iter().all(|program| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(program).exists())
    });
    if !there {
        eprintln!("SKIP: age or ssh-keygen is not installed");
    }
    there
}

fn run(program: &str, args: &[&str]) -> String {
    String::from_utf8(run_for(program, args)).unwrap()
}

fn run_for(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(args).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {error}");
    output.stdout
}

struct Keys {
    dir: TempDir,
}

impl Keys {
    /// A key pair of each kind.
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let keys = Self { dir };
        run("age-keygen", &["-o", keys.text("age")]);
        let public = run("age-keygen", &["-y", keys.text("age")]);
        fs::write(keys.path("age.pub"), public).unwrap();
        for (kind, bits) in [("ed25519", "256"), ("rsa", "2048")] {
            let file = keys.text(kind);
            run(
                "ssh-keygen",
                &["-q", "-t", kind, "-b", bits, "-N", "", "-f", file],
            );
        }
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> &'static str {
        Box::leak(
            self.path(name)
                .to_str()
                .unwrap()
                .to_owned()
                .into_boxed_str(),
        )
    }

    fn public(&self, kinds: &[&str]) -> Recipients {
        let mut recipients = Recipients::new();
        for kind in kinds {
            recipients
                .add_file(&self.path(&format!("{kind}.pub")))
                .unwrap();
        }
        recipients
    }

    fn secret(&self, kind: &str) -> Identities {
        let mut identities = Identities::new();
        identities.add_file(&self.path(kind)).unwrap();
        identities
    }
}

const KINDS: [&str; 3] = ["age", "ed25519", "rsa"];

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 999) as u8).collect()
}

fn encrypt(path: &Path, recipients: &Recipients, plain: &[u8]) {
    let file = fs::File::create(path).unwrap();
    let mut encryptor = Encryptor::new(file, recipients).unwrap();
    encryptor.write_all(plain).unwrap();
    encryptor.finish().unwrap();
}

#[test]
fn age_decrypts_ours_with_the_key_of_each_recipient() {
    if !programs() {
        return;
    }
    let keys = Keys::new();
    for length in [0, 1, 65_536, 65_537, 3_000_000] {
        let plain = text(length);
        encrypt(&keys.path("ours"), &keys.public(&KINDS), &plain);
        for kind in KINDS {
            let read = run_for("age", &["-d", "-i", keys.text(kind), keys.text("ours")]);
            assert!(read == plain, "{kind}, {length}");
        }
    }
}

#[test]
fn we_decrypt_what_age_has_encrypted_in_order_and_anywhere() {
    if !programs() {
        return;
    }
    let keys = Keys::new();
    for length in [0, 1, 65_536, 65_537, 3_000_000] {
        let plain = text(length);
        fs::write(keys.path("plain"), &plain).unwrap();
        let recipients = KINDS.map(|kind| keys.text(&format!("{kind}.pub")));
        let [age, ed25519, rsa] = recipients;
        run(
            "age",
            &[
                "-R",
                age,
                "-R",
                ed25519,
                "-R",
                rsa,
                "-o",
                keys.text("theirs"),
                keys.text("plain"),
            ],
        );
        for kind in KINDS {
            let secret = keys.secret(kind);
            let file = || fs::File::open(keys.path("theirs")).unwrap();
            let mut read = Vec::new();
            Decryptor::new(file(), &secret)
                .unwrap()
                .read_to_end(&mut read)
                .unwrap();
            assert!(read == plain, "{kind}, {length}");
            let anywhere = Decrypted::open(file(), &secret).unwrap();
            let mut read = vec![0; plain.len()];
            anywhere.read_exact_at(&mut read, 0).unwrap();
            assert!(read == plain, "{kind}, {length}");
        }
    }
}

#[test]
fn somebody_elses_key_and_what_cannot_be_used_is_said() {
    if !programs() {
        return;
    }
    let (keys, others) = (Keys::new(), Keys::new());
    encrypt(&keys.path("ours"), &keys.public(&KINDS), b"secret");
    let file = || fs::File::open(keys.path("ours")).unwrap();
    for kind in KINDS {
        let error = Decrypted::open(file(), &others.secret(kind)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongIdentity, "{kind}");
        let said = error.to_string();
        assert!(
            said.contains("an X25519 key") && said.contains("ssh-rsa key whose tag"),
            "{said}"
        );
    }
    let refused = |name: &str| {
        Identities::new()
            .add_file(&keys.path(name))
            .unwrap_err()
            .to_string()
    };
    let protected = keys.text("protected");
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "secret words", "-f", protected],
    );
    assert!(refused("protected").contains("protected by a passphrase"));
    run(
        "ssh-keygen",
        &["-q", "-t", "ecdsa", "-N", "", "-f", keys.text("ecdsa")],
    );
    assert!(refused("ecdsa").contains("of this kind cannot be used"));
    run(
        "ssh-keygen",
        &[
            "-q",
            "-t",
            "rsa",
            "-m",
            "PEM",
            "-N",
            "",
            "-f",
            keys.text("pem"),
        ],
    );
    assert!(refused("pem").contains("old form"));
    assert!(refused("age.pub").contains("a public key"));
    let error = Recipients::new()
        .add_file(&keys.path("ecdsa.pub"))
        .unwrap_err();
    assert!(error.to_string().contains("ecdsa-sha2-nistp256"), "{error}");
    let error = Recipients::new()
        .add_file(&keys.path("ed25519"))
        .unwrap_err();
    assert!(
        error.to_string().contains("line 1") && error.to_string().contains("a secret key"),
        "{error}"
    );
    // An encrypted key, and a file for a passphrase or as text.
    run(
        "age",
        &[
            "-R",
            keys.text("age.pub"),
            "-o",
            keys.text("wrapped"),
            keys.text("age"),
        ],
    );
    assert!(refused("wrapped").contains("protected by a passphrase"));
    run(
        "age",
        &[
            "-a",
            "-R",
            keys.text("age.pub"),
            "-o",
            keys.text("armored"),
            keys.text("age"),
        ],
    );
    let file = fs::File::open(keys.path("armored")).unwrap();
    let error = Decrypted::open(file, &keys.secret("age")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
