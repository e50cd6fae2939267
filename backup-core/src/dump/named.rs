//! The archive among files that a shell has named.

use std::path::{Path, PathBuf};

use super::side_files;
use crate::report::error::{Error, ErrorKind};

/// The one of these files that lies beside none of the others; a shell names all of them for `ARCHIVE*`.
///
/// # Errors
/// Kind [`ErrorKind::Request`] if there are several.
pub fn only_archive(files: &[PathBuf]) -> Result<&Path, Error> {
    const KINDS: [&str; 8] = [
        "idx",
        "sig",
        "verified",
        "drilled",
        "log",
        "stats.json",
        "notes",
        "protected",
    ];
    let is_beside = |file: &PathBuf, archive: &PathBuf| {
        let mut kinds = KINDS.iter();
        kinds.any(|kind| *file == side_files::path(archive, kind))
    };
    let archives: Vec<&PathBuf> = files
        .iter()
        .filter(|file| !files.iter().any(|other| is_beside(file, other)))
        .collect();
    match archives.as_slice() {
        [archive] => Ok(archive),
        [] => Err(Error::new(ErrorKind::Request, "no archive is named")),
        several => {
            let names = several.iter().map(|path| path.display().to_string());
            let names: Vec<String> = names.collect();
            let message = format!(
                "one archive is restored at a time, and these are several: {}",
                names.join(", ")
            );
            Err(Error::new(ErrorKind::Request, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_an_archive_is_none() {
        let files = |names: &[&str]| -> Vec<PathBuf> {
            names
                .iter()
                .map(|name| Path::new("/a").join(name))
                .collect()
        };
        let archive = "vzdump-qemu-1-2026_01_01-00_00_00.vma.zst";
        let all = files(&[
            "vzdump-qemu-1-2026_01_01-00_00_00.log",
            "vzdump-qemu-1-2026_01_01-00_00_00.stats.json",
            archive,
            &format!("{archive}.notes"),
            &format!("{archive}.protected"),
            &format!("{archive}.idx"),
            &format!("{archive}.verified"),
        ]);
        assert_eq!(only_archive(&all).unwrap(), Path::new("/a").join(archive));
        // Alone, it is what was meant, whatever it is.
        assert!(only_archive(&files(&["x.log"])).is_ok());
        for several in [files(&["a.vma", "b.vma"]), files(&["a.vma", "b.vma.notes"])] {
            let error = only_archive(&several).unwrap_err().to_string();
            assert!(error.contains("several"), "{error}");
        }
    }
}
