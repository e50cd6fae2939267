//! Guests behind a path with a `*`, which is the guest's name.

use std::io;
use std::path::{Path, PathBuf};

/// A guest that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Found {
    /// What stands in the place of the `*`: the guest's number or name.
    pub name: String,
    /// The whole path.
    pub path: PathBuf,
}

/// What is there under a path that has one `*`, sorted: of `/run/qemu/*.qmp` and `/run/qemu/web.qmp` that is `web`, and so
/// it is of `/srv/*/disk.raw` and `/srv/web/disk.raw`. Neither hidden names are found, nor ones that are not UTF-8. A
/// directory that is not there has nothing in it.
///
/// # Errors
/// `InvalidInput` if there is not exactly one `*`; those of reading the directory.
pub fn find(pattern: &str) -> io::Result<Vec<Found>> {
    let (before, after) = pattern
        .split_once('*')
        .filter(|(_, after)| !after.contains('*'))
        .ok_or_else(|| {
            let message = format!("{pattern:?} needs exactly one *, where the guest's name stands");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
    let (directory, prefix) = match before.rsplit_once('/') {
        Some(("", prefix)) => (Path::new("/"), prefix),
        Some((directory, prefix)) => (Path::new(directory), prefix),
        None => (Path::new("."), before),
    };
    let (suffix, below) = match after.split_once('/') {
        Some((suffix, below)) => (suffix, Some(below)),
        None => (after, None),
    };
    let entries = match directory.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let file_name = entry.file_name();
        let name = file_name
            .to_str()
            .filter(|name| !name.starts_with('.'))
            .and_then(|name| name.strip_prefix(prefix)?.strip_suffix(suffix))
            .filter(|name| !name.is_empty());
        let path = below.map_or_else(|| entry.path(), |below| entry.path().join(below));
        if let Some(name) = name
            && path.exists()
        {
            found.push(Found {
                name: name.to_owned(),
                path,
            });
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(pattern: &Path) -> Vec<String> {
        let found = find(pattern.to_str().unwrap()).unwrap();
        for found in &found {
            assert!(found.path.exists());
        }
        found.into_iter().map(|found| found.name).collect()
    }

    #[test]
    fn the_star_is_the_name_of_a_file_or_of_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in ["web.qmp", "100.qmp", ".hidden.qmp", ".qmp", "db.qga"] {
            fs::write(root.join(name), "").unwrap();
        }
        fs::create_dir(root.join("vm-mail")).unwrap();
        fs::create_dir(root.join("vm-none")).unwrap();
        fs::write(root.join("vm-mail/disk.raw"), "").unwrap();
        assert_eq!(names(&root.join("*.qmp")), ["100", "web"]);
        assert_eq!(names(&root.join("vm-*/disk.raw")), ["mail"]);
        assert_eq!(names(&root.join("none/*.qmp")), [""; 0]);
        assert!(find("/run/web.qmp").is_err());
        assert!(find("/run/*/*.qmp").is_err());
    }
}
