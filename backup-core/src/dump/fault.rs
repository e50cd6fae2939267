//! What is wrong with a backup, as far as a short look tells.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use fleece_archive_io::Input;
use fleece_object_storage::Address;
use fleece_staged_file::regular::{self, Links};
use fleece_vma_format::{Header, MAX_HEADER_SIZE, Reader, container};
use jiff::Timestamp;

use super::verified::Verified;
use crate::job::cancel::CancelToken;

/// Why a backup cannot be counted on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The last verification found it damaged.
    Damaged,
    /// Its archive has no bytes.
    Empty,
    /// Its archive does not begin as one does; in what way.
    Header(String),
    /// It could not be looked into, which may pass; why.
    Unreadable(String),
}

/// How much of a file is searched for an archive's header, in bytes: all of a header, did it not compress
/// at all, and what containers and frames of metadata put before it.
const LOOK: u64 = (MAX_HEADER_SIZE as u64).saturating_add(4 << 20);

/// How many bytes tell whether a file is encrypted.
const START: u64 = 40;

impl Fault {
    /// What is known without opening the archive.
    pub(super) fn known(size: u64, verified: Verified) -> Option<Self> {
        match verified {
            _ if size == 0 => Some(Self::Empty),
            Verified::Damaged(_) => Some(Self::Damaged),
            Verified::Sound(_) | Verified::Unknown => None,
        }
    }

    /// What the header of an archive shows that nothing else is known of.
    pub(super) fn of_header(archive: &Path) -> Option<Self> {
        match header(archive) {
            // More cannot be seen of it without its key: it counts, and is pruned, as what was never verified is.
            Err(Self::Unreadable(_)) if is_encrypted(archive) => None,
            header => header.err(),
        }
    }

    /// One word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Empty => "empty",
            Self::Header(_) => "no archive",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// When an archive was begun, as its header tells.
pub(super) fn instant(archive: &Path) -> Option<Timestamp> {
    let seconds = header(archive).ok()?.ctime();
    // A tool that knows no time writes 0.
    Timestamp::from_second(seconds).ok().filter(|_| seconds > 0)
}

fn header(archive: &Path) -> Result<Header, Fault> {
    let unreadable = |error: std::io::Error| Fault::Unreadable(error.to_string());
    let stream = match Address::of(archive) {
        Some(_) => Input::open_regular(archive, &CancelToken::new())
            .map_err(unreadable)?
            .stream(),
        None => {
            let file = regular::open(archive, Links::Follow).map_err(unreadable)?;
            container::open(file.take(LOOK))
        }
    };
    match stream.and_then(Reader::new) {
        Ok(reader) => Ok(reader.header().clone()),
        Err(error) if error.kind().is_damage() => Err(Fault::Header(error.to_string())),
        Err(error) => Err(Fault::Unreadable(error.to_string())),
    }
}

fn is_encrypted(archive: &Path) -> bool {
    if Address::of(archive).is_some() {
        let input = Input::open_regular(archive, &CancelToken::new());
        return input.is_ok_and(|input| input.encrypted_for().is_some());
    }
    let mut start = Vec::new();
    let file = regular::open(archive, Links::Follow);
    let read = file.and_then(|file| file.take(START).read_to_end(&mut start));
    read.is_ok() && fleece_encryption::is_encrypted(&start)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged | Self::Empty => f.write_str(self.word()),
            Self::Header(why) => write!(f, "no archive: {why}"),
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
        }
    }
}
