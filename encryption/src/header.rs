//! The header: for whom a file is encrypted (C2SP age, "Header").

use std::fmt::{self, Write as _};
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use fleece_plain_text::words;

use crate::error::{Error, ErrorKind, Result};
use crate::file_key::FileKey;
use crate::identities::Identities;
use crate::magic::{ARMOR, MAGIC, VERSION};
use crate::recipients::Recipients;
use crate::stanza::Stanza;

/// Columns of a stanza's body.
const COLUMNS: usize = 64;

/// The longest header that is read: 100 keys of RSA with 4096 bits, of about 800 bytes each, or 500 of X25519. An attacker
/// cannot make us try more.
pub const MAX_HEADER: usize = 80 << 10;

/// The header of an encrypted file: what it says without a key, and nothing of that is authenticated.
#[derive(PartialEq, Eq)]
pub struct Header {
    stanzas: Vec<Stanza>,
    mac: Vec<u8>,
    /// Up to the dashes before the code.
    text: Vec<u8>,
    length: usize,
}

impl Header {
    /// Takes the header from the start of a file.
    ///
    /// # Errors
    /// [`ErrorKind::Foreign`], [`ErrorKind::Unsupported`], [`ErrorKind::Damaged`].
    pub fn parse(start: &[u8]) -> Result<Self> {
        let Some(mut rest) = start.strip_prefix(VERSION) else {
            return Err(no_header(start));
        };
        let mut stanzas = Vec::new();
        let mut line = take_line(&mut rest)?;
        let mac = loop {
            if let Some(mac) = line.strip_prefix("--- ") {
                break decode(mac)?;
            }
            let stanza = line.strip_prefix("-> ").ok_or_else(damaged)?;
            stanzas.push(take_stanza(stanza, &mut rest)?);
            line = take_line(&mut rest)?;
        };
        if stanzas.is_empty() || mac.len() != 32 {
            return Err(damaged());
        }
        let length = start.len().saturating_sub(rest.len());
        let behind = line.len().saturating_sub("---".len()).saturating_add(1);
        let text = start.get(..length.saturating_sub(behind));
        Ok(Self {
            stanzas,
            mac,
            text: text.unwrap_or_default().to_vec(),
            length,
        })
    }

    /// Reads the header that `input` begins with, and no more.
    ///
    /// # Errors
    /// As [`Header::parse`], and [`ErrorKind::Io`].
    pub fn read(input: &mut impl Read) -> Result<Self> {
        let mut start = Vec::new();
        let mut ended = false;
        // It ends with the first line that begins with these dashes.
        while !ended {
            let from = start.len();
            loop {
                let mut byte = [0];
                match input.read(&mut byte) {
                    Ok(0) => return Self::parse(&start),
                    Ok(_) => start.extend(byte),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(Error::reading(error)),
                }
                if byte == [b'\n'] || start.len() >= MAX_HEADER {
                    break;
                }
            }
            let line = start.get(from..).unwrap_or_default();
            ended = line.starts_with(b"---")
                || start.len() >= MAX_HEADER
                || !start.starts_with(VERSION);
        }
        Self::parse(&start)
    }

