//! `vma create`, and what becomes of an archive that cannot be made.

#[path = "support/vma.rs"]
mod support;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use support::fuse::Fuse;
use support::{archive, count, cut, disk, drive, fails, fifo, full, ok, path, run, vma};
use tempfile::TempDir;

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
        assert!(said.contains("progress 100% 4334080/4334080 "), "{said}");
        assert!(
            said.contains("image drive-scsi0: size=1000448 zeros="),
            "{said}"
        );
        assert!(ok(&["verify", "--deep", &to]).is_empty());
        ok(&["extract", &to, &out]);
        let file = |name: &str| fs::read(Path::new(&out).join(name)).unwrap();
        // Whole sectors, as QEMU has it: the reference would leave the rest of one out.
        let sectors = |size: usize, whole: usize| {
            let mut sectors = disk(size);
            sectors.resize(whole, 0);
            sectors
        };
        assert!(file("disk-drive-scsi0.raw") == sectors(1_000_000, 1_000_448));
        assert!(file("disk-disk1.raw") == sectors(3_333_512, 3_333_632));
        assert_eq!(file("qemu-server.conf"), b"memory: 512\n");
    }
}

#[test]
fn create_writes_to_commands_pipes_and_standard_output() {
    let dir = TempDir::new().unwrap();
    let drive = drive(&dir, &disk(500_000));
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
    let good = drive(&dir, &disk(500_000));
    for (drive, code, reason) in [
        (format!("format=raw:a={a}-none"), 1, "a.raw-none"),
        (format!("a={a}"), 2, "No format specified"),
        (format!("format=qcow2:a={a}"), 1, "qcow2"),
        (format!("format=raw:../a={a}"), 1, "unsafe name"),
    ] {
        fails(&["create", &to, "-d", &drive], code, reason);
    }
    assert_eq!(count(&dir), 1);
    ok(&["create", &to, "-d", &good]);
    fails(&["create", &to, "-d", &good], 1, "exists");
    // Nor does a damaged archive leave anything of what it was extracted to.
    let (cut, out) = (cut(&dir, &to, 4096), path(&dir, "out"));
    fails(&["extract", &cut, &out], 4, "the archive is cut");
    assert!(!Path::new(&out).exists());
    fs::create_dir(&out).unwrap();
    let reason = "unable to create target directory";
    fails(&["extract", &to, &out], 1, reason);
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
fn a_command_that_ends_early_is_blamed_and_not_its_pipe() {
    let dir = TempDir::new().unwrap();
    let drive = drive(&dir, &[7; 4 << 20]);
    fails(&["create", "exec:exit 7", "-d", &drive], 1, "exit 7 failed");
    let single = archive("single.vma");
    let reframe = ["reframe", "--compress", "none", &single, "exec:exit 7"];
    fails(&reframe, 1, "exit 7 failed");
}

#[test]
fn a_name_that_is_taken_is_refused_before_the_work() {
    let dir = TempDir::new().unwrap();
    let (to, drive) = (path(&dir, "a.vma"), drive(&dir, &[7; 512]));
    std::os::unix::fs::symlink("nowhere", &to).unwrap();
    fails(
        &["create", &to, "-d", &drive],
        1,
        "a.vma: it exists already",
    );
    fs::remove_file(&to).unwrap();
    fs::write(path(&dir, "a.vma.idx"), "").unwrap();
    fails(
        &["create", &to, "-d", &drive],
        1,
        "a.vma.idx: it exists already",
    );
    ok(&["create", "--no-index", &to, "-d", &drive]);
    assert_eq!(count(&dir), 3);
}

#[test]
fn a_standard_error_that_is_full_stops_nothing() {
    let dir = TempDir::new().unwrap();
    let (to, drive) = (path(&dir, "a.vma"), drive(&dir, &disk(500_000)));
    let mut create = vma();
    create.args(["create", "-v", &to, "-d", &drive]);
    assert!(create.stderr(full()).status().unwrap().success());
    ok(&["verify", "--deep", &to]);
}

#[test]
fn nobody_waits_for_the_other_end_of_a_disk() {
    let dir = TempDir::new().unwrap();
    let (fifo, to) = (fifo(&dir), path(&dir, "a.vma"));
    for disk in [&fifo, "/dev/null"] {
        let drive = format!("format=raw:a={disk}");
        fails(&["create", &to, "-d", &drive], 1, "neither a regular file");
    }
}

#[test]
fn a_file_system_that_cannot_rename_without_replacing_is_fine() {
    let dir = TempDir::new().unwrap();
    let drive = drive(&dir, &disk(500_000));
    let place = dir.path().join("mounted");
    fs::create_dir(&place).unwrap();
    let Some(mounted) = Fuse::mount(place.clone(), &[]) else {
        return;
    };
    let to = place.join("a.vma").into_os_string().into_string().unwrap();
    ok(&["create", &to, "-d", &drive]);
    ok(&["verify", "--deep", &to]);
    fails(&["create", &to, "-d", &drive], 1, "exists already");
    drop(mounted);
}

/// Nothing is probed to choose a format, but what nobody has called raw is not archived as raw if it is another's.
#[test]
fn an_image_of_another_format_is_not_taken_for_a_raw_one() {
    let dir = TempDir::new().unwrap();
    let raw = path(&dir, "a.raw");
    fs::write(&raw, disk(1 << 20)).unwrap();
    let image_of = |format: &str| path(&dir, &format!("{format}.img"));
    let convert = |format: &str, name: &str, options: &[&str]| {
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", format]);
        convert.args(options).args([&raw, &image_of(name)]);
        assert!(convert.status().unwrap().success(), "{name}");
    };
    let formats = ["qcow2", "vmdk", "vdi", "vhdx", "vpc", "qed", "parallels"];
    for format in formats {
        convert(format, format, &[]);
    }
    // Of these only the last sector, or the first file of several, tells.
    convert("vpc", "fixed", &["-o", "subformat=fixed"]);
    convert("vmdk", "text", &["-o", "subformat=monolithicFlat"]);
    let packed = ["gzip", "xz", "zstd", "bzip2"];
    for program in packed {
        let mut pack = Command::new(program);
        let file = fs::File::create(image_of(program)).unwrap();
        assert!(
            pack.arg("-c")
                .arg(&raw)
                .stdout(file)
                .status()
                .unwrap()
                .success()
        );
    }
    for format in formats.iter().chain(&["fixed", "text"]).chain(&packed) {
        let image = image_of(format);
        let to = path(&dir, &format!("{format}.vma"));
        let refused = run(&["create", &to, &format!("a={image}")]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{format}: {said}");
        assert!(said.contains("-d format=raw:NAME=PATH"), "{format}: {said}");
        let mut backup = Command::new(env!("CARGO_BIN_EXE_fleece"));
        backup
            .arg("backup")
            .arg("--state-dir")
            .arg(path(&dir, "state"));
        backup.args(["--image", &image, "--to", &to]);
        let refused = backup.output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(6), "{format}: {said}");
        assert!(said.contains("format=raw:PATH"), "{format}: {said}");
        assert!(!Path::new(&to).exists());
        ok(&["create", &to, "-d", &format!("format=raw:a={image}")]);
    }
}
