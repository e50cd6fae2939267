//! `vma extract` against what Proxmox's own wrote for the same archives.

#[path = "support/vma.rs"]
mod support;

use std::fs;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use support::{
    archive, closed, count, cut, disk, expected, fails, fifo, golden, manifest, ok, path, run,
    sha256, signal, vma,
};
use tempfile::TempDir;

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
        assert_eq!(count(&target), files.len(), "{name}");
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
    let expected = expected("multi.vma", "disk-drive-sata2.raw");
    let dir = TempDir::new().unwrap();
    let multi = archive("multi.vma");
    let (zst, gz) = (path(&dir, "a.zst"), path(&dir, "a.gz"));
    ok(&["reframe", &multi, &zst]);
    ok(&["reframe", "--compress", "gzip=1", &multi, &gz]);
    for (number, source) in [&multi, &zst, &gz].into_iter().enumerate() {
        let target = path(&dir, &number.to_string());
        ok(&["extract", source, &target, "-d", "drive-sata2"]);
        let disk = Path::new(&target).join("disk-drive-sata2.raw");
        assert_eq!(sha256(disk), expected);
        assert_eq!(count(&target), 3, "two configs and one disk");
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
    let fifo = fifo(&dir);
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
    let mut written = fs::read(&one).unwrap();
    assert_eq!(
        written.split_off(2_097_152),
        vec![0xff; 4096],
        "what is behind the device stays"
    );
    fs::write(&one, written).unwrap();
    for (disk, name) in [(one, "scsi0"), (two, "virtio1")] {
        let file = format!("disk-drive-{name}.raw");
        assert_eq!(sha256(disk), expected("multi.vma", &file), "{name}");
    }
    assert!(Path::new(&target).join("qemu-server.conf").exists());
}

