//! `fleece restore`: an archive becomes a guest again, or nothing is left.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::Bench;
use support::archived::{Archived, Piped};
use support::ended::Ended;

/// A host with two storages, and an archive of a guest from elsewhere.
struct Host {
    bench: Bench,
    archived: Archived,
}

const CONFIG: &str = "#A guest.\nagent: 1\ncores: 2\nscsi0: gone:vm-100-disk-0,discard=on,size=7G\n\
                      virtio1: gone:vm-100-disk-1,size=1M\n\
                      net0: virtio=BC:24:11:00:00:01,bridge=vmbr0\n\
                      smbios1: uuid=6f1c9e0a-3a52-4d0e-9c0b-2f6f0b6a1d01\nx-unknown: kept\n\
                      #qmdump#map:scsi0:drive-scsi0:gone:raw:\n#qmdump#map:virtio1:drive-virtio1:gone:raw:\n";

const RULES: &str = "[OPTIONS]\nenable: 1\n";

const FAST: &[&str] = &["--storage", "fast"];

impl Host {
    fn new() -> Self {
        Self::with(&[("qemu-server.conf", CONFIG)])
    }

    fn with_rules() -> Self {
        Self::with(&[("qemu-server.conf", CONFIG), ("qemu-server.fw", RULES)])
    }

    fn with(configs: &[(&str, &str)]) -> Self {
        let bench = Bench::new();
        for folder in ["fast", "slow", "configs", "firewall"] {
            fs::create_dir(bench.path(folder)).unwrap();
        }
        let (fast, slow) = (bench.path("fast"), bench.path("slow"));
        let storages = format!(
            "dir: fast\n\tpath {0}\n\tcontent images\n\ndir: slow\n\tpath {1}\n\tcontent images\n\n\
             dir: isos\n\tpath {1}\n\tcontent iso,backup\n",
            fast.display(),
            slow.display()
        );
        fs::write(bench.path("storage.cfg"), storages).unwrap();
        let archived = Archived::new(&bench, configs);
        Self { bench, archived }
    }

    /// `fleece restore` of an archive as guest 9, not yet started.
    fn command(&self, archive: impl AsRef<Path>, options: &[&str]) -> Command {
        let mut command = self.bench.fleece("restore");
        command
            .arg("--config-dir")
            .arg(self.bench.path("configs"))
            .arg("--storage-config")
            .arg(self.bench.path("storage.cfg"))
            .args(["--vmid", "9"])
            .arg(archive.as_ref())
            .args(options);
        command
    }

    fn restore(&self, options: &[&str]) -> Ended {
        Ended::of(&mut self.command(&self.archived.path, options))
    }

    /// A restore from a pipe that has made both volumes, and has half of the archive yet to come.
    fn pipe(&self, command: &mut Command) -> Piped {
        let made = self.volume("fast", "vm-9-disk-1.raw");
        self.archived.pipe(command, &made)
    }

    fn config_file(&self) -> PathBuf {
        self.bench.path("configs").join("9.conf")
    }

    fn config(&self) -> String {
        fs::read_to_string(self.config_file()).unwrap()
    }

    fn volume(&self, storage: &str, name: &str) -> PathBuf {
        self.bench.path(storage).join("images/9").join(name)
    }

    /// The guest's volumes on a storage.
    fn volumes(&self, storage: &str) -> Vec<PathBuf> {
        let images = self.bench.path(storage).join("images/9");
        if images.exists() {
            support::entries(&images)
        } else {
            Vec::new()
        }
    }

    /// The raw volume of a disk holds what the disk held.
    fn assert_restored(&self, storage: &str, disk: usize) {
        let volume = self.volume(storage, &format!("vm-9-disk-{disk}.raw"));
        assert!(
            fs::read(volume).unwrap() == self.archived.disks[disk],
            "disk {disk}"
        );
    }

    fn assert_no_record(&self) {
        assert!(support::entries(&self.bench.path("state")).is_empty());
    }

