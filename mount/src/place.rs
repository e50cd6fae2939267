//! Where a file system is mounted: what is there already.

use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::error::Error;
use crate::fusermount::{TYPE, fusermount};

/// The directory, free to be mounted on, and whether something dead of ours was removed there.
pub(crate) fn prepare(directory: &Path) -> Result<(PathBuf, bool), Error> {
    let shown = directory.display();
    let failed = |error| Error::caused(format!("cannot mount at {shown}"), error);
    let mut removed = false;
    if let Err(error) = fs::metadata(directory)
        && error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error())
    {
        // The path cannot be made canonical as long as nobody answers.
        let place = absolute(directory).map_err(failed)?;
        remove_dead(&place)?;
        removed = true;
    }
    let place = directory.canonicalize().map_err(failed)?;
    if !fs::metadata(&place).map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    if type_at(&place).is_some_and(|kind| kind == TYPE) {
        return Err(Error::new(format!(
            "an archive is mounted at {shown} already; unmount that first with `umount` or `fusermount3 -u`"
        )));
    }
    if fs::read_dir(&place).map_err(failed)?.next().is_some() {
        return Err(Error::new(format!(
            "cannot mount at {shown}: the directory is not empty; choose another, or make one"
        )));
    }
    Ok((place, removed))
}

/// The directory above is there, also where nobody answers in this one.
fn absolute(directory: &Path) -> io::Result<PathBuf> {
    let above = match directory.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    let name = directory.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(above.canonicalize()?.join(name))
}

/// Unmounts a file system of ours whose process is gone.
fn remove_dead(place: &Path) -> Result<(), Error> {
    let shown = place.display();
    if type_at(place).is_none_or(|kind| kind != TYPE) {
        return Err(Error::new(format!(
            "nobody answers at {shown}, where something of another program's is mounted; unmount that first"
        )));
    }
    detach(place).map_err(|error| {
        Error::caused(
            format!("cannot unmount the dead file system at {shown}; unmount it first"),
            error,
        )
    })
}

/// Takes a file system away from its place, whoever has files of it open.
pub(crate) fn detach(place: &Path) -> io::Result<()> {
    match unmount(place, UnmountFlags::DETACH) {
        Err(Errno::PERM) => fusermount(&["-u", "-z", "--"], place),
        done => Ok(done?),
    }
}

/// The same, unless somebody uses it.
pub(crate) fn take_away(place: &Path) -> io::Result<()> {
    match unmount(place, UnmountFlags::empty()) {
        Err(Errno::PERM) => fusermount(&["-u", "--"], place),
        done => Ok(done?),
    }
}

/// The type of what was mounted last at a place, as proc(5) tells it.
fn type_at(place: &Path) -> Option<String> {
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    type_in(&mounts, place)
}

fn type_in(mounts: &[u8], place: &Path) -> Option<String> {
    let mut found = None;
    for line in mounts.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ');
        let is_there = fields
            .nth(4)
            .is_some_and(|path| unescaped(path) == place.as_os_str().as_bytes());
        // A number of optional fields ends with a '-'.
        let kind = fields.skip_while(|field| *field != b"-").nth(1);
        if is_there && let Some(kind) = kind {
            found = Some(String::from_utf8_lossy(kind).into_owned());
        }
    }
    found
}

/// White space and '\' are three octal digits behind a '\'.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte.filter(|_| *first == b'\\') {
            Some(byte) => {
                plain.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    std::ffi::OsString::from_vec(plain).into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_is_mounted_at_a_place_is_found_whatever_its_path() {
        let mounts = b"22 1 0:20 / / rw - ext4 /dev/sda rw\n\
            30 22 0:40 / /a\\040b rw,nosuid shared:1 master:2 - fuse.vma x ro\n\
            31 22 0:41 / /c rw - tmpfs none rw\n\
            32 31 0:42 / /c rw - fuse.vma x rw\nnonsense\n";
        let at = |path: &str| type_in(mounts, Path::new(path));
        assert_eq!(at("/a b").as_deref(), Some("fuse.vma"));
        assert_eq!(at("/c").as_deref(), Some("fuse.vma"));
        assert_eq!(at("/").as_deref(), Some("ext4"));
        assert_eq!(at("/d"), None);
    }
}
