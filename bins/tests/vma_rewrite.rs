//! Archives beside archives: `vma diff`, `reframe`, `optimize` and `info`.

#[path = "support/vma.rs"]
mod support;

use serde_json::Value;
use support::{archive, disk, drive, made, ok, path, run, sha256};
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
fn aligned_archives_are_made_of_images_and_of_archives_alike() {
    let dir = TempDir::new().unwrap();
    let image = disk(9_000_000);
    let (made, again) = (path(&dir, "made.vma"), path(&dir, "again.vma"));
    ok(&["create", "--align", &made, "-d", &drive(&dir, &image)]);
    let one = support::made(&dir, "one.vma", &image, "none");
    ok(&["reframe", "--align", "--compress", "none", &one, &again]);
    for aligned in [&made, &again] {
        assert!(ok(&["verify", "--deep", aligned]).is_empty());
        assert_eq!(
            ok(&["diff", aligned, &one]),
            "a: 0 of 138 clusters differ\n"
        );
    }
    // Nothing but uuid and time, and what is computed over them, distinguishes the two.
    let bytes = |path: &str| std::fs::read(path).unwrap();
    assert_eq!(bytes(&made).len(), bytes(&again).len());
    assert!(bytes(&one).len() < bytes(&made).len());
    assert_eq!(bytes(&one)[8..24], bytes(&again)[8..24], "the uuid is kept");
    let live = path(&dir, "live.vma");
    ok(&[
        "reframe",
        "--align",
        "--compress",
        "none",
        &archive("live.vma"),
        &live,
    ]);
    assert!(
        ok(&["diff", &live, &archive("live.vma")])
            .lines()
            .all(|line| line.contains(": 0 of"))
    );
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