    /// A header for `recipients`, and the key of the file.
    pub(crate) fn new(recipients: &Recipients) -> Result<(Self, FileKey)> {
        let key = FileKey::random()?;
        let stanzas = recipients.wrap(&key)?;
        let mut text = VERSION.to_vec();
        for stanza in &stanzas {
            write_stanza(stanza, &mut text);
        }
        text.extend(b"---");
        let mac = key.header_mac(&text)?;
        let mut header = Self {
            stanzas,
            mac,
            text,
            length: 0,
        };
        header.length = header.to_bytes().len();
        match header.length <= MAX_HEADER {
            true => Ok((header, key)),
            false => Err(Error::new(ErrorKind::Recipient, "too many public keys")),
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.text.clone();
        bytes.push(b' ');
        bytes.extend(STANDARD_NO_PAD.encode(&self.mac).into_bytes());
        bytes.push(b'\n');
        bytes
    }

    /// How long it is, in bytes.
    pub(crate) const fn length(&self) -> usize {
        self.length
    }

    /// Takes the key of the file out of the header, and authenticates the header by it.
    pub(crate) fn unwrap(&self, identities: &Identities) -> Result<FileKey> {
        if identities.is_empty() {
            let why = format!("it is encrypted, for {self}, and no secret key is given");
            return Err(Error::new(ErrorKind::NoIdentity, why));
        }
        let Some(key) = identities.unwrap(&self.stanzas) else {
            let why = format!(
                "it is encrypted for {self}, and none of the secret keys given ({}) is one of theirs",
                identities.count()
            );
            return Err(Error::new(ErrorKind::WrongIdentity, why));
        };
        match key.has_header(&self.text, &self.mac)? {
            true => Ok(key),
            false => Err(Error::new(
                ErrorKind::Damaged,
                "the header of the encrypted file was changed: it is not authentic",
            )),
        }
    }
}

/// For whom the file is encrypted, as far as that can be told: "2 X25519 keys, of which it cannot be told whose".
impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |tag| self.stanzas.iter().filter(|s| s.tag == tag).count();
        let mut named = String::new();
        match of("X25519") {
            0 => {}
            1 => named.push_str("an X25519 key (age1…, the header does not tell which)"),
            many => {
                let _ = write!(
                    named,
                    "{many} X25519 keys (age1…, the header does not tell which)"
                );
            }
        }
        for stanza in &self.stanzas {
            let what = match stanza.tag.as_str() {
                "X25519" => continue,
                "ssh-ed25519" | "ssh-rsa" => {
                    let tag = stanza.args.first().map(String::as_str).unwrap_or_default();
                    format!("the {} key whose tag is {}", stanza.tag, words(tag))
                }
                "scrypt" => "a passphrase".to_owned(),
                other => format!("a key of the kind {}", words(other)),
            };
            if named.len() > 300 {
                named.push_str(", …");
                break;
            }
            if !named.is_empty() {
                named.push_str(", ");
            }
            named.push_str(&what);
        }
        f.write_str(&named)
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Header({self})")
    }
}

fn no_header(start: &[u8]) -> Error {
    if VERSION.starts_with(start) {
        return damaged();
    }
    match start {
        armored if armored.starts_with(ARMOR) => Error::new(
            ErrorKind::Unsupported,
            "it is encrypted with age and written as text, which is not read; `age -d` decrypts it",
        ),
        newer if newer.starts_with(MAGIC) => Error::new(
            ErrorKind::Unsupported,
            "it is encrypted with another version of age's format",
        ),
        _ => Error::new(ErrorKind::Foreign, "it is not encrypted with age"),
    }
}

fn damaged() -> Error {
    Error::new(
        ErrorKind::Damaged,
        "the header of the encrypted file was cut off or changed",
    )
}

/// The next line, without its end, which is there.
fn take_line<'a>(rest: &mut &'a [u8]) -> Result<&'a str> {
    let end = rest.iter().take(MAX_HEADER).position(|byte| *byte == b'\n');
    let (line, behind) = end
        .and_then(|end| rest.split_at_checked(end))
        .ok_or_else(damaged)?;
    *rest = behind.strip_prefix(b"\n").ok_or_else(damaged)?;
    match line.is_ascii() {
        true => str::from_utf8(line).map_err(|_| damaged()),
        false => Err(damaged()),
    }
}

fn take_stanza(first: &str, rest: &mut &[u8]) -> Result<Stanza> {
    let mut words = first.split(' ').map(|word| {
        match !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(word.to_owned()),
            false => Err(damaged()),
        }
    });
    let tag = words.next().ok_or_else(damaged)??;
    let args = words.collect::<Result<_>>()?;
    let mut body = Vec::new();
    loop {
        let line = take_line(rest)?;
        if line.len() > COLUMNS {
            return Err(damaged());
        }
        body.extend(decode(line)?);
        // The last line is shorter, and may be empty.
        if line.len() < COLUMNS {
            return Ok(Stanza { tag, args, body });
        }
    }
}

fn write_stanza(stanza: &Stanza, text: &mut Vec<u8>) {
    text.extend(b"-> ");
    text.extend(stanza.tag.bytes());
    for arg in &stanza.args {
        text.push(b' ');
        text.extend(arg.bytes());
    }
    text.push(b'\n');
    let body = STANDARD_NO_PAD.encode(&stanza.body);
    let mut short = true;
    for line in body.as_bytes().chunks(COLUMNS) {
        text.extend(line);
        text.push(b'\n');
        short = line.len() < COLUMNS;
    }
    if body.is_empty() || !short {
        text.push(b'\n');
    }
}

fn decode(text: &str) -> Result<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).map_err(|_| damaged())
}
