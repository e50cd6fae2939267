//! What every `vma` does with the archives that every `vma` can read, whatever it runs on.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::{Run, workspace};
use crate::test::path_with_lab;

/// Archives of every container.
const ARCHIVES: [&str; 8] = [
    "config-only.vma",
    "live.vma",
    "multi.vma",
    "single.vma",
    "single.vma.gz",
    "single.vma.lzo",
    "single.vma.zst",
    "zero.vma",
];

/// Whose script it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    /// `cmd`.
    Windows,
    /// `sh`.
    Unix,
}

/// A folder with archives, and what is made of them. All is tried by one script: Wine takes longer to start than for that.
pub(crate) struct Trial {
    pub(crate) folder: PathBuf,
}

impl Trial {
    /// In a fresh folder of this name.
    pub(crate) fn prepare(name: &str) -> Result<Self, String> {
        let folder = workspace().join("target").join(name);
        let _fresh = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        for archive in ARCHIVES {
            copy(&golden(archive), &folder.join(archive))?;
        }
        damage(&folder)?;
        let hostile = header_with_a_device_name(&folder.join("config-only.vma"))?;
        write(&folder.join("hostile.vma"), &hostile)?;
        file_system(&folder)?;
        Ok(Self { folder })
    }

    /// Writes the script that tries `vma`, and gives its path.
    pub(crate) fn script(&self, shell: Shell, vma: &str) -> Result<String, String> {
        let name = match shell {
            Shell::Windows => "trial.bat",
            Shell::Unix => "trial.sh",
        };
        let path = self.folder.join(name);
        write(&path, script(shell, vma).as_bytes())?;
        Ok(text(&path))
    }

    pub(crate) fn note(&self, place: &str) -> String {
        format!("{} archives, {place}", ARCHIVES.len())
    }

    /// Serves disks over TCP, and compares what `nbdcopy` reads.
    pub(crate) fn serve(&self, vma: Run) -> Result<(), String> {
        let archive = text(&self.folder.join("multi.vma"));
        let mut server = vma.args(&["serve", &archive, "--tcp"]).started()?;
        let compared = self.served(server.stdout.take());
        let _ended = server.kill().and_then(|()| server.wait());
        compared
    }

    fn served(&self, uris: Option<impl std::io::Read>) -> Result<(), String> {
        let manifest = manifest()?;
        let files = field(field(&manifest, "multi.vma"), "files");
        let files = files.as_object().into_iter().flatten();
        let disks = files.filter(|(name, _)| name.ends_with(".raw")).count();
        let lines = uris
            .into_iter()
            .flat_map(|uris| BufReader::new(uris).lines());
        let mut served = 0_usize;
        for uri in lines.take(disks) {
            let uri = uri.map_err(|error| error.to_string())?;
            let uri = uri.trim_end();
            let device = uri.rsplit('/').next().unwrap_or_default();
            let name = format!("disk-{device}.raw");
            Run::new("nbdcopy", &[uri, &text(&self.folder.join(&name))]).quietly()?;
            self.check_file(
                &name,
                field(field(field(&manifest, "multi.vma"), "files"), &name),
            )?;
            served = served.saturating_add(1);
        }
        match served == disks {
            true => Ok(()),
            false => Err(format!("{served} of {disks} disks were served")),
        }
    }

