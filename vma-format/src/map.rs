//! The protocol by which `vma extract -r` is told where disks go.
//!
//! One record a line: options ending in ':' in any order (`format=`, `throttling.bps=`,
//! `throttling.group=`, `cache=`), then `0:` or `1:` (1: zeroes must be written), then
//! `DEVICE=PATH`; or `skip=DEVICE`. `done`, an empty line or the end of the input end it.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{BufRead, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};

/// The longest line in bytes, newline included, as in the reference.
const MAX_LINE: u64 = 8192;

/// The most records: every device twice over, as a later record replaces an earlier one.
const MAX_RECORDS: usize = 1024;

/// One line of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// The device with this name is not wanted.
    Skip(String),
    /// Where a device goes.
    Disk(Disk),
}

/// Where a device goes, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Disk {
    /// The device's name in the archive.
    pub device: String,
    /// The target.
    pub path: PathBuf,
    /// Whether zero blocks must be written, because the target may hold something else.
    pub write_zeroes: bool,
    /// The target's image format.
    pub format: Option<String>,
    /// How many bytes a second may be written.
    pub bytes_per_second: Option<u64>,
    /// Targets with the same group share one limit.
    pub group: Option<String>,
    /// The cache mode that QEMU would use.
    pub cache: Option<String>,
}

/// Reads a map up to its end.
///
/// # Errors
/// [`ErrorKind::Map`] with what is wrong, [`ErrorKind::Io`].
pub fn read(input: impl BufRead) -> Result<Vec<Record>> {
    let mut input = input;
    let mut records = Vec::new();
    loop {
        let mut line = Vec::new();
        let got = input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        got.map_err(|e| Error::io("cannot read the map", e))?;
        let text = match line.split_last() {
            Some((b'\n', text)) => text,
            _ if line.len() as u64 >= MAX_LINE => return Err(wrong("line is too long", &line)),
            _ => &line,
        };
        if text.is_empty() || text == b"done" {
            return Ok(records);
        }
        if records.len() >= MAX_RECORDS {
            return Err(wrong("too many records", text));
        }
        records.push(parse_line(text)?);
    }
}

/// Parses one record.
///
/// # Errors
/// [`ErrorKind::Map`] with what is wrong.
pub fn parse_line(line: &[u8]) -> Result<Record> {
    if let Some(rest) = line.strip_prefix(b"skip") {
        let device = rest.strip_prefix(b"=").filter(|device| !device.is_empty());
        let device = device.ok_or_else(|| wrong("option 'skip' has no value", line))?;
        return Ok(Record::Skip(name(device, line)?));
    }
    let mut disk = Disk::default();
    let mut rest = line;
    loop {
        if let Some((value, behind)) = option(rest, "format", line)? {
            set(&mut disk.format, text(value, line)?, "format", line)?;
            rest = behind;
        } else if let Some((value, behind)) = option(rest, "throttling.bps", line)? {
            let number = number(value).ok_or_else(|| wrong("not a number", value))?;
            set(&mut disk.bytes_per_second, number, "throttling.bps", line)?;
            rest = behind;
        } else if let Some((value, behind)) = option(rest, "throttling.group", line)? {
            set(
                &mut disk.group,
                text(value, line)?,
                "throttling.group",
                line,
            )?;
            rest = behind;
        } else if let Some((value, behind)) = option(rest, "cache", line)? {
            set(&mut disk.cache, cache(value)?, "cache", line)?;
            rest = behind;
        } else {
            break;
        }
    }
    let (zeroes, rest) = match rest {
        [b'0', b':', rest @ ..] => (false, rest),
        [b'1', b':', rest @ ..] => (true, rest),
        _ => return Err(wrong("parse error", line)),
    };
    let at = rest.iter().position(|&byte| byte == b'=');
    let (device, path) = at
        .and_then(|at| rest.split_at_checked(at))
        .ok_or_else(|| wrong("no dev name specified", line))?;
    let path = path.strip_prefix(b"=").filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| wrong("no path specified", line))?;
    disk.write_zeroes = zeroes;
    disk.device = name(device, line)?;
    disk.path = PathBuf::from(OsString::from_vec(path.to_vec()));
    Ok(Record::Disk(disk))
}

/// The value of an option that `rest` begins with, and what is behind its ':'.
fn option<'a>(rest: &'a [u8], name: &str, line: &[u8]) -> Result<Option<(&'a [u8], &'a [u8])>> {
    let value = rest
        .strip_prefix(name.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"="));
    let Some(value) = value else { return Ok(None) };
    let end = value.iter().position(|&byte| byte == b':');
    let split = end.and_then(|end| value.split_at_checked(end));
    let (value, rest) =
        split.ok_or_else(|| wrong(&format!("option '{name}' not terminated"), line))?;
    Ok(Some((value, rest.strip_prefix(b":").unwrap_or_default())))
}

fn set<T>(field: &mut Option<T>, value: T, name: &str, line: &[u8]) -> Result<()> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(wrong(&format!("duplicate value for option '{name}'"), line)),
    }
}

fn cache(value: &[u8]) -> Result<String> {
    let known = ["none", "writethrough", "writeback", "unsafe", "directsync"];
    let mode = known.into_iter().find(|known| known.as_bytes() == value);
    mode.map(str::to_owned)
        .ok_or_else(|| wrong("invalid cache option", value))
}

/// An unsigned number in C's notation: decimal, `0x` hexadecimal, or `0` octal.
fn number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    // The standard library would take a sign as well.
    let digits = |text: &str, radix| {
        let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain
            .then(|| u64::from_str_radix(text, radix).ok())
            .flatten()
    };
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        digits(hex, 16)
    } else if text.len() > 1 && text.starts_with('0') {
        digits(text, 8)
    } else {
        digits(text, 10)
    }
}

fn name(bytes: &[u8], line: &[u8]) -> Result<String> {
    if bytes.is_empty() {
        return Err(wrong("no dev name specified", line));
    }
    text(bytes, line)
}

fn text(bytes: &[u8], line: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("not UTF-8", line))?;
    Ok(text.to_owned())
}

fn wrong(what: &str, line: &[u8]) -> Error {
    let shown: String = String::from_utf8_lossy(line).chars().take(200).collect();
    Error::new(
        ErrorKind::Map,
        format!("read map failed - {what} ({shown:?})"),
    )
}
