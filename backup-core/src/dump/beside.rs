//! The names of what lies beside an archive.

use std::path::{Path, PathBuf};

use fleece_vma_format::index;

use super::name::archive_stem;

/// What there may be beside an archive, but for its protection, with which it is not removed.
pub(super) const KINDS: [&str; 7] = [
    index::EXTENSION,
    "sig",
    "verified",
    "drilled",
    "log",
    "stats.json",
    "notes",
];

/// What an archive shares with the same one compressed in another way, since its name lacks the extension.
pub(super) const OF_STEM: [&str; 2] = ["log", "stats.json"];

/// Notes are for people to read; what is longer than this is cut off.
pub(super) const MAX_NOTES: u64 = 64 << 10;

/// The side file of that kind.
pub(super) fn path(archive: &Path, kind: &str) -> PathBuf {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    match archive_stem(&name).filter(|_| OF_STEM.contains(&kind)) {
        Some(stem) => archive.with_file_name(format!("{stem}.{kind}")),
        None => archive.with_file_name(format!("{name}.{kind}")),
    }
}