    /// What was said and made is what the archives' manifest says.
    pub(crate) fn compare(&self, shell: Shell, said: &str) -> Result<(), String> {
        let said = Said::parse(&said.replace('\r', ""));
        let manifest = manifest()?;
        for archive in ARCHIVES {
            let plain = archive
                .rsplit_once(".vma.")
                .map_or_else(|| archive.to_owned(), |(stem, _)| format!("{stem}.vma"));
            let truth = field(&manifest, &plain);
            for step in ["list", "verify", "info", "extract"] {
                said.ended(&format!("{step} {archive}"), 0)?;
            }
            let listed = said.text(&format!("list {archive}"));
            if Some(listed) != field(truth, "list").as_str() {
                return Err(format!("{archive}: `vma list` says {listed:?}"));
            }
            self.check_files(&format!("out-{archive}"), field(truth, "files"))?;
        }
        for (step, code) in [
            ("config", 0),
            ("again", 1),
            ("damaged", 4),
            ("recover", 4),
            ("one", 0),
            ("hostile", 0),
            ("usage", 2),
        ] {
            said.ended(step, code)?;
        }
        for image in IMAGES {
            said.ended(&format!("cat {image}"), 0)?;
            said.ended(&format!("ls {image}"), 0)?;
            if said.text(&format!("cat {image}")) != FILE {
                return Err(format!("{image}: `vma files` reads something else"));
            }
        }
        let multi = field(field(&manifest, "multi.vma"), "files");
        let config = self.folder.join("out-multi.vma/qemu-server.conf");
        if said.text("config").as_bytes() != read(&config)? {
            return Err("`vma config` prints something else".to_owned());
        }
        let names = names(&self.folder.join("one"))?;
        let disks: Vec<_> = names
            .iter()
            .filter(|name| name.starts_with("disk-"))
            .collect();
        let [disk] = disks.as_slice() else {
            return Err(format!("of one device, {names:?} were extracted"));
        };
        self.check_file(&format!("one/{disk}"), field(multi, disk))?;
        let hostile = self.names("hostile")?;
        let expected = match shell {
            Shell::Windows => "%4EUL.emu-srv.conf",
            Shell::Unix => "NUL.emu-srv.conf",
        };
        if hostile != [expected] {
            return Err(format!(
                "a configuration with the name of a device became {hostile:?}"
            ));
        }
        let recovered = self.names("recovered")?;
        if !recovered.iter().any(|name| name.ends_with(".map")) {
            return Err(format!("recovered were {recovered:?}"));
        }
        Ok(())
    }

    fn names(&self, folder: &str) -> Result<Vec<String>, String> {
        names(&self.folder.join(folder))
    }

    fn check_files(&self, folder: &str, truth: &Value) -> Result<(), String> {
        let wanted: BTreeMap<&String, &Value> = truth.as_object().into_iter().flatten().collect();
        let found = self.names(folder)?;
        if !found.iter().eq(wanted.keys().copied()) {
            return Err(format!("{folder} holds {found:?}"));
        }
        for (name, truth) in wanted {
            self.check_file(&format!("{folder}/{name}"), truth)?;
        }
        Ok(())
    }

    fn check_file(&self, name: &str, truth: &Value) -> Result<(), String> {
        let path = text(&self.folder.join(name));
        let sum = Run::new("sha256sum", &[&path]).quietly()?;
        match sum.split(' ').next() == field(truth, "sha256").as_str() {
            true => Ok(()),
            false => Err(format!("{name} is not what is in the archive")),
        }
    }
}

/// A field of an object, or null.
fn field<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// What is tried, as a script for a shell: before each step its name, behind it its exit code.
fn script(shell: Shell, vma: &str) -> String {
    let (mut script, code) = match shell {
        Shell::Windows => ("@echo off\ncd /d %~dp0\n".to_owned(), "==^> %errorlevel%"),
        Shell::Unix => ("cd \"$(dirname \"$0\")\"\n".to_owned(), "\"==> $?\""),
    };
    let mut step = |name: &str, command: &str| {
        script.push_str(&format!("echo == {name}\n{vma} {command}\necho {code}\n"));
    };
    for archive in ARCHIVES {
        step(&format!("list {archive}"), &format!("list {archive}"));
        step(
            &format!("info {archive}"),
            &format!("info {archive} --json"),
        );
        step(&format!("verify {archive}"), &format!("verify {archive}"));
        let out = format!("out-{archive}");
        step(
            &format!("extract {archive}"),
            &format!("extract {archive} {out}"),
        );
    }
    step("config", "config multi.vma");
    step("again", "extract multi.vma out-multi.vma");
    step("damaged", "verify damaged.vma");
    step("recover", "recover damaged.vma recovered");
    step("one", "extract multi.vma one -d drive-virtio1");
    step("hostile", "extract hostile.vma hostile");
    step("usage", "extract");
    for image in IMAGES {
        step(
            &format!("ls {image}"),
            &format!("files {image} disk ls -l /"),
        );
        step(
            &format!("cat {image}"),
            &format!("files {image} disk cat /d/hello"),
        );
    }
    // Its own code would be that of the last step.
    script.push_str(match shell {
        Shell::Windows => "exit /b 0\n",
        Shell::Unix => "exit 0\n",
    });
    script
}

