//! Cutting a byte stream into JSON objects, without parsing them.
//!
//! QMP sends one object a line, several lines an object when the monitor was made with
//! `pretty=on`, and ends lines with CRLF. What delimits a message is therefore the object
//! itself, which also tells at the first byte that a peer speaks something else.

use crate::error::{Error, ErrorKind};

/// Longest message that is accepted, in bytes.
///
/// The longest reply of stock QEMU is that of `query-qmp-schema`: 236 KB in QEMU 10.0.
/// The guest agent's `guest-file-read` answers at most 48 MB, which is not used here.
pub const MAX_MESSAGE: usize = 16 << 20;

/// What to do with bytes between two objects that are not white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Junk {
    /// They are an error: this is not the protocol.
    Refuse,
    /// They are passed over, and a byte 0xFF starts afresh anywhere: a guest agent may still
    /// be sending the rest of a reply to somebody else (QAPI `guest-sync-delimited`).
    Skip,
}

/// Collects bytes until they are one whole object.
#[derive(Debug)]
pub(crate) struct Framer {
    junk: Junk,
    message: Vec<u8>,
    /// Open braces and brackets; zero between messages.
    depth: usize,
    string: InString,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InString {
    No,
    Yes,
    AfterBackslash,
}

impl Framer {
    pub(crate) fn new(junk: Junk) -> Self {
        Self {
            junk,
            message: Vec::new(),
            depth: 0,
            string: InString::No,
        }
    }

    /// Takes bytes from the front of `input` up to the end of one message and returns it;
    /// `None` when the input is used up first.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, Error> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            if self.junk == Junk::Skip && byte == RESTART {
                *self = Self::new(self.junk);
                continue;
            }
            if self.depth == 0 && byte != b'{' {
                if self.junk == Junk::Refuse && !byte.is_ascii_whitespace() {
                    return Err(not_an_object(byte, rest));
                }
                continue;
            }
            if self.message.len() >= MAX_MESSAGE {
                let detail = format!("more than {} MiB", MAX_MESSAGE >> 20);
                return Err(Error::new(ErrorKind::Oversized).with_detail(detail));
            }
            self.message.push(byte);
            if self.ends_message(byte) {
                return Ok(Some(std::mem::take(&mut self.message)));
            }
        }
        Ok(None)
    }

    /// Notes one byte of a message; true if it is the last one.
    fn ends_message(&mut self, byte: u8) -> bool {
        match (self.string, byte) {
            (InString::AfterBackslash, _) => self.string = InString::Yes,
            (InString::Yes, b'\\') => self.string = InString::AfterBackslash,
            (InString::Yes, b'"') => self.string = InString::No,
            (InString::Yes, _) => {}
            (InString::No, b'"') => self.string = InString::Yes,
            (InString::No, b'{' | b'[') => self.depth = self.depth.saturating_add(1),
            (InString::No, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            (InString::No, _) => {}
        }
        false
    }
}

/// The byte that never occurs in JSON, by which a guest agent's answers are found again.
pub(crate) const RESTART: u8 = 0xFF;

fn not_an_object(first: u8, rest: &[u8]) -> Error {
    const SHOWN: usize = 40;
    let shown: Vec<u8> = std::iter::once(first)
        .chain(rest.iter().copied())
        .take(SHOWN)
        .collect();
    Error::new(ErrorKind::Protocol).with_detail(format!("it sent '{}'", shown.escape_ascii()))
}

#[cfg(test)]
mod tests;
