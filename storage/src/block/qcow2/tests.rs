//! qcow2 against QEMU's own tool.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::block::is_zero;
use crate::block::tests::check_status;

/// Runs `qemu-img`; false, with a message that the test run counts, where there is none.
fn qemu_img(dir: &Path, args: &[&str]) -> bool {
    match Command::new("qemu-img")
        .args(args)
        .current_dir(dir)
        .output()
    {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            true
        }
        Err(error) => {
            eprintln!("SKIP: qemu-img: {error}");
            false
        }
    }
}

#[test]
fn an_image_of_qemu_is_read_as_qemu_reads_it() {
    let dir = TempDir::new().unwrap();
    let content: Vec<u8> = (0..1_000_000_u32)
        .flat_map(|n| (n / 77_777).to_le_bytes())
        .collect();
    let content = &content[..content.len() / 512 * 512];
    fs::write(dir.path().join("raw"), content).unwrap();
    for options in [
        &["-c"][..],
        &["-o", "compat=0.10"],
        &["-o", "cluster_size=512"],
    ] {
        let args = [&["convert", "-O", "qcow2"], options, &["raw", "image"]].concat();
        if !qemu_img(dir.path(), &args) {
            return;
        }
        let image = Qcow2::open(&dir.path().join("image"), Backing::Deny).unwrap();
        let mut read = vec![0; content.len()];
        image.read_at(&mut read, 0).unwrap();
        assert!(read == content, "{options:?}");
        check_status(&image, content);
    }
}

#[test]
fn an_image_of_ours_is_read_by_qemu() {
    let dir = TempDir::new().unwrap();
    let image = Qcow2::create(&dir.path().join("image"), 1 << 20).unwrap();
    image.write_at(&[5; 100_000], 300_001).unwrap();
    image.flush().unwrap();
    drop(image);
    if qemu_img(dir.path(), &["check", "-f", "qcow2", "image"]) {
        qemu_img(dir.path(), &["convert", "-O", "raw", "image", "raw"]);
        let raw = fs::read(dir.path().join("raw")).unwrap();
        assert!(is_zero(&raw[..300_001]) && is_zero(&raw[400_001..]));
        assert!(raw[300_001..400_001].iter().all(|byte| *byte == 5));
    }
}

#[test]
fn an_encrypted_image_is_refused_instead_of_read_as_noise() {
    let dir = TempDir::new().unwrap();
    let secret = "secret,id=s,data=abc";
    let options = "encrypt.format=aes,encrypt.key-secret=s";
    let create = [
        "create", "--object", secret, "-f", "qcow2", "-o", options, "image", "1M",
    ];
    if qemu_img(dir.path(), &create) {
        let error = Qcow2::open(&dir.path().join("image"), Backing::Deny).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("encrypted with AES"), "{error}");
    }
}

#[test]
fn a_backing_chain_is_followed_only_when_asked_for() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("base"), vec![3; 65536]).unwrap();
    let create = ["create", "-f", "qcow2", "-b", "base", "-F", "raw", "image"];
    if qemu_img(dir.path(), &create) {
        let path = dir.path().join("image");
        let error = Qcow2::open(&path, Backing::Deny).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        let mut read = vec![0; 65536];
        Qcow2::open(&path, Backing::Follow)
            .unwrap()
            .read_at(&mut read, 0)
            .unwrap();
        assert!(read.iter().all(|byte| *byte == 3));
    }
}

#[test]
fn what_lies_below_must_be_a_file_and_its_name_may_have_a_colon() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a:b"), vec![3; 65536]).unwrap();
    let json = "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"a:b\"}}";
    for (base, is_file) in [(json, false), ("nbd:localhost:1", false), ("./a:b", true)] {
        let above = [
            "create", "-u", "-f", "qcow2", "-b", base, "-F", "raw", "image", "64K",
        ];
        if qemu_img(dir.path(), &above) {
            let opened = Qcow2::open(&dir.path().join("image"), Backing::Follow);
            assert_eq!(opened.is_ok(), is_file, "{base}");
            if let Err(error) = opened {
                let text = format!("{error:?}");
                assert!(text.contains("qemu-img convert"), "{base}: {text}");
            }
        }
    }
}

#[test]
fn an_encrypted_image_below_another_is_refused() {
    let dir = TempDir::new().unwrap();
    let secret = "secret,id=s,data=abc";
    let options = "encrypt.format=aes,encrypt.key-secret=s";
    let create = [
        "create", "--object", secret, "-f", "qcow2", "-o", options, "base", "1M",
    ];
    if qemu_img(dir.path(), &create) {
        let above = [
            "create", "-u", "-f", "qcow2", "-b", "base", "-F", "qcow2", "image", "1M",
        ];
        qemu_img(dir.path(), &above);
        Qcow2::open(&dir.path().join("image"), Backing::Follow).expect_err("the base is encrypted");
    }
}

#[test]
fn a_chain_that_bites_its_tail_ends_with_an_error() {
    let dir = TempDir::new().unwrap();
    let create = [
        "create", "-u", "-f", "qcow2", "-b", "loop", "-F", "qcow2", "image", "1M",
    ];
    if qemu_img(dir.path(), &create) {
        fs::copy(dir.path().join("image"), dir.path().join("loop")).unwrap();
        let error = Qcow2::open(&dir.path().join("image"), Backing::Follow).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFormat);
    }
}

#[test]
fn reading_an_image_leaves_its_persistent_bitmaps_alone() {
    let dir = TempDir::new().unwrap();
    if !qemu_img(dir.path(), &["create", "-f", "qcow2", "image", "1M"]) {
        return;
    }
    qemu_img(dir.path(), &["bitmap", "--add", "image", "dirty"]);
    let path = dir.path().join("image");
    let before = fs::read(&path).unwrap();
    let image = Qcow2::open(&path, Backing::Deny).unwrap();
    image.read_at(&mut [0; 4096], 0).unwrap();
    drop(image);
    assert!(
        fs::read(&path).unwrap() == before,
        "not a byte of a source changes"
    );

    let error = Qcow2::open_writable(&path).expect_err("its bitmaps would be lost");
    assert_eq!(error.kind(), ErrorKind::Denied);
}
