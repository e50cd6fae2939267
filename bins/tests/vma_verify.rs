//! `vma verify`, and `vma recover` of what it finds.

#[path = "support/vma.rs"]
mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{
    archive, closed, cut, disk, fails, full, golden, made, manifest, ok, path, run, vma,
};
use tempfile::TempDir;

#[test]
fn verify_prints_the_summary_of_the_reference() {
    for (name, golden) in manifest() {
        let text = ok(&["verify", "-v", &archive(&name)]);
        assert!(text.starts_with(golden["list"].as_str().unwrap()));
        let tail = golden["verify_verbose_tail"].as_array().unwrap();
        let tail: Vec<&str> = tail.iter().map(|line| line.as_str().unwrap()).collect();
        assert!(
            text.ends_with(&format!("{}\n", tail.join("\n"))),
            "{name}: {text}"
        );
    }
}

#[test]
fn deep_verify_finds_one_flipped_bit_of_payload_and_says_where() {
    let dir = TempDir::new().unwrap();
    let copy = path(&dir, "single.vma");
    let mut bytes = fs::read(golden("single.vma")).unwrap();
    fs::write(&copy, &bytes).unwrap();
    fails(&["verify", "--deep", &copy], 1, "vma index");
    ok(&["index", &copy]);
    ok(&["verify", "--deep", &copy]);
    bytes[100_000] ^= 1;
    fs::write(&copy, &bytes).unwrap();
    ok(&["verify", &copy]);
    fails(&["verify", "--deep", &copy], 4, "has wrong contents");
    let output = run(&["verify", "--deep", "--json", &copy]);
    assert_eq!(output.status.code(), Some(4));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["event"] != "status")
        .collect();
    assert_eq!(lines[0]["kind"], "payload");
    assert_eq!(lines[0]["device"], "drive-scsi0");
    assert_eq!(lines[0]["clusters"], 1);
    assert_eq!(lines[1]["sound"], false);
    assert_eq!(lines[1]["payload_checked"], true);
}

#[test]
fn recover_restores_what_is_intact_and_says_what_is_not() {
    let dir = TempDir::new().unwrap();
    let disk = disk(180 * 65536);
    let (to, out) = (made(&dir, "a.vma", &disk, "none"), path(&dir, "out"));
    let mut bytes = fs::read(&to).unwrap();
    let second = (13000..bytes.len())
        .find(|&at| bytes[at..].starts_with(b"VMAE"))
        .unwrap();
    bytes[second + 100] ^= 0xff;
    fs::write(&to, bytes).unwrap();
    fails(&["extract", &to, &path(&dir, "no")], 4, "checksum");
    fails(&["recover", &to, &out], 4, "damages found");
    let restored = fs::read(format!("{out}/disk-a.raw")).unwrap();
    assert_eq!(restored.len(), disk.len());
    let (from, end) = (58 * 65536, 116 * 65536);
    assert!(restored[..from] == disk[..from] && restored[end..] == disk[end..]);
    assert!(restored[from..end].iter().all(|&byte| byte == 0));
    let map = fs::read_to_string(format!("{out}/disk-a.map")).unwrap();
    assert!(
        map.contains(&format!("{from:#014x}  {:#014x}  -", end - from)),
        "{map}"
    );
}

#[test]
fn recover_believes_the_index_and_an_archive_without_damage_is_a_success() {
    let dir = TempDir::new().unwrap();
    let disk = disk(180 * 65536);
    for (n, compress) in ["none", "zstd"].iter().enumerate() {
        let to = made(&dir, &format!("{n}.vma"), &disk, compress);
        let out = path(&dir, &format!("out{n}"));
        ok(&["recover", &to, &out]);
        assert!(fs::read(format!("{out}/disk-a.raw")).unwrap() == disk);
        assert!(
            fs::read_to_string(format!("{out}/disk-a.map"))
                .unwrap()
                .ends_with("  +\n")
        );
    }
    let (to, out) = (path(&dir, "0.vma"), path(&dir, "bad"));
    let mut bytes = fs::read(&to).unwrap();
    let place = bytes.len() - 100;
    bytes[place] ^= 1;
    fs::write(&to, bytes).unwrap();
    fails(&["recover", &to, &out], 4, "has wrong contents");
    let map = fs::read_to_string(format!("{out}/disk-a.map")).unwrap();
    let lost: Vec<&str> = map.lines().filter(|line| line.ends_with("  -")).collect();
    assert_eq!(lost.len(), 1, "{map}");
    assert!(lost[0].contains(&format!("{:#014x}", 65536)), "{map}");
    // Nothing else tells.
    fs::remove_file(format!("{to}.idx")).unwrap();
    let output = run(&["recover", &to, &path(&dir, "unseen")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("there is no index"),
        "{said}"
    );
}

#[test]
fn what_stops_a_recovery_is_told_once() {
    let dir = TempDir::new().unwrap();
    let (raw, to) = (path(&dir, "a.raw"), path(&dir, "a.vma"));
    // A config that takes the name of the disk's file.
    let config = path(&dir, "tmp-disk-a.raw");
    fs::write(&raw, disk(65536)).unwrap();
    fs::write(&config, "").unwrap();
    ok(&[
        "create",
        &to,
        "-c",
        &config,
        "-d",
        &format!("format=raw:a={raw}"),
    ]);
    let output = run(&["recover", &to, &path(&dir, "out")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let cause = "/out/tmp-disk-a.raw: File exists (os error 17)\n";
    assert!(said.ends_with(cause), "{said}");
}

#[test]
fn damage_is_told_by_the_exit_code_wherever_the_output_goes() {
    let dir = TempDir::new().unwrap();
    let cut = cut(&dir, golden("single.vma"), 5000);
    let out = path(&dir, "out");
    for args in [
        &["verify", "-v", &cut][..],
        &["verify", "--json", &cut],
        &["recover", &cut, &out],
    ] {
        let mut vma = vma();
        let vma = vma.args(args).stdout(closed()).stderr(full());
        let status = vma.status();
        assert_eq!(status.unwrap().code(), Some(4), "{args:?}");
    }
    assert!(Path::new(&out).join("disk-drive-scsi0.map").exists());
}

#[test]
fn what_a_guest_has_written_is_not_taken_for_a_seek_table() {
    let dir = TempDir::new().unwrap();
    let copy = path(&dir, "a.vma");
    let mut bytes = fs::read(golden("single.vma")).unwrap();
    let end = bytes.len() - 9;
    bytes[end..].copy_from_slice(&[5, 0, 0, 0, 0, 0xb1, 0xea, 0x92, 0x8f]);
    fs::write(&copy, bytes).unwrap();
    ok(&["index", &copy]);
    ok(&["verify", "--deep", &copy]);
    assert!(ok(&["info", &copy]).contains("a.vma.idx"));
}
