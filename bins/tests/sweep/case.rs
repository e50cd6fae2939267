//! The commands, what is there before each, and the next run that puts in order what one left that was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::state::State;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What is there before.
    before: &'static [Before],
    /// The command; `@` stands for the place, a `vma` or `fleece` for the program.
    command: &'static str,
    /// What one runs next; nothing: the same again.
    next: &'static [&'static str],
    /// What must be there with a warning, too.
    pub(crate) essential: &'static [&'static str],
    /// What else may be after the next run.
    pub(crate) between: Option<fn(&State, &State, &State) -> bool>,
    /// It may leave all as it was, and say why.
    pub(crate) declines: bool,
}

/// What a command finds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Disk,
    Archive,
    Backups,
    Storages,
    Guest,
    Folder,
    Killed,
}

use Before::{Archive, Backups, Disk, Folder, Guest, Killed, Storages};

const CASE: Case = Case {
    name: "",
    before: &[],
    command: "",
    next: &[],
    essential: &[],
    between: None,
    declines: false,
};

/// Where `fleece` finds what it works on.
const PLACES: &str = "--state-dir @/state --config-dir @/configs --firewall-dir @/firewall --storage-config \
                      @/storage.cfg";

const DUMP: &str = "vzdump-qemu-100-2026_01_01-00_00_00.vma";

pub(crate) const CREATE: Case = Case {
    name: "vma create",
    before: &[Disk],
    command: "vma create @/out.vma -c @/qemu-server.conf -d format=raw:drive-scsi0=@/disk.raw",
    essential: &["out.vma"],
    between: Some(has_no_index),
    ..CASE
};
pub(crate) const EXTRACT: Case = Case {
    name: "vma extract",
    before: &[Archive],
    command: "vma extract @/a.vma @/out",
    ..CASE
};
pub(crate) const RECOVER: Case = Case {
    name: "vma recover",
    before: &[Archive],
    command: "vma recover @/cut.vma @/out",
    ..CASE
};
pub(crate) const INDEX: Case = Case {
    name: "vma index",
    before: &[Archive],
    command: "vma index @/a.vma -o @/new.idx",
    essential: &["new.idx"],
    ..CASE
};
pub(crate) const REFRAME: Case = Case {
    name: "vma reframe",
    before: &[Archive],
    command: "vma reframe @/a.vma @/out.vma.zst",
    essential: &["out.vma.zst"],
    ..CASE
};
pub(crate) const OPTIMIZE: Case = Case {
    name: "vma optimize",
    before: &[Archive],
    command: "vma optimize @/a.vma @/out.vma",
    essential: &["out.vma"],
    between: Some(has_no_index),
    ..CASE
};
pub(crate) const BACKUP: Case = Case {
    name: "fleece backup --image",
    before: &[Disk, Storages],
    command: "fleece backup PLACES --vmid 100 --image drive-scsi0=@/disk.raw --to @/dump/DUMP --notes new --protected",
    next: &[
        "fleece cleanup PLACES --all",
        "fleece note PLACES @/dump/DUMP new",
        "fleece protect PLACES @/dump/DUMP",
    ],
    essential: &["dump/vzdump-qemu-100-2026_01_01-00_00_00.vma"],
    between: Some(has_no_index),
    ..CASE
};
pub(crate) const FOLDER: Case = Case {
    name: "fleece restore --to",
    before: &[Archive],
    command: "fleece restore @/a.vma --to @/new/folder",
    essential: &["new/folder/disk-drive-scsi0.raw"],
    ..CASE
};
pub(crate) const FOLDER_FORCE: Case = Case {
    name: "fleece restore --to --force",
    before: &[Archive, Folder],
    command: "fleece restore @/a.vma --to @/folder --force",
    essential: &["folder/disk-drive-scsi0.raw"],
    ..CASE
};
pub(crate) const GUEST: Case = Case {
    name: "fleece restore",
    before: &[Archive, Storages],
    command: "fleece restore PLACES @/a.vma --vmid 9 --storage fast",
    next: &["fleece cleanup PLACES --all"],
    essential: &[
        "configs/9.conf",
        "firewall/9.fw",
        "fast/images/9/vm-9-disk-0.raw",
    ],
    between: Some(has_rules_alone),
    ..CASE
};
pub(crate) const GUEST_FORCE: Case = Case {
    name: "fleece restore --force",
    before: &[Archive, Storages, Guest],
    command: "fleece restore PLACES @/a.vma --vmid 9 --storage fast --force",
    next: &["fleece cleanup PLACES --all"],
    essential: &["firewall/9.fw", "fast/images/9/vm-9-disk-1.raw"],
    between: Some(has_rules_alone),
    ..CASE
};
pub(crate) const NOTE: Case = Case {
    name: "fleece note",
    before: &[Backups, Storages],
    command: "fleece note PLACES @/dump/DUMP new",
    essential: &["dump/vzdump-qemu-100-2026_01_01-00_00_00.vma.notes"],
    ..CASE
};
pub(crate) const PROTECT: Case = Case {
    name: "fleece protect",
    before: &[Backups, Storages],
    command: "fleece protect PLACES @/dump/DUMP",
    essential: &["dump/vzdump-qemu-100-2026_01_01-00_00_00.vma.protected"],
    ..CASE
};
pub(crate) const DELETE: Case = Case {
    name: "fleece delete",
    before: &[Backups, Storages],
    command: "fleece delete PLACES @/dump/DUMP",
    next: &["fleece prune PLACES @/dump --keep keep-last=9"],
    ..CASE
};
pub(crate) const PRUNE: Case = Case {
    name: "fleece prune",
    before: &[Backups, Storages],
    command: "fleece prune PLACES @/dump --keep keep-last=1",
    declines: true,
    ..CASE
};
pub(crate) const VERIFY: Case = Case {
    name: "fleece verify",
    before: &[Backups, Storages],
    command: "fleece verify PLACES @/dump/DUMP",
    next: &["fleece note PLACES @/dump/DUMP old"],
    essential: &["dump/vzdump-qemu-100-2026_01_01-00_00_00.vma.verified"],
    ..CASE
};
pub(crate) const STORAGE_ADD: Case = Case {
    name: "fleece storage add",
    before: &[Storages],
    command: "fleece storage PLACES add dir more path=@/fast",
    essential: &["storage.cfg"],
    ..CASE
};
pub(crate) const STORAGE_REMOVE: Case = Case {
    name: "fleece storage remove",
    before: &[Storages],
    command: "fleece storage PLACES remove slow",
    essential: &["storage.cfg"],
    ..CASE
};
pub(crate) const CLEANUP: Case = Case {
    name: "fleece cleanup",
    before: &[Disk, Storages, Killed],
    command: "fleece cleanup PLACES --all",
    between: Some(|_, new, now| now == new),
    ..CASE
};