    /// No volume, no configuration, no record.
    fn assert_nothing_made(&self) {
        for storage in ["fast", "slow"] {
            let left = self.volumes(storage);
            assert!(left.is_empty(), "{left:?}");
        }
        assert!(!self.config_file().exists());
        self.assert_no_record();
    }
}

#[test]
fn a_guest_comes_back_with_its_disks_and_its_configuration() {
    let host = Host::new();
    let mut restore = host.command(&host.archived.path, FAST);
    let result = support::result(&support::succeed(restore.arg("--json")));
    assert_eq!(result["disks"]["drive-scsi0"], "fast:9/vm-9-disk-0.raw");
    for disk in [0, 1] {
        host.assert_restored("fast", disk);
    }
    let config = host.config();
    for line in [
        "#A guest.",
        "scsi0: fast:9/vm-9-disk-0.raw,discard=on,size=3076K",
        "virtio1: fast:9/vm-9-disk-1.raw,size=1M",
        "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0",
        "x-unknown: kept",
    ] {
        assert!(config.lines().any(|has| has == line), "{line}: {config}");
    }
    assert!(!config.contains("#qmdump#map"), "{config}");
    host.assert_no_record();
}

#[test]
fn bytes_that_are_no_utf_8_go_through_backup_and_restore() {
    let host = Host::new();
    host.restore(FAST).expect_code(0);
    let odd = b"#Caf\xe9 \xff\nx-odd: \xfe\n";
    let mut text = odd.to_vec();
    text.extend(fs::read(host.config_file()).unwrap());
    fs::write(host.config_file(), &text).unwrap();
    let mut backup = host.bench.fleece("backup");
    let disk = host.volume("fast", "vm-9-disk-0.raw");
    backup.arg("--config-dir").arg(host.bench.path("configs"));
    backup.arg(format!("--image=drive-scsi0={}", disk.display()));
    backup
        .args(["--vmid", "9", "--to"])
        .arg(host.bench.path("backups"));
    fs::create_dir(host.bench.path("backups")).unwrap();
    Ended::of(&mut backup).expect_code(0);
    let mut archives = support::entries(&host.bench.path("backups"));
    archives.retain(|path| path.extension().is_some_and(|ending| ending == "zst"));
    Ended::of(&mut host.command(&archives[0], &["--storage", "slow", "--force"]))
        .expect(3, &["virtio1"]);
    assert!(fs::read(host.config_file()).unwrap().starts_with(odd));
    let mut restore = host.bench.fleece("restore");
    restore
        .arg(&archives[0])
        .arg("--to")
        .arg(host.bench.path("folder"));
    Ended::of(&mut restore).expect(3, &["virtio1"]);
}

#[test]
fn rules_that_no_archive_can_hold_are_left_out_with_a_warning() {
    let host = Host::new();
    host.restore(FAST).expect_code(0);
    let rules = host.bench.path("firewall").join("9.fw");
    fs::write(&rules, vec![b'#'; 70_000]).unwrap();
    let mut backup = host.bench.fleece("backup");
    backup.arg("--config-dir").arg(host.bench.path("configs"));
    backup
        .arg("--firewall-dir")
        .arg(host.bench.path("firewall"));
    let disk = host.volume("fast", "vm-9-disk-0.raw");
    backup.arg(format!("--image=drive-scsi0={}", disk.display()));
    backup
        .args(["--vmid", "9", "--to"])
        .arg(host.bench.path("fast"));
    Ended::of(&mut backup).expect(3, &["70000 bytes", "keep a copy"]);
}

#[test]
fn its_firewall_rules_come_with_it_or_a_warning() {
    let host = Host::with_rules();
    let firewall = host.bench.path("firewall");
    let mut restore = host.command(&host.archived.path, FAST);
    support::succeed(restore.arg("--firewall-dir").arg(&firewall));
    assert_eq!(fs::read_to_string(firewall.join("9.fw")).unwrap(), RULES);
    assert_eq!(support::entries(&firewall).len(), 1);

    let host = Host::with_rules();
    host.restore(FAST).expect(3, &["--firewall-dir"]);
}

