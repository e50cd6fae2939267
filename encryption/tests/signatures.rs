//! Signed lists: what they find, and that OpenSSH's own program agrees.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use fleece_encryption::ErrorKind;
use fleece_encryption::signature::{Checked, Signer, SigningKey, VerifyingKeys, check};
use tempfile::TempDir;

/// Made with `ssh-keygen -t ed25519` for these tests.
const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
    b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
    QyNTUxOQAAACCljneYWl+pc74k1jzuhCN8+UIAtwqQ2RgP2eMcAnN8VgAAAIjDVPQNw1T0\n\
    DQAAAAtzc2gtZWQyNTUxOQAAACCljneYWl+pc74k1jzuhCN8+UIAtwqQ2RgP2eMcAnN8Vg\n\
    AAAEDfezZuMEL1/n3wLg8VUho/4gL61bq6GHCg4AFpHDWtFaWOd5haX6lzviTWPO6EI3z5\n\
    QgC3CpDZGA/Z4xwCc3xWAAAAAAECAwQF\n\
    -----END OPENSSH PRIVATE KEY-----";
const OTHER: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
    b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
    QyNTUxOQAAACDI7VfWoVWwjHF3Lhy18ezwqo4/WBO0DzvObrRHcVfLEgAAAIgOJwK0DicC\n\
    tAAAAAtzc2gtZWQyNTUxOQAAACDI7VfWoVWwjHF3Lhy18ezwqo4/WBO0DzvObrRHcVfLEg\n\
    AAAEAPkGfvuThr1h1Cf5dPL92TRWgAJPIUbfqS/bz0z+dpT8jtV9ahVbCMcXcuHLXx7PCq\n\
    jj9YE7QPO85utEdxV8sSAAAAAAECAwQF\n\
    -----END OPENSSH PRIVATE KEY-----";

const MIB: usize = 1 << 20;

fn key() -> SigningKey {
    SigningKey::from_text(KEY).unwrap()
}

fn keys() -> VerifyingKeys {
    let mut keys = VerifyingKeys::new();
    keys.add(&key().to_public()).unwrap();
    keys
}

fn file(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 4099) as u8).collect()
}

fn sign(name: &str, file: &[u8]) -> Vec<u8> {
    let mut signer = Signer::new(Vec::new(), name, &key()).unwrap();
    for part in file.chunks(700_001) {
        signer.update(part).unwrap();
    }
    signer.finish().unwrap()
}

fn checked(name: &str, file: &[u8], list: &[u8]) -> Result<Checked, fleece_encryption::Error> {
    let mut file = file;
    check(
        &mut file,
        &mut Cursor::new(list),
        name,
        &keys(),
        &mut |_| Ok(()),
    )
}

#[test]
fn what_was_signed_is_sound_and_whatever_was_done_to_it_is_found() {
    for length in [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5] {
        let file = file(length);
        let list = sign("a.age", &file);
        let sound = checked("a.age", &file, &list).unwrap();
        assert!(
            sound.is_sound() && sound.size == length as u64,
            "{length}: {sound:?}"
        );
        assert_eq!(sound.signer, key().to_public());
        for at in [0, length / 2, length.saturating_sub(1)] {
            let mut changed = file.clone();
            let Some(byte) = changed.get_mut(at) else {
                continue;
            };
            *byte ^= 1;
            let found = checked("a.age", &changed, &list).unwrap();
            assert_eq!(
                (found.damaged, found.first),
                (1, Some((at / MIB * MIB) as u64))
            );
            assert!(!found.is_sound());
        }
        for shorter in [0, 1, MIB, 2 * MIB, length.saturating_sub(1)] {
            if shorter < length {
                let found = checked("a.age", &file[..shorter], &list).unwrap();
                assert!(!found.is_sound(), "{length} cut to {shorter}: {found:?}");
            }
        }
        for more in [1, MIB, 2 * MIB] {
            let longer = [&file[..], &vec![0; more]].concat();
            assert!(
                !checked("a.age", &longer, &list).unwrap().is_sound(),
                "{length} and {more}"
            );
        }
    }
}