/// An archive that was killed before its index: `vma index` makes one.
fn has_no_index(old: &State, new: &State, now: &State) -> bool {
    let beside = format!("dump/{DUMP}.idx");
    let without = |state: &State| state.without(&beside).without("out.vma.idx");
    without(now) == without(new) || now == old
}

/// Killed between the firewall's rules and the configuration, or before the old disks were freed: nothing that
/// the guest had is gone, and nothing is there that nobody knows (`docs/LIMITATIONS.md`).
fn has_rules_alone(old: &State, new: &State, now: &State) -> bool {
    let rules = "firewall/9.fw";
    now.without(rules) == old.without(rules)
        || new
            .without("configs/9.conf")
            .is_within(&now.without("configs/9.conf"))
}

/// A place with what is there before, again and again.
pub(crate) struct Work {
    _dir: TempDir,
    template: PathBuf,
    pub(crate) place: PathBuf,
}

impl Work {
    pub(crate) fn new(case: &Case) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let work = Self {
            _dir: dir,
            template: root.join("template"),
            place: root.join("place"),
        };
        fs::create_dir(&work.place).unwrap();
        for before in case.before {
            work.make(*before);
        }
        fs::rename(&work.place, &work.template).unwrap();
        work.reset();
        work
    }

    /// Everything as it was before the command.
    pub(crate) fn reset(&self) {
        if self.place.exists() {
            fs::remove_dir_all(&self.place).unwrap();
        }
        copy(&self.template, &self.place);
    }

    pub(crate) fn command(&self, case: &Case) -> Vec<String> {
        self.words(case.command)
    }

    /// The next runs; what they say.
    pub(crate) fn next(&self, case: &Case) -> String {
        let again = [case.command];
        let next = if case.next.is_empty() {
            &again
        } else {
            case.next
        };
        next.iter().map(|line| self.run(line)).collect()
    }

    fn run(&self, line: &str) -> String {
        let words = self.words(line);
        let mut command = Command::new(&words[0]);
        let output = command.args(&words[1..]).stdin(Stdio::null()).output();
        let output = output.unwrap();
        format!(
            "{}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
    }

    fn words(&self, line: &str) -> Vec<String> {
        let place = self.place.to_str().unwrap();
        let words = line.replace("PLACES", PLACES).replace("DUMP", DUMP);
        let words = words.split_whitespace().map(|word| match word {
            "vma" => env!("CARGO_BIN_EXE_vma").to_owned(),
            "fleece" => env!("CARGO_BIN_EXE_fleece").to_owned(),
            word => word.replace('@', place),
        });
        words.collect()
    }

    fn write(&self, name: &str, data: impl AsRef<[u8]>) {
        let path = self.place.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }

    fn make(&self, before: Before) {
        const CONFIG: &str = "cores: 2\nmemory: 256\nscsi0: gone:vm-1-disk-0\n";
        let mut disk = vec![0x11; 200_000];
        disk[70_000..140_000].fill(0);
        disk.resize(262_144, 0x22);
        match before {
            Disk => {
                self.write("disk.raw", &disk);
                self.write("qemu-server.conf", CONFIG);
                fs::create_dir_all(self.place.join("dump")).unwrap();
            }
            Archive => {
                self.write("disk.raw", &disk);
                self.write("qemu-server.conf", CONFIG);
                self.write("qemu-server.fw", "[OPTIONS]\nenable: 1\n");
                self.run(
                    "vma create @/a.vma -c @/qemu-server.conf -c @/qemu-server.fw -d \
                     format=raw:drive-scsi0=@/disk.raw",
                );
                let whole = fs::read(self.place.join("a.vma")).unwrap();
                self.write("cut.vma", &whole[..whole.len() - 3000]);
            }
            Backups => {
                self.make(Disk);
                for day in ["01", "02"] {
                    let name = DUMP.replace("01_01", &format!("01_{day}"));
                    self.run(&format!(
                        "vma create @/dump/{name} -d format=raw:drive-scsi0=@/disk.raw"
                    ));
                    self.write(&format!("dump/{name}.notes"), "old");
                    for (kind, text) in [(".log", "log"), (".stats.json", "record")] {
                        self.write(&format!("dump/{}", name.replace(".vma", kind)), text);
                    }
                }
            }
            Storages => {
                let fast = self.place.join("fast");
                for folder in ["fast/images", "configs", "firewall", "state"] {
                    fs::create_dir_all(self.place.join(folder)).unwrap();
                }
                let one =
                    |id| format!("dir: {id}\n\tpath {}\n\tcontent images\n\n", fast.display());
                self.write("storage.cfg", one("fast") + &one("slow"));
            }
            Guest => {
                self.write(
                    "configs/9.conf",
                    "cores: 1\nscsi0: fast:9/vm-9-disk-0.raw,size=4K\n",
                );
                self.write("firewall/9.fw", "[OPTIONS]\nenable: 0\n");
                self.write("fast/images/9/vm-9-disk-0.raw", [0x77; 4096]);
            }
            Folder => {
                for name in [
                    "disk-drive-scsi0.raw",
                    "start.sh",
                    "domain.xml",
                    "qemu-server.conf",
                ] {
                    self.write(&format!("folder/{name}"), "old");
                }
            }
            Killed => {
                let words = self.words(BACKUP.command);
                let mut strace = Command::new("strace");
                strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync"]);
                strace
                    .arg("-P")
                    .arg(self.place.join(format!("dump/.{DUMP}.tmp")));
                strace.args(["-e", "inject=fsync:signal=SIGKILL"]);
                strace.args(words).output().unwrap();
                let unfinished = self.place.join(format!("dump/.{DUMP}.tmp"));
                assert!(unfinished.exists(), "no backup was killed");
                for entry in fs::read_dir(self.place.join("state")).unwrap() {
                    let path = entry.unwrap().path();
                    if [".lock", ".way"]
                        .iter()
                        .any(|lock| path.to_str().unwrap().ends_with(lock))
                    {
                        fs::remove_file(path).unwrap();
                    }
                }
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}
