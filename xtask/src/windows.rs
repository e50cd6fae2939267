//! `vma` for Windows: built, and tried by Wine on the archives that every `vma` can read.

use std::fs;
use std::path::{Path, PathBuf};

use crate::foreign::Foreign;
use crate::foreign::trial::{Shell, Trial, copy, failed, text};
use crate::run::{Outcome, Run, has, workspace};

const VMA: Foreign = Foreign {
    target: "x86_64-pc-windows-gnu",
    programs: "--bin=vma",
    environment: &[],
};

/// Builds it as it is released, and packs it into `folder`: the archive.
pub(crate) fn release(folder: &Path) -> Result<PathBuf, String> {
    pack(&VMA.release()?.join("vma.exe"), folder)
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

/// Builds it, and tries it.
pub(crate) fn check() -> Outcome {
    let folder = match VMA.quickly()? {
        Ok(folder) => folder,
        Err(why) => return Ok(format!("not checked: {why}")),
    };
    if !has("wine") {
        return Ok("built, not run: there is no wine".to_owned());
    }
    let trial = Trial::prepare("windows")?;
    let program = prepare(&trial.folder, &folder.join("vma.exe"))?;
    let script = format!(
        "Z:{}",
        trial.script(Shell::Windows, "vma.exe")?.replace('/', "\\")
    );
    trial.compare(Shell::Windows, &wine(&["cmd", "/c", &script]).quietly()?)?;
    trial.serve(wine(&[&program]))?;
    Ok(trial.note("in Wine"))
}

/// Puts the program into a folder, from the archive that people get, with the library that Wine lacks: its path.
fn prepare(folder: &Path, program: &Path) -> Result<String, String> {
    let package = text(&pack(program, folder)?);
    let unpacked = text(&folder.join("unpacked"));
    Run::new("python3", &["-m", "zipfile", "-e", &package, &unpacked]).quietly()?;
    let name = package.strip_suffix(".zip").unwrap_or(&package);
    let name = Path::new(name).file_name().unwrap_or_default();
    let program = folder.join("vma.exe");
    copy(&Path::new(&unpacked).join(name).join("vma.exe"), &program)?;
    let library = text(&folder.join("bcryptprimitives.dll"));
    let source = text(&workspace().join("xtask/src/windows/process_prng.c"));
    let link = ["-shared", "-o", &library, &source, "-ladvapi32"];
    Run::new("x86_64-w64-mingw32-gcc", &link).quietly()?;
    Ok(text(&program))
}

fn wine(arguments: &[&str]) -> Run {
    Run::new("wine", arguments)
        .env("WINEPREFIX", workspace().join("target/wine"))
        .env("WINEDEBUG", "-all")
        // It would ask for their installation in a window.
        .env("WINEDLLOVERRIDES", "mscoree=d;mshtml=d")
        .env("DISPLAY", "")
        .env("TZ", "UTC")
}
