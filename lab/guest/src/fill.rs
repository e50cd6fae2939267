//! A range of one byte: written, and looked for again.

use fleece_lab_guest::aligned::{BUFFER_SIZE, Buffer};

use crate::Result;
use crate::disk::{Disk, Durability};

/// Writes `length` bytes of `byte` at `offset` and makes them durable.
pub(crate) fn fill(offset: u64, length: u64, byte: u8, path: &str) -> Result<String> {
    let disk = Disk::open(path, Durability::Accepted)?;
    let buffer = Buffer::filled(byte);
    for (at, size) in requests(offset, length) {
        let bytes = buffer.0.get(..size).ok_or("a request is too long")?;
        disk.write(bytes, at)?;
    }
    disk.sync()?;
    Ok(format!("{{\"filled\":{length}}}"))
}

/// Fails unless `length` bytes at `offset` are all `byte`.
pub(crate) fn verify(offset: u64, length: u64, byte: u8, path: &str) -> Result<String> {
    let disk = Disk::open(path, Durability::Accepted)?;
    let mut buffer = Buffer::filled(0);
    for (at, size) in requests(offset, length) {
        let bytes = buffer.0.get_mut(..size).ok_or("a request is too long")?;
        disk.read(bytes, at)?;
        if let Some((found, place)) = bytes.iter().zip(at..).find(|(found, _)| **found != byte) {
            return Err(format!("{path} at {place}: {found} instead of {byte}"));
        }
    }
    Ok(format!("{{\"verified\":{length}}}"))
}

/// Offsets and lengths of the requests that make up a range.
fn requests(offset: u64, length: u64) -> impl Iterator<Item = (u64, usize)> {
    let end = offset.saturating_add(length);
    (offset..end).step_by(BUFFER_SIZE).map(move |at| {
        let rest = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
        (at, rest.min(BUFFER_SIZE))
    })
}
