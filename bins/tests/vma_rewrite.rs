//! Archives beside archives: `vma diff`, `reframe`, `optimize` and `info`.

#[path = "support/vma.rs"]
mod support;

use serde_json::Value;
use support::{archive, disk, made, ok, path, run, sha256};
use tempfile::TempDir;

#[test]
fn diff_tells_which_clusters_differ() {
    let dir = TempDir::new().unwrap();
    let mut image = disk(1_000_000);
    let one = made(&dir, "one.vma", &image, "zstd");
    assert_eq!(ok(&["diff", &one, &one]), "a: 0 of 16 clusters differ\n");
    image[200_000] ^= 1;
    image[999_999] ^= 1;
    let two = made(&dir, "two.vma", &image, "zstd");
    let output = run(&["diff", "-v", &one, &two]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "a: 2 of 16 clusters differ\na: clusters 3 to 3\na: clusters 15 to 15\n";
    assert_eq!(text, expected);
}

#[test]
fn reframe_keeps_every_byte_and_optimize_every_disk() {
    let dir = TempDir::new().unwrap();
    let (zst, plain) = (path(&dir, "a.vma.zst"), path(&dir, "plain.vma"));
    let (one, two) = (path(&dir, "1.vma"), path(&dir, "2.vma"));
    let live = archive("live.vma");
    ok(&["reframe", &live, &zst]);
    ok(&["reframe", "--compress", "none", &zst, &plain]);
    assert_eq!(sha256(&plain), sha256(&live));
    ok(&["optimize", &zst, &one]);
    ok(&["optimize", &live, &two]);
    assert_eq!(
        sha256(&one),
        sha256(&two),
        "the same whatever the container"
    );
    assert!(
        ok(&["diff", &one, &live])
            .lines()
            .all(|line| line.contains(": 0 of"))
    );
    assert!(ok(&["info", &one]).contains("clusters in order: yes"));
    assert!(ok(&["info", &live]).contains("clusters in order: no"));
}

#[test]
fn info_tells_container_order_and_index() {
    let dir = TempDir::new().unwrap();
    let zst = path(&dir, "a.vma.zst");
    ok(&["reframe", &archive("multi.vma"), &zst]);
    let info =
        |path: &str| -> Value { serde_json::from_str(&ok(&["info", "--json", path])).unwrap() };
    let json = info(&zst);
    assert_eq!(json["container"], "zstd");
    assert_eq!(json["index"], "inside");
    assert_eq!(json["random_access"], true);
    assert_eq!(json["devices"].as_array().unwrap().len(), 5);
    let text = ok(&["info", &archive("zero.vma")]);
    assert!(
        text.contains("5.0 MiB (5242880 B), 0 B stored, 100% zero"),
        "{text}"
    );
    let json = info(&archive("single.vma.lzo"));
    assert_eq!(json["container"], "lzop");
    assert_eq!(json["random_access"], false);
    assert_eq!(json["devices"][0]["stored"], 598_016);
}
