//! Directories whose entries outlive a power failure.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// Syncs the entries of a directory, where its file system can; others are as durable as they get.
///
/// # Errors
/// Those of `open` and `fsync`.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// Syncs the directory that `path` is in.
///
/// # Errors
/// As [`sync_directory`].
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    sync_directory(directory_of(path))
}

/// Makes a directory, and the missing ones above it, that are still there after a power failure. Returns
/// those that were made, the innermost first.
///
/// # Errors
/// Those of `mkdir` and of the syncs; what was made is removed then.
pub fn create_directories(path: &Path, mode: u32) -> io::Result<Vec<PathBuf>> {
    let missing: Vec<&Path> = path
        .ancestors()
        .filter(|path| !path.as_os_str().is_empty())
        .take_while(|path| !path.is_dir())
        .collect();
    let mut made = Vec::new();
    for directory in missing.into_iter().rev() {
        let result = match DirBuilder::new().mode(mode).create(directory) {
            // Somebody else was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                made.insert(0, directory.to_owned());
                sync_directory_of(directory)
            }
        };
        if let Err(error) = result {
            for directory in &made {
                let _ = std::fs::remove_dir(directory);
            }
            return Err(error);
        }
    }
    Ok(made)
}

/// That nobody but us and root can make, rename or remove anything in a directory.
///
/// # Errors
/// Kind `PermissionDenied`, with what to do about it; those of `stat`.
pub fn check_owned(path: &Path) -> io::Result<()> {
    let directory = path.metadata()?;
    let (owner, us) = (directory.uid(), geteuid().as_raw());
    let shown = path.display();
    let message = if owner != us && owner != 0 {
        format!("{shown} belongs to user {owner}, who could put anything there")
    } else if directory.mode() & 0o022 != 0 {
        format!("others can write to {shown}; `chmod go-w` it")
    } else {
        return Ok(());
    };
    Err(io::Error::new(ErrorKind::PermissionDenied, message))
}

pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_that_others_can_write_to_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        check_owned(dir.path()).unwrap();
        for mode in [0o770, 0o707, 0o1777] {
            std::fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
            let error = check_owned(dir.path()).unwrap_err();
            assert!(error.to_string().contains("chmod go-w"), "{error}");
        }
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(4711), None).unwrap();
            let error = check_owned(dir.path()).unwrap_err();
            assert!(error.to_string().contains("user 4711"), "{error}");
        }
    }

    #[test]
    fn missing_directories_are_made_and_named_from_the_inside() {
        let dir = tempfile::tempdir().unwrap();
        let (outer, inner) = (dir.path().join("a"), dir.path().join("a/b"));
        let made = create_directories(&inner, 0o700).unwrap();
        assert_eq!(made, [inner.clone(), outer]);
        assert!(create_directories(&inner, 0o700).unwrap().is_empty());
    }

    #[test]
    fn what_was_made_before_a_failure_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let too_long = "x".repeat(300);
        let path = dir.path().join("a").join(too_long);
        create_directories(&path, 0o700).unwrap_err();
        assert!(!dir.path().join("a").exists());
    }
}