#[test]
fn of_disks_that_are_there_only_what_differs_is_written() {
    let dir = TempDir::new().unwrap();
    let (disk, map) = (path(&dir, "disk.raw"), path(&dir, "map"));
    let skipped = ["virtio1", "sata2", "efidisk0", "tpmstate0-backup"];
    let skipped: String = skipped.map(|name| format!("skip=drive-{name}\n")).concat();
    fs::write(&map, format!("0:drive-scsi0={disk}\n{skipped}")).unwrap();
    fs::write(&disk, vec![0xff; 2_097_152]).unwrap();
    let mut number = 0;
    let mut extract = || {
        number += 1;
        let target = path(&dir, &number.to_string());
        let archive = archive("multi.vma");
        let output = run(&["extract", "--in-place", "-r", &map, &archive, &target]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(sha256(&disk), expected("multi.vma", "disk-drive-scsi0.raw"));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = extract();
    assert!(said.contains("wrote 2.00 MiB of 2.00 MiB"), "{said}");
    let said = extract();
    assert!(said.contains("wrote 0 B of 2.00 MiB"), "{said}");
    let mut bytes = fs::read(&disk).unwrap();
    bytes[1_000_000] ^= 1;
    fs::write(&disk, bytes).unwrap();
    let said = extract();
    assert!(said.contains("wrote 4.00 KiB of 2.00 MiB"), "{said}");
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
fn the_percentage_counts_what_is_extracted() {
    let dir = TempDir::new().unwrap();
    let zst = path(&dir, "a.zst");
    ok(&["reframe", &archive("multi.vma"), &zst]);
    for (number, source) in [archive("multi.vma"), zst].iter().enumerate() {
        let target = path(&dir, &number.to_string());
        let said = ok(&["extract", "-v", source, &target, "-d", "drive-sata2"]);
        assert!(said.contains("progress 100% (read 262144 bytes"), "{said}");
    }
}

#[test]
fn a_closed_standard_output_is_no_success() {
    let dir = TempDir::new().unwrap();
    let target = path(&dir, "out");
    let mut extract = vma();
    extract.args(["extract", &archive("single.vma"), &target]);
    assert_eq!(extract.stdout(closed()).status().unwrap().code(), Some(1));
    assert!(!Path::new(&target).exists(), "nothing is left");
}

#[test]
fn half_a_ram_state_has_no_final_name() {
    let dir = TempDir::new().unwrap();
    let cut = cut(&dir, archive("vmstate.vma"), 4096);
    let target = path(&dir, "out");
    fails(&["extract", &cut, &target], 4, "the archive is cut");
    assert!(!Path::new(&target).exists(), "nothing is left");
}

#[test]
fn an_index_of_another_archive_is_not_used() {
    let dir = TempDir::new().unwrap();
    let (zst, target) = (path(&dir, "a.zst"), path(&dir, "out"));
    ok(&["reframe", "--no-index", &archive("multi.vma"), &zst]);
    ok(&[
        "index",
        "-o",
        &path(&dir, "a.zst.idx"),
        &archive("single.vma"),
    ]);
    let output = run(&["extract", &zst, &target, "-d", "drive-sata2"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("belongs to another archive"), "{said}");
    let disk = format!("{target}/disk-drive-sata2.raw");
    assert_eq!(sha256(disk), expected("multi.vma", "disk-drive-sata2.raw"));
}

#[test]
fn a_signal_ends_the_wait_for_a_map() {
    let dir = TempDir::new().unwrap();
    let fifo = fifo(&dir);
    let (archive, target) = (archive("single.vma"), path(&dir, "out"));
    let mut extract = vma();
    extract.args(["extract", "-r", &fifo, &archive, &target]);
    let mut child = extract.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("CTIME: ")));
    signal(child.id(), "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn one_disk_goes_to_a_pipe_in_its_own_order() {
    let dir = TempDir::new().unwrap();
    let (a, b) = (path(&dir, "a.raw"), path(&dir, "b.raw"));
    fs::write(&a, disk(1_000_448)).unwrap();
    fs::write(&b, disk(3_333_632)).unwrap();
    let drives = [format!("format=raw:a={a}"), format!("format=raw:b={b}")];
    for method in ["none", "zstd"] {
        let to = path(&dir, &format!("{method}.vma"));
        ok(&[
            "create",
            &to,
            "--compress",
            method,
            "-d",
            &drives[0],
            "-d",
            &drives[1],
        ]);
        let output = run(&["extract", &to, "-", "-d", "b"]);
        assert!(output.status.success());
        assert!(output.stdout == disk(3_333_632), "{method}");
        fails(&["extract", &to, "-"], 2, "choose it with -d");
        fails(
            &["extract", &to, "-", "-d", "b", "--format", "qcow2"],
            2,
            "raw disk",
        );
    }
    let gzip = path(&dir, "gzip.vma");
    ok(&["create", &gzip, "--compress", "gzip", "-d", &drives[0]]);
    fails(&["extract", &gzip, "-", "-d", "a"], 1, "vma reframe");
    assert!(!Path::new("-").exists());
}

#[test]
fn nothing_stays_of_an_extraction_that_finds_no_room() {
    let dir = TempDir::new().unwrap();
    let made = support::made(&dir, "full.vma", &disk(8 << 20), "none");
    let small = path(&dir, "small");
    fs::create_dir(&small).unwrap();
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=2m", "fleece", &small]);
    assert!(mount.status().unwrap().success());
    let target = format!("{small}/out");
    let cases: [&[&str]; 4] = [
        &["extract", &made, &target],
        &["extract", "--format", "qcow2", &made, &target],
        &["extract", "-d", "a", &made, &target],
        &["extract", "-d", "a", "--format", "qcow2", &made, &target],
    ];
    let ended: Vec<_> = cases
        .iter()
        .map(|case| {
            let output = run(case);
            let left = fs::read_dir(&small).unwrap().count();
            (case, output, left)
        })
        .collect();
    let mut umount = std::process::Command::new("umount");
    assert!(umount.args(["-l", &small]).status().unwrap().success());
    for (case, output, left) in ended {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{case:?}: {said}");
        assert!(said.contains("No space left"), "{case:?}: {said}");
        assert_eq!(left, 0, "{case:?}: {said}");
    }
}