/// What the steps of a script have said.
struct Said(BTreeMap<String, (String, Option<i32>)>);

impl Said {
    fn parse(output: &str) -> Self {
        let mut steps = BTreeMap::new();
        for step in output.split("== ").skip(1) {
            let (name, rest) = step.split_once('\n').unwrap_or((step, ""));
            let (text, code) = rest.split_once("==> ").unwrap_or((rest, ""));
            steps.insert(name.to_owned(), (text.to_owned(), code.trim().parse().ok()));
        }
        Self(steps)
    }

    fn text(&self, step: &str) -> &str {
        self.0.get(step).map_or("", |(text, _)| text)
    }

    fn ended(&self, step: &str, code: i32) -> Result<(), String> {
        match self.0.get(step) {
            Some((_, Some(ended))) if *ended == code => Ok(()),
            other => Err(format!(
                "{step}: expected exit code {code}, found {other:?}"
            )),
        }
    }
}

/// Images with a file system.
const IMAGES: [&str; 2] = ["disk.img", "disk.qcow2"];

/// What a file on it says.
const FILE: &str = "hello\n";

fn file_system(folder: &Path) -> Result<(), String> {
    let tree = folder.join("tree");
    let inner = tree.join("d");
    fs::create_dir_all(&inner).map_err(|error| failed(&inner, &error))?;
    write(&inner.join("hello"), FILE.as_bytes())?;
    let [raw, qcow2] = IMAGES.map(|image| text(&folder.join(image)));
    let make = ["-q", "-t", "ext4", "-d", &text(&tree), &raw, "8M"];
    Run::new("mke2fs", &make).quietly()?;
    let convert = ["convert", "-f", "raw", "-O", "qcow2", "-c", &raw, &qcow2];
    let path = path_with_lab()?;
    Run::new("qemu-img", &convert).env("PATH", path).quietly()?;
    Ok(())
}

/// An archive that was cut off.
fn damage(folder: &Path) -> Result<(), String> {
    let mut archive = read(&folder.join("live.vma"))?;
    archive.truncate(700_000);
    write(&folder.join("damaged.vma"), &archive)
}

/// The same header with a configuration that Windows would take for a device. Its checksum is made anew by `md5sum`.
fn header_with_a_device_name(archive: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = read(archive)?;
    let (name, hostile) = (b"qemu-server.conf\0", b"NUL.emu-srv.conf\0");
    let mut places = bytes.windows(name.len());
    let place = places.position(|there| there == name);
    put(&mut bytes, place.unwrap_or(usize::MAX), hostile)?;
    put(&mut bytes, CHECKSUM, &[0; 16])?;
    let size = bytes.get(SIZE..).and_then(|rest| rest.first_chunk());
    let size = size.map_or(0, |size| u32::from_be_bytes(*size));
    let size = usize::try_from(size).map_err(|error| error.to_string())?;
    let header = archive.with_file_name("header");
    write(&header, bytes.get(..size).ok_or("the header is cut off")?)?;
    let sum = Run::new("md5sum", &[&text(&header)]).quietly()?;
    let digits = sum.split(' ').next().unwrap_or_default();
    let sum = u128::from_str_radix(digits, 16).map_err(|error| error.to_string())?;
    put(&mut bytes, CHECKSUM, &sum.to_be_bytes())?;
    Ok(bytes)
}

/// Where the header has its checksum (`docs/FORMAT.md`).
const CHECKSUM: usize = 32;

/// Where it has its own size.
const SIZE: usize = 56;

fn put(bytes: &mut [u8], place: usize, new: &[u8]) -> Result<(), String> {
    let end = place.saturating_add(new.len());
    let there = bytes
        .get_mut(place..end)
        .ok_or("no such place in the header")?;
    there.copy_from_slice(new);
    Ok(())
}

fn golden(name: &str) -> PathBuf {
    workspace().join("vma-format/tests/data").join(name)
}

fn names(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

fn manifest() -> Result<Value, String> {
    let manifest = read(&golden("manifest.json"))?;
    serde_json::from_slice(&manifest).map_err(|error| format!("manifest: {error}"))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| failed(path, &error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| failed(path, &error))
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to)
        .map(drop)
        .map_err(|error| failed(from, &error))
}

pub(crate) fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}
