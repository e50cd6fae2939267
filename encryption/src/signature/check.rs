//! Checking a file against its signed list.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use fleece_plain_text::words;
use ring::digest::{Context, SHA256, SHA512, digest};

use super::keys::VerifyingKeys;
use super::list::{FILE, PIECE, PIECES, SIZE, TITLE, hex};
use super::sshsig::{self, BEGIN};
use crate::error::{Error, ErrorKind, Result};

/// A line of a list, and what follows it, is not longer: a name has at most 255 bytes.
const MAX_LINE: u64 = 512;
/// A signature is not longer.
const MAX_SIGNATURE: u64 = 4096;

/// What became of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Who has signed the list: a line of `authorized_keys`.
    pub signer: String,
    /// How many bytes the file has, and was signed with.
    pub size: u64,
    /// How many bytes it was signed with.
    pub signed_size: u64,
    /// How many pieces are not as they were signed, or are missing.
    pub damaged: u64,
    /// Where the first of those begins.
    pub first: Option<u64>,
}

impl Checked {
    /// Whether the file is what was signed.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.damaged == 0 && self.size == self.signed_size
    }
}

/// Checks a file with the base name `name` against its signed list: first who has signed that, and that it is this
/// file's, then every byte. `progress` is told how many bytes were read, and may end it.
///
/// # Errors
/// Kind [`ErrorKind::Signature`] for a list that is not whole, is for a file of another name, or was not signed by any
/// of `keys`; [`ErrorKind::Io`]. Damage of the file is none.
pub fn check(
    file: &mut impl Read,
    list: &mut (impl Read + Seek),
    name: &str,
    keys: &VerifyingKeys,
    progress: &mut dyn FnMut(u64) -> std::io::Result<()>,
) -> Result<Checked> {
    let mut lines = Lines::new(&mut *list);
    let mut signed = None;
    while let Some(line) = lines.next()? {
        if let Some(size) = line.strip_prefix(SIZE) {
            signed = Some(size.parse::<u64>().map_err(|_| not_whole())?);
            break;
        }
    }
    let (Some(signed_size), Lines { input, hash }) = (signed, lines) else {
        return Err(not_whole());
    };
    let hash = hash.finish();
    let mut signature = String::new();
    input
        .take(MAX_SIGNATURE)
        .read_to_string(&mut signature)
        .map_err(|_| not_whole())?;
    let signer = sshsig::signer(&signature, hash.as_ref(), keys).map_err(|why| {
        Error::new(
            ErrorKind::Signature,
            format!("the signed list of {}: {why}", words(name)),
        )
    })?;
    // From here on it is believed, as long as it is read the same again.
    list.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut lines = Lines::new(&mut *list);
    let of_name = lines.next()?.as_deref() == Some(TITLE)
        && lines
            .next()?
            .is_some_and(|line| line.strip_prefix(FILE) == Some(name));
    if !of_name {
        let why = format!("the signed list beside {} is for another file", words(name));
        return Err(Error::new(ErrorKind::Signature, why));
    }
    if lines
        .next()?
        .and_then(|line| line.strip_prefix(PIECES)?.parse().ok())
        != Some(PIECE)
    {
        return Err(not_whole());
    }
    let mut checked = Checked {
        signer,
        size: 0,
        signed_size,
        damaged: 0,
        first: None,
    };
    let mut piece = Vec::new();
    while let Some(line) = lines.next()?.filter(|line| !line.starts_with(SIZE)) {
        piece.clear();
        let got = file.by_ref().take(PIECE).read_to_end(&mut piece);
        let got = got.map_err(|error| Error::io("cannot read the file", error))?;
        let at = checked.size;
        checked.size = at.saturating_add(got as u64);
        if hex(digest(&SHA256, &piece).as_ref()) != line {
            checked.damaged = checked.damaged.saturating_add(1);
            checked.first.get_or_insert(at);
        }
        progress(checked.size).map_err(|error| Error::io("cannot read the file", error))?;
    }
    let more = std::io::copy(file, &mut std::io::sink());
    let more = more.map_err(|error| Error::io("cannot read the file", error))?;
    checked.size = checked.size.saturating_add(more);
    match lines.hash.finish().as_ref() == hash.as_ref() {
        true => Ok(checked),
        false => Err(not_whole()),
    }
}

/// The lines of a list, and the digest of all of them.
struct Lines<R> {
    input: BufReader<R>,
    hash: Context,
}

impl<R: Read> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input: BufReader::new(input),
            hash: Context::new(&SHA512),
        }
    }

    /// The next line, without its end.
    fn next(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        let read = self
            .input
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line);
        if read.map_err(unreadable)? == 0 || line.starts_with(BEGIN.as_bytes()) {
            return Ok(None);
        }
        self.hash.update(&line);
        let line = line.strip_suffix(b"\n").ok_or_else(not_whole)?;
        let line = str::from_utf8(line).map_err(|_| not_whole())?;
        Ok(Some(line.to_owned()))
    }
}

fn not_whole() -> Error {
    Error::new(
        ErrorKind::Signature,
        "the signed list is not whole, or is none",
    )
}

fn unreadable(error: std::io::Error) -> Error {
    Error::io("cannot read the signed list", error)
}
