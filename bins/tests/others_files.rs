//! Who may read what the commands make, and what may lie where they look.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

const FLEECE: &str = env!("CARGO_BIN_EXE_fleece");
const VMA: &str = env!("CARGO_BIN_EXE_vma");

/// Longer than any of these takes, in seconds.
const LONG: &str = "30";

/// A folder with a disk, a guest's configuration and its firewall rules.
struct Folder {
    dir: TempDir,
    umask: &'static str,
}

impl Folder {
    fn new(umask: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            (
                "qemu-server.conf",
                "cores: 1\nscsi0: gone:vm-1-disk-0,size=1M\n",
            ),
            ("qemu-server.fw", "[OPTIONS]\n"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::write(dir.path().join("disk.raw"), vec![0x5a; 1 << 20]).unwrap();
        Self { dir, umask }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, program: &str, arguments: &str) -> Output {
        let mut command = Command::new("sh");
        let script = format!("umask {}; exec timeout {LONG} \"$@\"", self.umask);
        command.args(["-c", &script, "sh", program]);
        command
            .args(arguments.split(' '))
            .current_dir(self.dir.path());
        command.output().unwrap()
    }

    fn ok(&self, program: &str, arguments: &str) {
        let output = self.run(program, arguments);
        assert!(
            output.status.success(),
            "{arguments}: {}",
            support::text(&output)
        );
    }

    /// The modes of all files below a folder, by the ends of their names.
    fn modes(&self, folder: &str) -> BTreeMap<String, u32> {
        let mut modes = BTreeMap::new();
        let mut folders = vec![self.path(folder)];
        while let Some(folder) = folders.pop() {
            for path in support::entries(&folder) {
                let mode = path.metadata().unwrap().permissions().mode() & 0o777;
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                assert_eq!(mode & 0o002, 0, "anybody can write to {}", path.display());
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(modes.insert(name, mode)),
                }
            }
        }
        modes
    }

    fn assert_modes(&self, folder: &str, expected: u32) {
        let modes = self.modes(folder);
        assert!(!modes.is_empty());
        for (name, mode) in modes {
            // Who may list the backups may read how they went.
            let is_told = name.ends_with(".log") || name.ends_with(".stats.json");
            let expected = if is_told { 0o644 } else { expected };
            assert_eq!(
                mode, expected,
                "{folder}/{name}: {mode:o}, umask {}",
                self.umask
            );
        }
    }
}

#[test]
fn archives_are_for_their_group_and_disks_for_their_owner_whatever_the_umask() {
    for umask in ["000", "077"] {
        let folder = Folder::new(umask);
        for name in ["made", "backups", "images", "configs"] {
            fs::create_dir(folder.path(name)).unwrap();
        }
        let create = "-c qemu-server.conf -c qemu-server.fw -d format=raw:drive-scsi0=disk.raw";
        folder.ok(VMA, &format!("create made/a.vma {create}"));
        folder.ok(
            VMA,
            &format!("create made/b.vma.zst {create} --compress zstd"),
        );
        folder.ok(VMA, "reframe made/a.vma made/c.vma.zst");
        folder.ok(VMA, "optimize made/a.vma made/d.vma");
        fs::remove_file(folder.path("made/a.vma.idx")).unwrap();
        folder.ok(VMA, "index made/a.vma");
        folder.assert_modes("made", 0o640);
        folder.ok(
            FLEECE,
            "backup --state-dir state --image disk.raw --vmid 100 --compress none --to backups",
        );
        folder.assert_modes("backups", 0o640);
        // As its owner wants it.
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.path("made/a.vma"), private).unwrap();
        fs::create_dir(folder.path("private")).unwrap();
        folder.ok(VMA, "reframe made/a.vma private/c.vma.zst");
        folder.ok(VMA, "optimize made/a.vma private/d.vma");
        folder.ok(VMA, "index -o private/a.idx made/a.vma");
        folder.assert_modes("private", 0o600);

        for format in ["raw", "qcow2"] {
            folder.ok(
                VMA,
                &format!("extract made/a.vma {format} --format {format}"),
            );
            folder.assert_modes(format, 0o600);
            let to = format!("to-{format}");
            folder.ok(
                FLEECE,
                &format!("restore made/a.vma --to {to} --format {format}"),
            );
            let mut modes = folder.modes(&to);
            assert_eq!(modes.remove("start.sh"), Some(0o700));
            assert!(modes.into_values().all(|mode| mode == 0o600), "{umask}");
        }
        folder.ok(VMA, "recover made/a.vma recovered");
        folder.assert_modes("recovered", 0o600);
        let places = "--state-dir state --config-dir configs --firewall-dir configs";
        let images = folder.path("images");
        folder.ok(
            FLEECE,
            &format!(
                "restore made/a.vma --vmid 9 {places} --storage {}",
                images.display()
            ),
        );
        folder.assert_modes("configs", 0o600);
        assert!(
            folder
                .modes("images")
                .into_values()
                .all(|mode| mode & 0o137 == 0)
        );
    }
}

