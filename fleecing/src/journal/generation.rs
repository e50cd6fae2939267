//! Which archive each dirty bitmap counts against, kept between backups.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use fleece_staged_file::StagedFile;
use fleece_staged_file::regular::{self, Links};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// An archive, and the bitmaps that were added at its instant: what they mark has changed since.
///
/// A bitmap counts against its archive only if nothing of this is different from what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Generation {
    /// The archive's uuid, in hexadecimal digits.
    pub archive: String,
    /// How many archives were made by bitmaps since one of which everything was read.
    pub depth: u32,
    /// QEMU's process and the time at which it was started, where both are known.
    pub qemu: Option<(u32, u64)>,
    /// What is known about the archive being sound.
    #[serde(default)]
    pub sound: Option<Sound>,
    /// The disks.
    pub disks: Vec<TrackedDisk>,
}

impl Generation {
    /// An archive against which no bitmap of a QEMU counts: what its disks have changed since is known elsewhere.
    #[must_use]
    pub fn untracked(archive: String, depth: u32, sound: Sound) -> Self {
        Self {
            archive,
            depth,
            qemu: None,
            sound: Some(sound),
            disks: Vec::new(),
        }
    }
}

/// When an archive was found to be sound. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sound {
    /// When all of it was last written, or read and checked.
    pub verified: String,
    /// When it was complete: whatever has changed its files later may have damaged it.
    pub complete: String,
}

impl Sound {
    /// Verified and complete at these times.
    #[must_use]
    pub fn new(verified: String, complete: String) -> Self {
        Self { verified, complete }
    }
}

/// A disk as it was when its bitmap was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrackedDisk {
    /// Its name in the archive.
    pub name: String,
    /// The node with the bitmap.
    pub node: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its image, as QEMU describes it.
    pub image: String,
    /// Device and inode of the image, if it is a file here.
    pub file: Option<(u64, u64)>,
}

/// What is longer was not written by us: 254 disks with the longest names and paths.
const MAX_SIZE: u64 = 4 << 20;

/// Who may read it.
const MODE: u32 = 0o600;

/// The generations in the file `path`, the oldest first; none if there is no such file, or one that says nothing: then
/// everything is read once.
pub(super) fn load(path: &Path) -> Vec<Generation> {
    let mut text = Vec::new();
    let read = regular::open(path, Links::Refuse)
        .and_then(|file| file.take(MAX_SIZE).read_to_end(&mut text));
    match read {
        Ok(_) => parse(&text),
        Err(_) => Vec::new(),
    }
}

/// What such a file says.
pub(crate) fn parse(text: &[u8]) -> Vec<Generation> {
    let generations: Vec<Generation> = serde_json::from_slice(text).unwrap_or_default();
    let is_hex = |generation: &Generation| {
        let digits = generation.archive.as_bytes();
        digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit)
    };
    match generations.iter().all(is_hex) {
        true => generations,
        false => Vec::new(),
    }
}

/// Replaces the file; without generations there is none.
pub(super) fn save(path: &Path, generations: &[Generation]) -> Result<(), Error> {
    let failed = |error: io::Error| {
        let message = format!("cannot write {}", path.display());
        Error::caused(ErrorKind::Record, message, error)
    };
    if generations.is_empty() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        };
    }
    let text = serde_json::to_vec(generations).map_err(|error| failed(error.into()))?;
    let mut staged = StagedFile::create(path, MODE).map_err(failed)?;
    staged.write_all(&text).map_err(failed)?;
    // What a power failure takes away takes QEMU, and with it the bitmaps.
    let _ = staged.commit_replacing().map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(archive: &str) -> Generation {
        Generation {
            archive: archive.into(),
            depth: 3,
            qemu: Some((17, 4711)),
            sound: Some(Sound::new(
                "2026-01-01T00:00:00Z".into(),
                "2026-01-02T00:00:00Z".into(),
            )),
            disks: vec![TrackedDisk {
                name: "drive-scsi0".into(),
                node: "disk0".into(),
                size: 1 << 30,
                image: "/srv/disk.qcow2".into(),
                file: Some((1, 2)),
            }],
        }
    }

    #[test]
    fn generations_are_read_as_they_were_written_and_gone_when_there_are_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("100.bitmaps");
        assert!(load(&path).is_empty());
        let generations = [
            "0123456789abcdef0123456789abcdef",
            "ffffffffffffffffffffffffffffffff",
        ];
        let generations = generations.map(generation);
        save(&path, &generations).unwrap();
        assert_eq!(load(&path), generations);
        save(&path, &[]).unwrap();
        save(&path, &[]).unwrap();
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_such_file_says_nothing() {
        let sound =
            serde_json::to_string(&[generation("0123456789abcdef0123456789abcdef")]).unwrap();
        assert_eq!(parse(sound.as_bytes()).len(), 1);
        for text in [
            "",
            "[",
            "{}",
            "[{}]",
            &sound.replace("abcdef", "abcdeg"),
            &sound[1..],
        ] {
            assert!(parse(text.as_bytes()).is_empty(), "{text}");
        }
    }
}