#[test]
fn a_guest_that_cannot_be_written_leaves_firewall_rules_as_they_were() {
    for before in [None, Some("# of before\n")] {
        let host = Host::with_rules();
        let firewall = host.bench.path("firewall");
        if let Some(before) = before {
            fs::write(firewall.join("9.fw"), before).unwrap();
        }
        // Somebody makes a guest of that number while the archive comes.
        let mut restore = host.command("-", FAST);
        let piped = host.pipe(restore.arg("--firewall-dir").arg(&firewall));
        fs::write(host.config_file(), "name: another\n").unwrap();
        let said = piped.finish().said;
        assert!(said.contains("was changed by somebody else"), "{said}");
        let after = fs::read_to_string(firewall.join("9.fw")).ok();
        assert_eq!(after.as_deref(), before);
    }
}

#[test]
fn each_disk_goes_where_it_is_told_in_its_format_or_nowhere() {
    let host = Host::new();
    let options = ["--disk", "scsi0=slow:qcow2", "--disk", "drive-virtio1=skip"];
    // A disk that is left out is worth a warning.
    // Only what is restored is progress.
    host.restore(&options).expect(
        3,
        &[
            "virtio1",
            "100% (3.06 MiB of 3.06 MiB)",
            "restored 3.06 MiB",
        ],
    );
    let image = host.volume("slow", "vm-9-disk-0.qcow2");
    host.archived.assert_in_qcow2(0, &image);
    assert!(!host.bench.path("fast").join("images").exists());
    let config = host.config();
    assert!(
        config.contains("scsi0: slow:9/vm-9-disk-0.qcow2,"),
        "{config}"
    );
    assert!(
        !config.lines().any(|line| line.starts_with("virtio1:")),
        "{config}"
    );
}

#[test]
fn a_template_becomes_a_guest() {
    let config = format!("{CONFIG}template: 1\n");
    let host = Host::with(&[("qemu-server.conf", &config)]);
    host.restore(FAST).expect(3, &["it was a template"]);
    let config = host.config();
    assert!(!config.contains("template"), "{config}");
    // So that it can be replaced.
    host.restore(&["--storage", "fast", "--force"])
        .expect_code(3);
}

#[test]
fn an_archive_from_a_pipe_makes_a_guest_of_its_own() {
    let host = Host::new();
    let mut restore = host.command("-", &["--storage", "fast", "--unique"]);
    host.pipe(&mut restore).finish().expect_code(0);
    host.assert_restored("fast", 1);
    let config = host.config();
    assert!(config.contains("net0: virtio=BC:24:11:"), "{config}");
    assert!(!config.contains("BC:24:11:00:00:01"), "{config}");
    assert!(!config.contains("6f1c9e0a"), "{config}");
}

#[test]
fn a_guest_that_is_there_is_replaced_only_by_force_and_its_disks_go_last() {
    let host = Host::new();
    host.restore(FAST).expect_code(0);
    let before = host.config();
    host.restore(FAST).expect(6, &["--force"]);

    // By force, but from an archive that turns out to be damaged: the guest is as it was.
    let cut = host.archived.cut();
    let mut damaged = host.command(cut, &["--storage", "fast", "--force"]);
    Ended::of(&mut damaged).expect_code(4);
    assert_eq!(host.config(), before);
    assert_eq!(host.volumes("fast").len(), 2);

    host.restore(&["--storage", "slow", "--force"])
        .expect_code(0);
    assert!(host.volumes("fast").is_empty());
    host.assert_restored("slow", 0);
    let config = host.config();
    assert!(
        config.contains("scsi0: slow:9/vm-9-disk-0.raw,"),
        "{config}"
    );
    assert!(!config.contains("unused"), "{config}");
}