#[test]
fn nothing_waits_for_a_fifo_or_follows_a_link_that_lies_where_a_file_should() {
    let folder = Folder::new("022");
    let name = "vzdump-qemu-100-2026_11_01-02_00_00.vma";
    let create = "-d format=raw:drive-scsi0=disk.raw";
    let secret = folder.path("secret");
    fs::write(&secret, "for root\n").unwrap();
    let fifo = |path: &Path| mkfifoat(CWD, path, Mode::RWXU).unwrap();
    let link = |path: &Path| symlink(&secret, path).unwrap();
    for put in [&fifo as &dyn Fn(&Path), &link] {
        let _ = fs::remove_dir_all(folder.path("dump"));
        fs::create_dir(folder.path("dump")).unwrap();
        folder.ok(VMA, &format!("create dump/{name} {create} --no-index"));
        for kind in ["idx", "notes", "verified"] {
            put(&folder.path(&format!("dump/{name}.{kind}")));
        }
        put(&folder.path("dump/vzdump-qemu-100-2026_11_01-02_00_00.log"));
        put(&folder.path("dump/vzdump-qemu-101-2026_11_01-02_00_00.vma"));
        let archive = format!("dump/{name}");
        let commands = [
            (FLEECE, "list dump".to_owned()),
            (FLEECE, "prune dump --keep keep-last=1 --dry-run".to_owned()),
            (FLEECE, "verify dump".to_owned()),
            (FLEECE, format!("verify {archive}")),
            (FLEECE, format!("note {archive}")),
            (FLEECE, format!("restore {archive} --to restored")),
            (VMA, format!("list {archive}")),
            (VMA, format!("info {archive}")),
            (VMA, format!("verify --deep {archive}")),
            (VMA, format!("extract {archive} extracted")),
            (VMA, format!("recover {archive} recovered")),
            (VMA, format!("index {archive}")),
            (VMA, format!("reframe {archive} dump/reframed")),
            (FLEECE, format!("note {archive} mine")),
            (FLEECE, format!("protect {archive}")),
            (FLEECE, format!("protect --off {archive}")),
            (FLEECE, format!("delete {archive}")),
        ];
        let start = Instant::now();
        for (program, arguments) in &commands {
            let output = folder.run(program, arguments);
            let said = support::text(&output);
            // 124 is what `timeout` says.
            assert!(
                output.status.code().is_some_and(|code| code != 124),
                "{arguments}: {said}"
            );
            assert!(!said.contains("for root"), "{arguments}: {said}");
        }
        assert!(start.elapsed() < Duration::from_secs(60));
        assert_eq!(fs::read_to_string(&secret).unwrap(), "for root\n");
        for made in ["restored", "extracted", "recovered"] {
            fs::remove_dir_all(folder.path(made)).unwrap();
        }
    }
}

#[test]
fn a_state_directory_that_others_can_write_to_is_refused_with_the_next_step() {
    let folder = Folder::new("022");
    fs::create_dir(folder.path("state")).unwrap();
    fs::set_permissions(folder.path("state"), fs::Permissions::from_mode(0o1777)).unwrap();
    let backup = "backup --state-dir state --image disk.raw --vmid 100 --to .";
    let output = folder.run(FLEECE, backup);
    let said = support::text(&output);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("chmod go-w") && said.contains("--state-dir"),
        "{said}"
    );
    fs::set_permissions(folder.path("state"), fs::Permissions::from_mode(0o755)).unwrap();
    folder.ok(FLEECE, backup);
}
