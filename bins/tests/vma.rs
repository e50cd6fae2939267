//! The `vma` program against what Proxmox's own printed and wrote for the same archives.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../vma-format/tests/data")
        .join(name)
}

fn archive(name: &str) -> String {
    golden(name).into_os_string().into_string().unwrap()
}

fn manifest() -> Map<String, Value> {
    serde_json::from_slice(&fs::read(golden("manifest.json")).unwrap()).unwrap()
}

fn vma() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vma"));
    command.env("TZ", "UTC");
    command
}

fn run(args: &[&str]) -> Output {
    vma().args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs and expects success; gives standard output.
fn ok(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(args: &[&str], code: i32, reason: &str) {
    let output = run(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(said.contains(reason), "{args:?}: {said}");
}

fn path(dir: &TempDir, name: &str) -> String {
    dir.path()
        .join(name)
        .into_os_string()
        .into_string()
        .unwrap()
}

fn sha256(path: impl AsRef<Path>) -> String {
    Sha256::digest(fs::read(path).unwrap())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A disk with holes, zeroes and data.
fn disk(size: usize) -> Vec<u8> {
    let value = |i: usize| match i / 65536 % 3 {
        0 => 0,
        1 => (i * 31 % 251) as u8,
        _ => u8::from((i / 4096).is_multiple_of(2)) * 9,
    };
    (0..size).map(value).collect()
}

#[test]
fn list_prints_what_the_reference_prints() {
    for (name, golden) in manifest() {
        assert_eq!(
            ok(&["list", &archive(&name)]),
            golden["list"].as_str().unwrap(),
            "{name}"
        );
    }
}

#[test]
fn list_reads_every_container_from_a_file_and_from_standard_input() {
    let expected = ok(&["list", &archive("single.vma")]);
    for name in [
        "single.vma",
        "single.vma.zst",
        "single.vma.gz",
        "single.vma.lzo",
    ] {
        assert_eq!(ok(&["list", &archive(name)]), expected);
        let file = fs::File::open(golden(name)).unwrap();
        let output = vma().args(["list", "-"]).stdin(file).output().unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            expected,
            "{name}"
        );
    }
}

#[test]
fn config_prints_the_bytes_of_a_config() {
    let multi = archive("multi.vma");
    assert!(ok(&["config", &multi]).starts_with("boot: order=scsi0\n"));
    assert_eq!(
        ok(&["config", &multi, "-c", "qemu-server.fw"]),
        "[OPTIONS]\nenable: 1\n"
    );
    fails(
        &["config", &multi, "-c", "x"],
        1,
        "unable to find configuration data 'x'",
    );
}

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
fn extract_writes_the_files_that_the_reference_writes() {
    for (name, golden) in manifest() {
        let dir = TempDir::new().unwrap();
        let target = path(&dir, "out");
        let text = ok(&["extract", "-v", &archive(&name), &target]);
        for line in golden["list"]
            .as_str()
            .unwrap()
            .lines()
            .filter(|l| l.starts_with("DEV:"))
        {
            let device = line.rsplit(' ').next().unwrap();
            let told = format!("DEVINFO {target}/tmp-disk-{device}.raw ");
            assert!(text.contains(&told), "{text}");
        }
        let files = golden["files"].as_object().unwrap();
        assert_eq!(
            fs::read_dir(&target).unwrap().count(),
            files.len(),
            "{name}"
        );
        // The reference squeezes zero blocks out of a RAM state.
        for (file, expected) in files.iter().filter(|(file, _)| *file != "vmstate.bin") {
            let there = Path::new(&target).join(file);
            assert_eq!(
                fs::metadata(&there).unwrap().len(),
                expected["size"].as_u64().unwrap()
            );
            assert_eq!(
                sha256(there),
                expected["sha256"].as_str().unwrap(),
                "{name} {file}"
            );
        }
    }
}

#[test]
fn extract_of_one_disk_reads_any_container() {
    let expected = &manifest()["multi.vma"]["files"]["disk-drive-sata2.raw"]["sha256"];
    let dir = TempDir::new().unwrap();
    let multi = archive("multi.vma");
    let (zst, gz) = (path(&dir, "a.zst"), path(&dir, "a.gz"));
    ok(&["reframe", &multi, &zst]);
    ok(&["reframe", "--compress", "gzip=1", &multi, &gz]);
    for (number, source) in [&multi, &zst, &gz].into_iter().enumerate() {
        let target = path(&dir, &number.to_string());
        ok(&["extract", source, &target, "-d", "drive-sata2"]);
        let disk = Path::new(&target).join("disk-drive-sata2.raw");
        assert_eq!(sha256(disk), expected.as_str().unwrap());
        assert_eq!(
            fs::read_dir(&target).unwrap().count(),
            3,
            "two configs and one disk"
        );
    }
    fails(
        &["extract", &multi, &path(&dir, "x"), "-d", "sata2"],
        1,
        "drive-sata2",
    );
}

#[test]
fn a_map_says_where_disks_go() {
    let dir = TempDir::new().unwrap();
    let fifo = path(&dir, "map.fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let (one, two) = (path(&dir, "one.raw"), path(&dir, "two.raw"));
    // Targets hold rubbish, and one is larger than its device by less than 4 MiB.
    fs::write(&one, vec![0xff; 2_097_152 + 4096]).unwrap();
    fs::write(&two, vec![0xff; 1_049_088]).unwrap();
    let target = path(&dir, "out");
    let child = vma()
        .args(["extract", "-v", "-r", &fifo, "-", &target])
        .stdin(fs::File::open(golden("multi.vma")).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Opening waits until the other side has got so far.
    let mut map = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    let text = format!(
        "format=raw:1:drive-scsi0={one}\n\
         throttling.bps=1000000000:throttling.group=a:1:drive-virtio1={two}\n\
         skip=drive-sata2\nskip=drive-efidisk0\nskip=drive-tpmstate0-backup\ndone\n"
    );
    map.write_all(text.as_bytes()).unwrap();
    drop(map);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.starts_with(manifest()["multi.vma"]["list"].as_str().unwrap()),
        "{said}"
    );
    let files = &manifest()["multi.vma"]["files"];
    let mut written = fs::read(&one).unwrap();
    assert_eq!(
        written.split_off(2_097_152),
        vec![0xff; 4096],
        "what is behind the device stays"
    );
    fs::write(&one, written).unwrap();
    assert_eq!(
        sha256(&one),
        files["disk-drive-scsi0.raw"]["sha256"].as_str().unwrap()
    );
    assert_eq!(
        sha256(&two),
        files["disk-drive-virtio1.raw"]["sha256"].as_str().unwrap()
    );
    assert!(Path::new(&target).join("qemu-server.conf").exists());
}

#[test]
fn a_map_that_does_not_fit_is_refused() {
    let dir = TempDir::new().unwrap();
    let (disk, file) = (path(&dir, "disk.raw"), path(&dir, "map"));
    fs::write(&disk, vec![0; 1000]).unwrap();
    let maps = [
        (
            "done\n".to_owned(),
            "no device name mapping for drive-scsi0",
        ),
        ("rubbish\n".to_owned(), "parse error"),
        (format!("0:drive-scsi0={disk}\n"), "unexpected size 1000"),
        (format!("format=vmdk:0:drive-scsi0={disk}\n"), "vmdk"),
    ];
    for (number, (map, reason)) in maps.into_iter().enumerate() {
        fs::write(&file, map).unwrap();
        let target = path(&dir, &number.to_string());
        fails(
            &["extract", "-r", &file, &archive("single.vma"), &target],
            1,
            reason,
        );
    }
}

#[test]
fn create_and_extract_give_the_same_disks_in_every_container() {
    let dir = TempDir::new().unwrap();
    let conf = path(&dir, "qemu-server.conf");
    let (a, b) = (path(&dir, "a.raw"), path(&dir, "b.raw"));
    fs::write(&a, disk(1_000_000)).unwrap();
    fs::write(&b, disk(3_333_512)).unwrap();
    fs::write(&conf, "memory: 512\n").unwrap();
    let (a, b) = (
        format!("format=raw:drive-scsi0={a}"),
        format!("format=raw:{b}"),
    );
    for method in ["none", "zstd", "zstd=1", "gzip=1"] {
        let (to, out) = (path(&dir, &format!("{method}.vma")), path(&dir, method));
        let args = [
            "create",
            "-v",
            &to,
            "-c",
            &conf,
            "-d",
            &a,
            "-d",
            &b,
            "--compress",
            method,
        ];
        let output = run(&args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("progress 100% 4333512/4333512 "), "{said}");
        assert!(
            said.contains("image drive-scsi0: size=1000000 zeros="),
            "{said}"
        );
        assert!(ok(&["verify", "--deep", &to]).is_empty());
        ok(&["extract", &to, &out]);
        let file = |name: &str| fs::read(Path::new(&out).join(name)).unwrap();
        assert!(file("disk-drive-scsi0.raw") == disk(1_000_000));
        assert!(file("disk-disk1.raw") == disk(3_333_512));
        assert_eq!(file("qemu-server.conf"), b"memory: 512\n");
    }
}

#[test]
fn create_writes_to_commands_pipes_and_standard_output() {
    let dir = TempDir::new().unwrap();
    let a = path(&dir, "a.raw");
    fs::write(&a, disk(500_000)).unwrap();
    let drive = format!("format=raw:a={a}");
    let piped = path(&dir, "piped.vma");
    ok(&["create", &format!("exec:cat > {piped}"), "-d", &drive]);
    ok(&["verify", &piped]);
    fails(
        &["create", "exec:cat > /dev/null; exit 7", "-d", &drive],
        1,
        "exit status: 7",
    );
    let output = vma().args(["create", "-", "-d", &drive]).output().unwrap();
    let mut child = vma()
        .args(["verify", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&output.stdout)
        .unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    let (a, to) = (path(&dir, "a.raw"), path(&dir, "a.vma"));
    let (good, none) = (
        format!("format=raw:a={a}"),
        format!("format=raw:a={a}-none"),
    );
    fs::write(&a, disk(500_000)).unwrap();
    fails(&["create", &to, "-d", &none], 1, "a.raw-none");
    fails(
        &["create", &to, "-d", &format!("a={a}")],
        2,
        "No format specified",
    );
    fails(
        &["create", &to, "-d", &format!("format=qcow2:a={a}")],
        1,
        "qcow2",
    );
    fails(
        &["create", &to, "-d", &format!("format=raw:../a={a}")],
        1,
        "unsafe name",
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    ok(&["create", &to, "-d", &good]);
    fails(&["create", &to, "-d", &good], 1, "exists");
    // A damaged archive leaves the configs, but no disk under any name.
    let mut bytes = fs::read(&to).unwrap();
    bytes.truncate(bytes.len() - 4096);
    let (cut, out) = (path(&dir, "cut.vma"), path(&dir, "out"));
    fs::write(&cut, bytes).unwrap();
    fails(&["extract", &cut, &out], 4, "the archive is cut");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    fails(
        &["extract", &to, &out],
        1,
        "unable to create target directory",
    );
}

#[test]
fn qcow2_goes_in_and_comes_out() {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        eprintln!("SKIP: qemu-img is not installed");
        return;
    }
    let qemu_img = |args: &[&str]| {
        Command::new("qemu-img")
            .args(args)
            .status()
            .unwrap()
            .success()
    };
    let dir = TempDir::new().unwrap();
    let (raw, qcow2) = (path(&dir, "a.raw"), path(&dir, "a.qcow2"));
    let (to, out) = (path(&dir, "a.vma"), path(&dir, "out"));
    fs::write(&raw, disk(5 << 20)).unwrap();
    assert!(qemu_img(&[
        "convert", "-f", "raw", "-O", "qcow2", &raw, &qcow2
    ]));
    ok(&["create", &to, "-d", &format!("format=qcow2:a={qcow2}")]);
    ok(&["extract", "--format", "qcow2", &to, &out]);
    let result = format!("{out}/disk-a.qcow2");
    assert!(qemu_img(&[
        "compare", "-f", "raw", "-F", "qcow2", &raw, &result
    ]));
    assert!(qemu_img(&["check", &result]));
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
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["kind"], "Payload");
    assert_eq!(lines[0]["device"], "drive-scsi0");
    assert_eq!(lines[0]["clusters"], 1);
    assert_eq!(lines[1]["sound"], false);
    assert_eq!(lines[1]["payload_checked"], true);
}

#[test]
fn recover_restores_what_is_intact_and_never_claims_success() {
    let dir = TempDir::new().unwrap();
    let (raw, to, out) = (path(&dir, "a.raw"), path(&dir, "a.vma"), path(&dir, "out"));
    let disk = disk(180 * 65536);
    fs::write(&raw, &disk).unwrap();
    ok(&["create", &to, "-d", &format!("format=raw:a={raw}")]);
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
fn diff_tells_which_clusters_differ() {
    let dir = TempDir::new().unwrap();
    let mut image = disk(1_000_000);
    let make = |name: &str, image: &[u8]| {
        let raw = path(&dir, &format!("{name}.raw"));
        fs::write(&raw, image).unwrap();
        let to = path(&dir, &format!("{name}.vma"));
        ok(&[
            "create",
            &to,
            "-d",
            &format!("format=raw:a={raw}"),
            "--compress",
            "zstd",
        ]);
        to
    };
    let one = make("one", &image);
    assert_eq!(ok(&["diff", &one, &one]), "a: 0 of 16 clusters differ\n");
    image[200_000] ^= 1;
    image[999_999] ^= 1;
    let two = make("two", &image);
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
    let json = info(&archive("single.vma.lzo"));
    assert_eq!(json["container"], "lzop");
    assert_eq!(json["random_access"], false);
    assert_eq!(json["devices"][0]["stored"], 598_016);
}

#[test]
fn what_is_no_archive_is_called_so() {
    let dir = TempDir::new().unwrap();
    let file = path(&dir, "x");
    for (contents, reason) in [
        (&b""[..], "not a vma file"),
        (b"hello world", "not a vma file"),
        (b"VMA\0", "not a vma file"),
        (b"\x28\xb5\x2f\xfd", "damaged"),
    ] {
        fs::write(&file, contents).unwrap();
        for command in ["list", "config", "verify", "info"] {
            fails(&[command, &file], 4, reason);
        }
    }
    fails(&["list", &path(&dir, "none")], 1, "can't open file");
    fails(&["list", dir.path().to_str().unwrap()], 1, "is a directory");
    fails(&["list"], 2, "Usage");
    fails(&["nonsense"], 2, "Usage");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let script = format!(
        "({} list {}; echo $? >&2) | true",
        env!("CARGO_BIN_EXE_vma"),
        archive("multi.vma")
    );
    let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "0\n");
}