#[test]
fn an_old_disk_that_another_guest_names_too_is_not_freed() {
    let host = Host::new();
    host.restore(FAST).expect_code(0);
    let other = host.config_file().with_file_name("10.conf");
    fs::write(&other, "scsi0: fast:9/vm-9-disk-0.raw\n").unwrap();
    host.restore(&["--storage", "slow", "--force"])
        .expect(3, &["10.conf names it, too"]);
    assert!(host.volume("fast", "vm-9-disk-0.raw").exists());
    assert!(!host.volume("fast", "vm-9-disk-1.raw").exists());
    let config = host.config();
    assert!(
        config.contains("unused0: fast:9/vm-9-disk-0.raw"),
        "{config}"
    );
}

#[test]
fn what_cannot_be_restored_leaves_nothing() {
    let host = Host::new();
    let path = |name| host.bench.path(name);
    let refused = |archive: &Path, options: &[&str], code, words: &[&str]| {
        Ended::of(&mut host.command(archive, options)).expect(code, words);
        host.assert_nothing_made();
    };
    let words = ["cannot open the archive", "nowhere.vma"];
    refused(&path("nowhere.vma"), FAST, 1, &words);
    let words = ["not a vma file", "this is a text"];
    refused(&path("qemu-server.conf"), FAST, 1, &words);
    let words = [
        "freed the volume fast:9/vm-9-disk-0.raw",
        "nothing of it was restored",
    ];
    refused(&host.archived.cut(), FAST, 4, &words);

    let refused = |options: &[&str], code, words: &[&str]| {
        refused(&host.archived.path, options, code, words);
    };
    let words = ["cannot use the storage nosuch"];
    refused(&["--storage", "nosuch"], 6, &words);
    let words = [
        "the storage isos is not for disks",
        "add images to its content",
    ];
    refused(&["--storage", "isos"], 6, &words);
    // The storage that the archive names is not on this host.
    refused(&[], 6, &["cannot use the storage gone"]);
    let options = ["--storage", "fast", "--disk", "scsi9=skip"];
    let words = ["no disk 'scsi9'", "drive-scsi0, drive-virtio1"];
    refused(&options, 1, &words);
    let options = ["--storage", "fast", "--disk", "scsi0=fast:vmdk"];
    refused(&options, 2, &["'vmdk' is not a format"]);
}

#[test]
fn a_restore_that_was_killed_is_removed_by_the_clean_up() {
    let host = Host::new();
    host.pipe(&mut host.command("-", FAST)).end("-KILL");
    assert_eq!(host.volumes("fast").len(), 2);
    let mut cleanup = host.bench.fleece("cleanup");
    let storages = host.bench.path("storage.cfg");
    cleanup.arg("--all").arg("--storage-config").arg(storages);
    Ended::of(&mut cleanup).expect(0, &["of an unfinished restore"]);
    host.assert_nothing_made();
}

#[test]
fn what_a_record_names_and_fleece_has_not_made_stays_and_is_told() {
    let host = Host::new();
    let disk = host.bench.path("slow/images/8/vm-8-disk-0.raw");
    fs::create_dir_all(disk.parent().unwrap()).unwrap();
    fs::write(&disk, "another guest's").unwrap();
    let state = host.bench.path("state").join("9.state");
    let record = format!(
        "restores: {}\nvolumes: slow:8/vm-8-disk-0.raw,fast:9/vm-9-disk-3.raw\n",
        host.bench.path("configs/9.conf").display()
    );
    fs::write(&state, record).unwrap();
    let made = host.bench.path("fast/images/9/vm-9-disk-3.raw");
    fs::create_dir_all(made.parent().unwrap()).unwrap();
    fs::write(&made, "ours").unwrap();
    let said = host
        .restore(FAST)
        .expect(3, &["slow:8/vm-8-disk-0.raw is not touched"]);
    assert!(disk.exists() && !made.exists(), "{said}");
    let mut cleanup = host.bench.fleece("cleanup");
    let storages = host.bench.path("storage.cfg");
    cleanup.arg("9").arg("--storage-config").arg(storages);
    let said = Ended::of(&mut cleanup).expect(3, &["called vm-9-disk-<number>"]);
    assert!(disk.exists() && state.exists(), "{said}");
    assert_eq!(host.volumes("fast").len(), 2, "the restored guest's");
}

