//! What is encrypted is read again, by both readers; what was done to it is found.

#![allow(
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::thread;

use fleece_encryption::{
    Decrypted, Decryptor, Encryptor, ErrorKind, Header, Identities, Recipients, is_encrypted,
};
use proptest::prelude::*;

const PUBLIC: &str = "age1ljcdyhumve349rx595da06rw0lg6psd09aq7z3cu95mz54lzxsrsf6rmrx";
const SECRET: &str = "AGE-SECRET-KEY-1WZNYFFY6UQ3SREZKGZ8N6ARPXCK0UUJM5RRA4KKK9J73UFR6DY9SMGEZZA";
const OTHER: &str = "AGE-SECRET-KEY-1PMN3RD3795RKDSXWPKZ4C59RRFEHAZEWJW2D0527HDT2J58Q8Y6SR3KD6M";

const CHUNK: usize = 64 << 10;
const SEALED: usize = CHUNK + 16;

fn recipients() -> Recipients {
    let mut recipients = Recipients::new();
    recipients.add(PUBLIC).unwrap();
    recipients
}

fn identities() -> Identities {
    let mut identities = Identities::new();
    identities.add(SECRET).unwrap();
    identities
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// Written in pieces of so many bytes.
fn encrypt(text: &[u8], piece: usize) -> Vec<u8> {
    let mut encryptor = Encryptor::new(Vec::new(), &recipients()).unwrap();
    for piece in text.chunks(piece) {
        encryptor.write_all(piece).unwrap();
    }
    encryptor.finish().unwrap()
}

fn in_order(file: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    Decryptor::new(file, &identities())?.read_to_end(&mut plain)?;
    Ok(plain)
}

fn anywhere(file: &[u8]) -> io::Result<Vec<u8>> {
    let decrypted = Decrypted::open(file.to_vec(), &identities())?;
    let mut plain = vec![0; usize::try_from(decrypted.size()).unwrap()];
    decrypted.read_exact_at(&mut plain, 0)?;
    Ok(plain)
}

/// Where the payload's chunks begin.
fn payload(file: &[u8]) -> usize {
    let end = file
        .windows(5)
        .position(|window| window == b"\n--- ")
        .unwrap()
        + 1;
    end + file[end..].iter().position(|byte| *byte == b'\n').unwrap() + 1 + 16
}

fn refused(file: &[u8], what: &str) {
    for (how, read) in [("in order", in_order(file)), ("anywhere", anywhere(file))] {
        let error = read.expect_err(&format!("{what}, {how}"));
        assert_eq!(
            error.kind(),
            io::ErrorKind::InvalidData,
            "{what}, {how}: {error}"
        );
    }
}

#[test]
fn lengths_around_chunks_and_batches_are_read_again_by_both() {
    for length in [
        0,
        1,
        CHUNK - 1,
        CHUNK,
        CHUNK + 1,
        16 * CHUNK,
        16 * CHUNK + 1,
        70 * CHUNK + 5,
    ] {
        let plain = text(length);
        let file = encrypt(&plain, 100_000);
        assert_eq!(
            file.len() - payload(&file),
            length + 16 * length.div_ceil(CHUNK).max(1)
        );
        assert!(in_order(&file).unwrap() == plain, "{length}");
        assert!(anywhere(&file).unwrap() == plain, "{length}");
    }
}

#[test]
fn many_threads_read_different_parts_at_once() {
    let plain = Arc::new(text(40 * CHUNK + 9));
    let decrypted = Decrypted::open(encrypt(&plain, 1 << 20), &identities()).unwrap();
    let decrypted = Arc::new(decrypted);
    let readers = (1..=4_usize).map(|seed| {
        let (decrypted, plain) = (Arc::clone(&decrypted), Arc::clone(&plain));
        thread::spawn(move || {
            for turn in 0..60 {
                let from = (turn * 104_729 * seed) % plain.len();
                let length = ((turn * 7919) % (5 * CHUNK)).min(plain.len() - from);
                let mut part = vec![0; length];
                decrypted.read_exact_at(&mut part, from as u64).unwrap();
                assert!(part == plain[from..from + length]);
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.join().unwrap();
    }
    let behind = decrypted.read_exact_at(&mut [0; 2], plain.len() as u64 - 1);
    assert_eq!(behind.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_file_cut_off_at_or_within_any_chunk_is_refused() {
    let file = encrypt(&text(3 * CHUNK + 100), 1 << 20);
    let start = payload(&file);
    for chunk in 0..=3 {
        for within in [0, 1, 15, 16, 17, 30_000, SEALED - 1] {
            let length = start + chunk * SEALED + within;
            if length < file.len() {
                refused(
                    &file[..length],
                    &format!("cut to chunk {chunk} and {within}"),
                );
            }
        }
    }
    for length in [0, 1, 21, 22, 40, start - 17, start - 16, start - 1] {
        refused(&file[..length], &format!("cut to {length}"));
    }
    let mut longer = file.clone();
    longer.push(0);
    refused(&longer, "one byte longer");
    longer.resize(file.len() + SEALED, 0);
    refused(&longer, "a chunk longer");
}

#[test]
fn chunks_swapped_doubled_left_out_or_of_another_file_are_refused() {
    let file = encrypt(&text(4 * CHUNK), 1 << 20);
    let other = encrypt(&text(4 * CHUNK), 1 << 20);
    let start = payload(&file);
    let chunk = |file: &[u8], number: usize| {
        file[start + number * SEALED..start + (number + 1) * SEALED].to_vec()
    };
    let made = |order: &[usize]| {
        let chunks = order.iter().flat_map(|number| chunk(&file, *number));
        [file[..start].to_vec(), chunks.collect()].concat()
    };
    assert!(made(&[0, 1, 2, 3]) == file);
    for order in [
        &[0, 2, 1, 3][..],
        &[3, 1, 2, 0],
        &[0, 1, 3],
        &[0, 0, 1, 2, 3],
        &[0, 1, 2, 3, 3],
        &[1, 2, 3],
    ] {
        refused(&made(order), &format!("{order:?}"));
    }
    let foreign = [
        &file[..start + SEALED],
        &chunk(&other, 1),
        &file[start + 2 * SEALED..],
    ]
    .concat();
    refused(&foreign, "a chunk of another file for the same key");
    let header = [&other[..start], &file[start..]].concat();
    refused(&header, "the header of another file for the same key");
    refused(&[&file[..], &other[..]].concat(), "two files in a row");
}

#[test]
fn damage_elsewhere_does_not_keep_a_part_from_being_read() {
    let plain = text(4 * CHUNK);
    let mut file = encrypt(&plain, 1 << 20);
    let start = payload(&file);
    file[start + SEALED + 5] ^= 1;
    let decrypted = Decrypted::open(file, &identities()).unwrap();
    let mut part = vec![0; 2 * CHUNK];
    decrypted
        .read_exact_at(&mut part, 2 * CHUNK as u64)
        .unwrap();
    assert!(part == plain[2 * CHUNK..]);
    for (from, length) in [(CHUNK, 1), (0, CHUNK + 1), (0, 4 * CHUNK)] {
        let mut part = vec![0; length];
        let error = decrypted.read_exact_at(&mut part, from as u64).unwrap_err();
        assert!(
            error.to_string().contains("chunk 1 is not authentic"),
            "{error}"
        );
    }
}

#[test]
fn an_encryptor_that_is_not_finished_leaves_what_is_refused() {
    for length in [0, 10, CHUNK, 40 * CHUNK] {
        let mut out = Vec::new();
        let mut encryptor = Encryptor::new(&mut out, &recipients()).unwrap();
        encryptor.write_all(&text(length)).unwrap();
        drop(encryptor);
        refused(&out, &format!("{length} bytes written"));
    }
}

/// Takes so many bytes.
struct Full(usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bytes.len() <= self.0 {
            true => self.0 -= bytes.len(),
            false => return Err(io::ErrorKind::StorageFull.into()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_target_that_is_full_ends_the_encryption_and_nothing_is_finished_after_it() {
    let mut encryptor = Encryptor::new(Full(5 << 20), &recipients()).unwrap();
    let plain = text(1 << 20);
    let error = (0..100)
        .find_map(|_| encryptor.write_all(&plain).err())
        .unwrap();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(encryptor.write_all(&plain).is_err());
    assert!(encryptor.finish().is_err());
}

#[test]
fn an_error_is_no_end() {
    let mut file = encrypt(&text(40 * CHUNK), 1 << 20);
    let start = payload(&file);
    file[start + 20 * SEALED] ^= 1;
    let mut decryptor = Decryptor::new(&file[..], &identities()).unwrap();
    let mut plain = Vec::new();
    assert!(decryptor.read_to_end(&mut plain).is_err());
    assert!(plain.len() <= 20 * CHUNK);
    // Whoever ignores it gets no more, and no end.
    assert!(decryptor.read(&mut [0; 10]).is_err());
}

#[test]
fn without_the_right_key_it_is_told_what_is_needed() {
    let file = encrypt(b"secret", 100);
    let kind = |identities: &Identities| Decrypted::open(file.clone(), identities).unwrap_err();
    let none = kind(&Identities::new());
    assert_eq!(none.kind(), ErrorKind::NoIdentity);
    assert!(none.to_string().contains("an X25519 key"), "{none}");
    let mut other = Identities::new();
    other.add(OTHER).unwrap();
    let wrong = kind(&other);
    assert_eq!(wrong.kind(), ErrorKind::WrongIdentity);
    assert!(
        wrong
            .to_string()
            .contains("none of the secret keys given (1)"),
        "{wrong}"
    );
    other.add(SECRET).unwrap();
    assert!(Decrypted::open(file.clone(), &other).is_ok());
    assert!(is_encrypted(&file) && !is_encrypted(b"VMA\0"));
    let foreign = Decrypted::open(b"VMA\0 and so on".to_vec(), &other).unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::Foreign);
}

#[test]
fn nobody_to_encrypt_for_is_an_error_before_anything_is_written() {
    let mut out = Vec::new();
    let error = Encryptor::new(&mut out, &Recipients::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Recipient);
    assert!(out.is_empty());
}

#[test]
fn what_is_no_public_key_is_said_and_secret_ones_are_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let add = |text: &str| Recipients::new().add(text).unwrap_err().to_string();
    assert!(add(SECRET).contains("a secret key") && !add(SECRET).contains("1WZN"));
    assert!(add("age1xyz").contains("not a whole age key"));
    assert!(add("ssh-dss AAAA").contains("no public key"));
    assert!(add("").contains("no public key"));
    let path = dir.path().join("keys");
    let file = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let mut recipients = Recipients::new();
        recipients.add_file(&path).map(|()| recipients.count())
    };
    assert_eq!(file(&format!("# us\n\n{PUBLIC}\n{PUBLIC}\n")).unwrap(), 2);
    assert!(
        file("# nobody\n")
            .unwrap_err()
            .to_string()
            .contains("no public key in")
    );
    assert!(
        file(&format!("{PUBLIC}\nme\n"))
            .unwrap_err()
            .to_string()
            .contains("line 2")
    );
    let missing = Recipients::new()
        .add_file(&dir.path().join("none"))
        .unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);
}

#[test]
fn what_is_no_secret_key_is_said_and_not_repeated() {
    let add = |text: &str| Identities::new().add(text).unwrap_err().to_string();
    assert!(add(PUBLIC).contains("line 1 is a public key"));
    assert!(add("# a comment\n").contains("no secret key"));
    let typo = SECRET.replace('Z', "Y");
    assert!(add(&typo).contains("line 1 is no secret key") && !add(&typo).contains("AGE-"));
    assert!(add("AGE-PLUGIN-YUBIKEY-1QQQ").contains("plugin"));
    assert!(add("-----BEGIN NOTHING-----\n").contains("no private key of SSH"));
}

#[test]
fn a_header_of_endless_keys_is_refused_without_reading_on() {
    let mut file = b"age-encryption.org/v1\n".to_vec();
    while file.len() < 10 << 20 {
        file.extend(b"-> X25519 AAAA\nAAAA\n");
    }
    let error = Decryptor::new(&file[..], &identities()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert_eq!(
        Decrypted::open(file, &identities()).unwrap_err().kind(),
        ErrorKind::Damaged
    );
    let error = Header::read(&mut io::repeat(b'a')).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Foreign);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_part_is_what_was_written(length in 0..5 * CHUNK, piece in 1..200_000_usize, at in 0..5 * CHUNK, part in 0..3 * CHUNK) {
        let plain = text(length);
        let file = encrypt(&plain, piece);
        prop_assert!(in_order(&file).unwrap() == plain);
        let from = at.min(length);
        let part = part.min(length - from);
        let mut read = vec![0; part];
        Decrypted::open(file, &identities()).unwrap().read_exact_at(&mut read, from as u64).unwrap();
        prop_assert!(read == plain[from..from + part]);
    }

    #[test]
    fn any_bit_that_is_flipped_is_found(length in 0..3 * CHUNK, at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut file = encrypt(&text(length), 1 << 20);
        let at = at.index(file.len());
        file[at] ^= 1_u8 << bit;
        prop_assert!(in_order(&file).is_err());
        prop_assert!(anywhere(&file).is_err());
    }

    #[test]
    fn any_cut_is_found(length in 0..3 * CHUNK, at in any::<prop::sample::Index>()) {
        let mut file = encrypt(&text(length), 1 << 20);
        file.truncate(at.index(file.len()));
        prop_assert!(in_order(&file).is_err());
        prop_assert!(anywhere(&file).is_err());
    }
}