#[test]
fn another_file_another_signer_and_a_list_that_was_changed_are_refused() {
    let file = file(2 * MIB + 9);
    let list = sign("a.age", &file);
    let refused = |name: &str, list: &[u8]| {
        let error = checked(name, &file, list).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Signature, "{error}");
        error.to_string()
    };
    assert!(refused("b.age", &list).contains("another file"));
    let other = SigningKey::from_text(OTHER).unwrap();
    let mut signer = Signer::new(Vec::new(), "a.age", &other).unwrap();
    signer.update(&file).unwrap();
    let forged = signer.finish().unwrap();
    assert!(refused("a.age", &forged).contains("not signed by any of the keys"));
    // The signature of another list, and the list of a longer file with lines left out.
    let text = String::from_utf8(list.clone()).unwrap();
    let (of_forged, at) = (
        String::from_utf8(forged).unwrap(),
        text.find("-----BEGIN").unwrap(),
    );
    let borrowed = format!(
        "{}{}",
        &of_forged[..of_forged.find("-----BEGIN").unwrap()],
        &text[at..]
    );
    let lines: Vec<&str> = text.lines().collect();
    let less = [&lines[..4], &lines[5..]].concat().join("\n") + "\n";
    for list in [less, text.replace("a.age", "b.age")] {
        refused("a.age", list.as_bytes());
        refused("b.age", list.as_bytes());
    }
    // What is signed is the same, so that is the very list.
    assert!(
        checked("a.age", &file, borrowed.as_bytes())
            .unwrap()
            .is_sound()
    );
    for length in 0..list.len() - 1 {
        refused("a.age", &list[..length]);
    }
    for at in (0..list.len()).step_by(3) {
        let mut changed = list.clone();
        changed[at] ^= 1;
        // The last line's end may be missing or another.
        if at < list.len() - 2 {
            refused("a.age", &changed);
        }
    }
    refused("a.age", b"");
    refused("a.age", &vec![b'x'; 10 * MIB]);
    refused(
        "a.age",
        "fleece signed pieces 1\n".repeat(100_000).as_bytes(),
    );
}

#[test]
fn names_and_keys_that_do_not_do_are_refused() {
    for name in ["", "a\nsize 0", "\u{7f}", &"a".repeat(256)] {
        let error = Signer::new(Vec::new(), name, &key()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Signature, "{name:?}");
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    fs::write(&path, KEY).unwrap();
    for (mode, fine) in [(0o644, false), (0o640, false), (0o600, true), (0o400, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let read = SigningKey::from_file(&path);
        assert_eq!(read.is_ok(), fine, "{mode:o}: {read:?}");
        assert!(fine || read.unwrap_err().to_string().contains("chmod 600"));
    }
    let said = SigningKey::from_text(
        "-----BEGIN RSA PRIVATE KEY-----\nAA==\n-----END RSA PRIVATE KEY-----",
    );
    assert!(said.unwrap_err().to_string().contains("old form"));
    let error = VerifyingKeys::new().add_file(&path).unwrap_err();
    assert!(error.to_string().contains("is a private key"), "{error}");
    assert!(VerifyingKeys::new().add("age1xyz").is_err());
}

#[test]
fn openssh_checks_the_signature_too() {
    let dir = TempDir::new().unwrap();
    let text = String::from_utf8(sign("a.age", &file(3 * MIB))).unwrap();
    let at = text.find("-----BEGIN").unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("list.sig"), &text[at..]).unwrap();
    fs::write(path("signers"), format!("host {}\n", key().to_public())).unwrap();
    for (list, fine) in [
        (text[..at].to_owned(), true),
        (text[..at].replace("a.age", "b.age"), false),
    ] {
        fs::write(path("list"), list).unwrap();
        let mut verify = Command::new("ssh-keygen");
        verify.args(["-Y", "verify", "-I", "host", "-n", "fleece-archive", "-f"]);
        verify.arg(path("signers")).arg("-s").arg(path("list.sig"));
        let verified = verify
            .stdin(fs::File::open(path("list")).unwrap())
            .stdout(Stdio::null());
        let Ok(status) = verified.status() else {
            eprintln!("SKIP: ssh-keygen is not installed");
            return;
        };
        assert_eq!(status.success(), fine);
    }
}

#[test]
fn seeds_and_findings_of_the_fuzzers_hold() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (target, run) in [
        (
            "signed_list",
            fleece_encryption::fuzzing::signed_list as fn(&[u8]),
        ),
        ("encrypted_file", fleece_encryption::fuzzing::file),
    ] {
        let seeds = fs::read_dir(corpus.join(target)).unwrap();
        let seeds: Vec<_> = seeds
            .map(|seed| fs::read(seed.unwrap().path()).unwrap())
            .collect();
        assert!(!seeds.is_empty());
        for seed in seeds {
            run(&seed);
        }
    }
}