#[test]
fn a_signal_ends_a_restore_that_waits_for_a_pipe() {
    let host = Host::new();
    let piped = host.pipe(&mut host.command("-", FAST));
    piped.end("-TERM").expect_code(143);
    host.assert_nothing_made();
}

#[test]
fn disks_become_other_drives_on_a_storage_with_a_format() {
    let host = Host::new();
    let options = ["--storage", "fast:qcow2", "--disk", "d-no=skip"];
    host.restore(&options).expect(1, &["no disk 'd-no'"]);
    let options = [
        "--storage",
        "fast:qcow2",
        "--rename",
        "drive-scsi0=sata3",
        "--rename",
        "virtio1=scsi0",
    ];
    host.restore(&options).expect_code(0);
    let config = host.config();
    let line = "sata3: fast:9/vm-9-disk-0.qcow2,discard=on,size=";
    assert!(config.contains(line), "{config}");
    assert!(
        config.contains("scsi0: fast:9/vm-9-disk-1.qcow2,"),
        "{config}"
    );
    assert!(!config.contains("virtio1:"), "{config}");
    for disk in [0, 1] {
        let volume = host.volume("fast", &format!("vm-9-disk-{disk}.qcow2"));
        host.archived.assert_in_qcow2(disk, &volume);
    }
}

#[test]
fn a_guest_that_cannot_be_started_is_not_restored() {
    let host = Host::new();
    let fast = ["--storage", "fast", "--start"];
    host.restore(&fast)
        .expect(1, &["only Proxmox's own", "without --start"]);
    host.assert_nothing_made();
}

impl Host {
    /// The archive as `fleece backup` writes it: aligned, with an index.
    fn indexed(&self) -> PathBuf {
        let path = self.bench.path("archives").join("indexed.vma");
        let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
        vma.args(["reframe", "--compress", "none", "--align"]);
        support::succeed(vma.arg(&self.archived.path).arg(&path));
        path
    }

    /// What a restore into the guest's own disks has written.
    fn in_place(&self, archive: &Path) -> u64 {
        let mut restore = self.command(archive, &["--in-place"]);
        let said = support::result(&support::succeed(restore.arg("--json")));
        for disk in [0, 1] {
            self.assert_restored("fast", disk);
        }
        said["written"].as_u64().unwrap()
    }

    /// Another part of the first disk, where there was something, and where there were zeroes.
    fn spoil(&self) {
        let volume = self.volume("fast", "vm-9-disk-0.raw");
        let file = fs::File::options().write(true).open(volume).unwrap();
        for (at, bytes) in [(100_000, &[0; 5000][..]), (2 << 20, &[7; 10])] {
            file.write_all_at(bytes, at).unwrap();
        }
    }
}

