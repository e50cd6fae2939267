//! Making a list of digests.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256, SHA512};

use super::keys::SigningKey;
use super::sshsig;
use crate::error::{Error, ErrorKind, Result};

/// The size of the pieces that a list has digests of, in bytes: 1 MiB. The last one may be shorter.
pub const PIECE: u64 = 1 << 20;

pub(super) const TITLE: &str = "fleece signed pieces 1";
pub(super) const FILE: &str = "file ";
pub(super) const PIECES: &str = "piece ";
pub(super) const SIZE: &str = "size ";

/// Where the signed list of a file is.
#[must_use]
pub fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// Writes the signed list of a file, as that is written.
pub struct Signer<W> {
    out: W,
    key: SigningKey,
    /// Of the list.
    list: Context,
    /// Of the piece.
    piece: Context,
    /// How much of it there is.
    filled: u64,
    size: u64,
}

impl<W: Write> Signer<W> {
    /// Begins the list of a file that will have the base name `name`.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Signature`] for a name that fits in no line; [`ErrorKind::Io`].
    pub fn new(out: W, name: &str, key: &SigningKey) -> Result<Self> {
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            let why = "a file with such a name cannot be signed";
            return Err(Error::new(ErrorKind::Signature, why));
        }
        let mut signer = Self {
            out,
            key: key.clone(),
            list: Context::new(&SHA512),
            piece: Context::new(&SHA256),
            filled: 0,
            size: 0,
        };
        signer.line(&format!("{TITLE}\n{FILE}{name}\n{PIECES}{PIECE}\n"))?;
        Ok(signer)
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Io`].
    pub fn update(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = usize::try_from(PIECE.saturating_sub(self.filled)).unwrap_or(usize::MAX);
            let (part, rest) = bytes.split_at(room.min(bytes.len()));
            self.piece.update(part);
            self.filled = self.filled.saturating_add(part.len() as u64);
            self.size = self.size.saturating_add(part.len() as u64);
            if self.filled == PIECE {
                self.end_piece()?;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Ends and signs the list, and gives back what it was written to.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Io`].
    pub fn finish(mut self) -> Result<W> {
        if self.filled > 0 {
            self.end_piece()?;
        }
        let size = self.size;
        self.line(&format!("{SIZE}{size}\n"))?;
        let signature = sshsig::sign(&self.key, self.list.finish().as_ref());
        self.out
            .write_all(signature.as_bytes())
            .map_err(unwritable)?;
        Ok(self.out)
    }

    fn end_piece(&mut self) -> Result<()> {
        let piece = std::mem::replace(&mut self.piece, Context::new(&SHA256));
        self.filled = 0;
        self.line(&format!("{}\n", hex(piece.finish().as_ref())))
    }

    fn line(&mut self, text: &str) -> Result<()> {
        self.list.update(text.as_bytes());
        self.out.write_all(text.as_bytes()).map_err(unwritable)
    }
}

impl<W> fmt::Debug for Signer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unwritable(error: std::io::Error) -> Error {
    Error::io("cannot write the signed list", error)
}
