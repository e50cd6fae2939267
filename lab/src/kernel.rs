//! The guest's kernel and its modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::place;

/// What it is always told. On a busy host it finds its timer too slow to be true, and panics: it is not to look.
pub(crate) const ARGUMENTS: &str =
    "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check tsc=reliable";

/// The kernel's file.
pub(crate) fn image() -> Result<PathBuf, Error> {
    let boot = place::guest().join("boot");
    files(&boot)?
        .into_iter()
        .find(|file| name(file).starts_with("vmlinuz-"))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Unusable,
                format!("no kernel in {}", boot.display()),
            )
        })
}

/// A module's name and contents.
pub(crate) type Module = (String, Vec<u8>);

/// `wanted` modules and what they depend on, each after its dependencies.
///
/// Names that no module has are skipped: they are built in.
pub(crate) fn modules(wanted: &[&str]) -> Result<Vec<Module>, Error> {
    let mut index = BTreeMap::new();
    collect(&place::guest().join("lib/modules"), &mut index)?;
    let (mut seen, mut ordered) = (BTreeSet::new(), Vec::new());
    for module in wanted {
        add(module, &index, &mut seen, &mut ordered)?;
    }
    Ok(ordered)
}

fn add(
    module: &str,
    index: &BTreeMap<String, PathBuf>,
    seen: &mut BTreeSet<String>,
    ordered: &mut Vec<Module>,
) -> Result<(), Error> {
    let Some(path) = index.get(module) else {
        return Ok(());
    };
    if !seen.insert(module.to_owned()) {
        return Ok(());
    }
    let contents = fs::read(path).map_err(Error::io(format!("read {}", path.display())))?;
    for dependency in dependencies(&contents) {
        add(&dependency, index, seen, ordered)?;
    }
    ordered.push((module.to_owned(), contents));
    Ok(())
}

/// The names in a module's own `depends=` line, which is among the NUL-ended strings of its
/// `.modinfo` section (what `modinfo` prints; `depmod` would make `modules.dep` of it).
fn dependencies(module: &[u8]) -> Vec<String> {
    let line = module
        .split(|byte| *byte == 0)
        .find_map(|text| text.strip_prefix(b"depends="));
    String::from_utf8_lossy(line.unwrap_or_default())
        .split(',')
        .filter(|name| !name.is_empty())
        .map(canonical)
        .collect()
}

/// File names may have `-` where the kernel's name of a module has `_`.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// All modules below `folder` by name.
fn collect(folder: &Path, index: &mut BTreeMap<String, PathBuf>) -> Result<(), Error> {
    for path in files(folder)? {
        if path.is_dir() {
            collect(&path, index)?;
        } else if let Some(module) = name(&path).strip_suffix(".ko") {
            index.insert(canonical(module), path);
        }
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = |error| Error::io(format!("read {}", folder.display()))(error);
    fs::read_dir(folder)
        .map_err(read)?
        .map(|entry| Ok(entry.map_err(read)?.path()))
        .collect()
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_stand_in_the_modules_information() {
        let module = b"\x7fELF\0license=GPL\0depends=virtio,virtio-ring\0name=x\0";
        assert_eq!(dependencies(module), ["virtio", "virtio_ring"]);
        assert!(dependencies(b"\0depends=\0name=x\0").is_empty());
    }
}