#[test]
fn into_the_guests_own_disks_only_what_differs_is_written() {
    let host = Host::new();
    let indexed = host.indexed();
    let into = |archive: &Path, options: &[&str], code, words: &[&str]| {
        let options = [&["--in-place"], options].concat();
        Ended::of(&mut host.command(archive, &options)).expect(code, words)
    };
    into(
        &indexed,
        &[],
        1,
        &["there is no guest 9", "without --in-place"],
    );
    host.restore(FAST).expect_code(0);
    let config = host.config();
    assert_eq!(host.in_place(&indexed), 0);
    assert_eq!(host.config(), config);
    // With an index, without one, compressed, and through a pipe: two blocks of the first change, one of the second.
    let zstd = host.bench.path("archives").join("x.vma.zst");
    let mut vma = Command::new(env!("CARGO_BIN_EXE_vma"));
    support::succeed(vma.arg("reframe").arg(&indexed).arg(&zstd));
    let bare = host.bench.path("archives").join("bare.vma");
    fs::copy(&indexed, &bare).unwrap();
    for archive in [&indexed, &bare, &zstd] {
        host.spoil();
        into(
            archive,
            &["--dry-run"],
            0,
            &["would restore drive-scsi0", "nothing was changed"],
        );
        assert_eq!(host.in_place(archive), 3 * 4096, "{}", archive.display());
    }
    // What is the same by the index is not even read of the archive: it may be damaged there.
    let bytes = fs::read(&indexed).unwrap();
    let place = bytes.windows(4096).position(|block| block == [0x22; 4096]);
    let file = fs::File::options().write(true).open(&indexed).unwrap();
    file.write_all_at(&[0x23], place.unwrap() as u64).unwrap();
    host.spoil();
    assert_eq!(host.in_place(&indexed), 3 * 4096);
    // And what differs is checked.
    host.spoil();
    let volume = host.volume("fast", "vm-9-disk-0.raw");
    let disk = fs::File::options().write(true).open(&volume).unwrap();
    disk.write_all_at(&[1], 3 << 20).unwrap();
    into(
        &indexed,
        &[],
        4,
        &["neither as before nor as in the archive"],
    );
    assert_eq!(host.in_place(&host.archived.path), 4096);
    host.assert_no_record();
    // Where a disk cannot be kept, nothing is written.
    into(
        &indexed,
        &["--disk", "scsi0=fast"],
        1,
        &["--disk DISK=skip"],
    );
    disk.set_len(8 << 20).unwrap();
    into(&indexed, &[], 1, &["has 8388608 bytes", "of its size"]);
    disk.set_len(host.archived.disks[0].len() as u64).unwrap();
    let other = host.config_file().with_file_name("10.conf");
    fs::write(&other, "scsi0: fast:9/vm-9-disk-0.raw\n").unwrap();
    into(&indexed, &[], 1, &["10.conf names it, too"]);
    fs::remove_file(other).unwrap();
    host.assert_no_record();
}

#[test]
fn a_restore_into_own_disks_that_did_not_end_is_told_until_one_does() {
    let host = Host::new();
    host.restore(FAST).expect_code(0);
    for disk in [0, 1] {
        let volume = host.volume("fast", &format!("vm-9-disk-{disk}.raw"));
        let length = fs::metadata(&volume).unwrap().len();
        fs::write(&volume, vec![0x99; length as usize]).unwrap();
    }
    let state = host.bench.path("state").join("9.state");
    let mut restore = host.command("-", &["--in-place"]);
    host.archived.pipe(&mut restore, &state).end("-KILL");
    let cleanup = || {
        let mut cleanup = host.bench.fleece("cleanup");
        let storages = host.bench.path("storage.cfg");
        cleanup.arg("9").arg("--storage-config").arg(storages);
        Ended::of(&mut cleanup)
    };
    let told = [
        "fast:9/vm-9-disk-0.raw, fast:9/vm-9-disk-1.raw: neither as before",
        "--in-place",
    ];
    for _ in 0..2 {
        cleanup().expect(3, &told);
    }
    // A backup says so, too.
    let mut backup = host.bench.fleece("backup");
    let disk = host.volume("fast", "vm-9-disk-0.raw");
    backup.arg(format!("--image=drive-scsi0={}", disk.display()));
    backup
        .arg("--storage-config")
        .arg(host.bench.path("storage.cfg"));
    backup
        .args(["--vmid", "9", "--to"])
        .arg(host.bench.path("slow"));
    Ended::of(&mut backup).expect(3, &["neither as before"]);
    host.in_place(&host.archived.path);
    assert!(!state.exists());
    cleanup().expect(0, &["nothing was left"]);
    // One in the place of the guest does as well.
    fs::write(
        &state,
        "overwrites: {\"archive\":\"/x\",\"volumes\":[\"fast:9/vm-9-disk-0.raw\"]}\n",
    )
    .unwrap();
    cleanup().expect(3, &["fleece restore /x --vmid 9 --in-place"]);
    host.restore(&["--storage", "slow", "--force"])
        .expect_code(0);
    assert!(!state.exists());
}
