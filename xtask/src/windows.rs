//! `vma` for Windows: built, and tried by Wine on the archives that every `vma` can read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::{Outcome, Run, add_target, has, workspace};

const TARGET: &str = "x86_64-pc-windows-gnu";

/// As in `musl.rs`: everything is compiled anew, so without what costs time.
const QUICKLY: [&str; 4] = [
    "--config=profile.dev.debug=false",
    "--config=profile.dev.package.\"*\".opt-level=0",
    "--config=profile.dev.package.fleece-vma-format.opt-level=0",
    "--quiet",
];

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

/// Builds it as it is released, and packs it into `folder`: the archive.
pub(crate) fn release(folder: &Path) -> Result<PathBuf, String> {
    let _added = add_target(TARGET)?;
    pack(&build(&["--release", "--locked"], "release")?, folder)
}

/// An archive of the one program, with what is to be read.
fn pack(program: &Path, folder: &Path) -> Result<PathBuf, String> {
    let name = format!("vma-{}-x86_64-windows", env!("CARGO_PKG_VERSION"));
    let tree = folder.join(&name);
    let _fresh = fs::remove_dir_all(&tree);
    fs::create_dir_all(&tree).map_err(|error| failed(&tree, &error))?;
    copy(program, &tree.join("vma.exe"))?;
    for file in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&workspace().join(file), &tree.join(file))?;
    }
    let package = folder.join(format!("{name}.zip"));
    let _fresh = fs::remove_file(&package);
    // Two of one commit are equal; the format's time begins in 1980.
    let touch = ["-exec", "touch", "--date=1980-01-02 UTC", "{}", "+"];
    Run::new("find", &[&[&*text(&tree)], &touch[..]].concat()).quietly()?;
    // Python has it, and the tests have Python.
    let zip = ["-m", "zipfile", "-c", &text(&package), &text(&tree)];
    Run::new("python3", &zip).env("TZ", "UTC").quietly()?;
    Ok(package)
}

/// As it is soonest built: the program, or why this machine cannot.
pub(crate) fn quickly() -> Result<Result<PathBuf, String>, String> {
    match add_target(TARGET) {
        Ok(_) => build(&QUICKLY, "debug").map(Ok),
        Err(why) => Ok(Err(why)),
    }
}

fn build(options: &[&str], folder: &str) -> Result<PathBuf, String> {
    let build = [
        "build",
        "--bin=vma",
        "--package=fleece-bins",
        "--target",
        TARGET,
    ];
    Run::cargo(&[&build[..], options].concat()).quietly()?;
    let folder = workspace().join("target").join(TARGET).join(folder);
    Ok(folder.join("vma.exe"))
}

/// Builds it, and tries it.
pub(crate) fn check() -> Outcome {
    let program = match quickly()? {
        Ok(program) => program,
        Err(why) => return Ok(format!("not checked: {why}")),
    };
    if !has("wine") {
        return Ok("built, not run: there is no wine".to_owned());
    }
    let trial = Trial::prepare(&program)?;
    let said = trial.run()?;
    trial.compare(&said)?;
    Ok(format!("{} archives, in Wine", ARCHIVES.len()))
}

/// One start of Wine, in which all is tried: it takes longer than what it does.
struct Trial {
    folder: PathBuf,
}

impl Trial {
    fn prepare(program: &Path) -> Result<Self, String> {
        let folder = workspace().join("target/windows");
        let _fresh = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        let trial = Self { folder };
        // From the archive that people get.
        let package = text(&pack(program, &trial.folder)?);
        let unpacked = text(&trial.folder.join("unpacked"));
        Run::new("python3", &["-m", "zipfile", "-e", &package, &unpacked]).quietly()?;
        let name = package.strip_suffix(".zip").unwrap_or(&package);
        let name = Path::new(name).file_name().unwrap_or_default();
        let vma = Path::new(&unpacked).join(name).join("vma.exe");
        copy(&vma, &trial.folder.join("vma.exe"))?;
        let library = trial.folder.join("bcryptprimitives.dll");
        let source = workspace().join("xtask/src/windows/process_prng.c");
        Run::new(
            "x86_64-w64-mingw32-gcc",
            &[
                "-shared",
                "-o",
                &text(&library),
                &text(&source),
                "-ladvapi32",
            ],
        )
        .quietly()?;
        for archive in ARCHIVES {
            copy(&golden(archive), &trial.folder.join(archive))?;
        }
        damage(&trial.folder)?;
        let hostile = header_with_a_device_name(&trial.folder.join("config-only.vma"))?;
        write(&trial.folder.join("hostile.vma"), &hostile)?;
        write(&trial.folder.join("trial.bat"), script().as_bytes())?;
        Ok(trial)
    }

    fn run(&self) -> Result<Said, String> {
        let prefix = workspace().join("target/wine");
        let script = format!(
            "cd /d Z:{} && trial.bat",
            text(&self.folder).replace('/', "\\")
        );
        let said = Run::new("wine", &["cmd", "/c", &script])
            .env("WINEPREFIX", prefix)
            .env("WINEDEBUG", "-all")
            // It would ask for their installation in a window.
            .env("WINEDLLOVERRIDES", "mscoree=d;mshtml=d")
            .env("DISPLAY", "")
            .env("TZ", "UTC")
            .quietly()?;
        Ok(Said::parse(&said.replace('\r', "")))
    }

    /// What was said and made is what the archives' manifest says.
    fn compare(&self, said: &Said) -> Result<(), String> {
        let manifest = read(&golden("manifest.json"))?;
        let manifest: Value =
            serde_json::from_slice(&manifest).map_err(|error| format!("manifest: {error}"))?;
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
            ("qcow2", 2),
        ] {
            said.ended(step, code)?;
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
        if hostile != ["%4EUL.emu-srv.conf"] {
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

/// What is tried, as a script for Windows' shell: before each step its name, behind it its exit code.
fn script() -> String {
    let mut script = "@echo off\n".to_owned();
    let mut step = |name: &str, command: &str| {
        script.push_str(&format!(
            "echo == {name}\nvma.exe {command}\necho ==^> %errorlevel%\n"
        ));
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
    step("qcow2", "extract multi.vma qcow2 --format qcow2");
    // Its own code would be that of the last step.
    script.push_str("exit /b 0\n");
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

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| failed(path, &error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| failed(path, &error))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to)
        .map(drop)
        .map_err(|error| failed(from, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
