//! What is mounted where.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    pub(crate) fstype: String,
    /// The file system's own options: `rw,vers=4.2,…`.
    pub(crate) options: String,
}

/// The file system mounted at exactly this path. Asks the kernel's table only, never the file
/// system, which may be dead.
pub(crate) fn at(path: &Path) -> Result<Option<Mount>, Error> {
    // Of several at one place the last one is seen.
    Ok(table()?.into_iter().rfind(|mount| mount.point == path))
}

fn table() -> Result<Vec<Mount>, Error> {
    let table = Path::new("/proc/self/mountinfo");
    let text = fs::read(table).map_err(|source| Error::io("read the mounts", table, source))?;
    Ok(parse(&text))
}

/// Whether `path` is on a file system that another host or a program answers for: so others may see the
/// same files, and it can hang. Asks the kernel's table only.
pub(crate) fn is_remote(path: &Path) -> Result<bool, Error> {
    const REMOTE: [&str; 14] = [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "gfs2",
        "glusterfs",
        "lustre",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
        "smbfs",
        "virtiofs",
    ];
    let is =
        |fstype: &str| REMOTE.contains(&fstype) || fstype == "fuse" || fstype.starts_with("fuse.");
    Ok(holding(&table()?, path).is_some_and(|mount| is(&mount.fstype)))
}

/// The mount that `path` is in.
fn holding<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let around = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    // Of several at one place the last one is seen.
    around.max_by_key(|mount| mount.point.components().count())
}

/// The file system mounted at `path` if its type is one of `fstypes`, any if there are none.
pub(crate) fn require(path: &Path, fstypes: &[&str], advice: &str) -> Result<(), Error> {
    match at(path)? {
        Some(mount) if fstypes.is_empty() || fstypes.contains(&mount.fstype.as_str()) => Ok(()),
        Some(mount) => {
            let message = format!("a {} file system is mounted here; {advice}", mount.fstype);
            Err(Error::new(ErrorKind::NotMounted, path.display(), message))
        }
        None => {
            let message = format!("nothing is mounted here; {advice}");
            Err(Error::new(ErrorKind::NotMounted, path.display(), message))
        }
    }
}

/// `proc(5)`: `ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAG…] - TYPE SOURCE OPTIONS`.
pub(crate) fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = PathBuf::from(OsString::from_vec(unescape(fields.nth(4)?)));
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let (fstype, options) = (text(fields.next()?), text(fields.nth(1)?));
    Some(Mount {
        point,
        fstype,
        options,
    })
}

/// `\040` is a blank; the kernel escapes blanks, tabs, line ends and backslashes so.
fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    while let Some((&first, rest)) = text.split_first() {
        let escape = (first == b'\\').then(|| rest.split_at_checked(3)).flatten();
        let escape = escape.and_then(|(digits, rest)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 8).ok()?, rest))
        });
        let (byte, rest) = escape.unwrap_or((first, rest));
        bytes.push(byte);
        text = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_with_its_escapes_and_optional_fields() {
        let text = b"36 35 98:0 /m /mnt/a\\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw\n\
            37 35 0:50 / /mnt/n rw - nfs4 srv:/e rw,vers=4.2\nbroken line\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[1].options, "rw,vers=4.2");
        assert_eq!(
            (mounts[0].point.to_str(), &*mounts[0].fstype),
            (Some("/mnt/a b"), "ext3")
        );
        assert_eq!(
            (mounts[1].point.to_str(), &*mounts[1].fstype),
            (Some("/mnt/n"), "nfs4")
        );
    }

    #[test]
    fn the_mount_that_holds_a_path_is_the_innermost_and_the_last() {
        let text = b"1 0 8:0 / / rw - ext4 /dev/sda rw\n2 1 0:5 / /mnt rw - nfs4 srv:/e rw\n\
            3 2 0:6 / /mnt/x rw - xfs /dev/sdb rw\n4 2 0:7 / /mnt/x rw - fuse.sshfs there rw\n";
        let mounts = parse(text);
        let fstype = |path| &*holding(&mounts, Path::new(path)).unwrap().fstype;
        assert_eq!(fstype("/mnt/file"), "nfs4");
        assert_eq!(fstype("/mnt/x/a/b"), "fuse.sshfs");
        assert_eq!(fstype("/mntx"), "ext4");
        assert!(!is_remote(Path::new("/proc/self")).unwrap());
    }

    #[test]
    fn a_mount_point_is_told_from_a_directory_and_from_another_type() {
        assert!(require(Path::new("/proc"), &["proc"], "").is_ok());
        assert!(require(Path::new("/proc"), &[], "").is_ok());
        for (path, types) in [("/proc", &["nfs"][..]), ("/proc/self", &[][..])] {
            let error = require(Path::new(path), types, "mount it").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotMounted);
            assert!(error.to_string().ends_with("mount it"));
        }
    }
}
