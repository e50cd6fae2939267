//! A volume with what its log has, by the crate `lamxfs`.
//!
//! That crate shows files, not blocks. So it is asked for the content of a file that is made up for each read: an inode in a
//! place where none is, in the log itself, with one extent, which is the blocks that are wanted. What it gives is the
//! blocks as they are after the replay.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Superblock;
use crate::bytes::size;
use crate::error::{Error, Result};
use crate::source::{Shared, bytes_at};

/// The checksum of inodes.
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

pub(super) struct Replayed {
    source: Shared,
    superblock: Superblock,
    log: Option<Mutex<lamxfs::Xfs<Reader>>>,
    made_up: Arc<Mutex<Vec<u8>>>,
}

/// What `lamxfs` reads through.
struct Reader {
    source: Shared,
    /// Where the log is, in bytes.
    log: (u64, u64),
    made_up: Arc<Mutex<Vec<u8>>>,
    /// Whether anything but the superblock and the log was read.
    is_beyond: Arc<AtomicBool>,
}

impl lamxfs::BlockRead for Reader {
    type Error = std::io::Error;

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let (start, end) = self.log;
        let made_up = self.made_up.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == start && made_up.len() == buffer.len() {
            buffer.copy_from_slice(&made_up);
            return Ok(());
        }
        drop(made_up);
        if offset != 0 && !(start..end).contains(&offset) {
            self.is_beyond.store(true, Ordering::Relaxed);
        }
        self.source.read_at(offset, buffer)
    }
}

impl Replayed {
    /// Replays the log, and tells what is worth knowing of that.
    pub(super) fn new(source: &Shared, superblock: &Superblock) -> (Self, Option<String>) {
        let made_up = Arc::new(Mutex::new(Vec::new()));
        let is_beyond = Arc::new(AtomicBool::new(false));
        let mut replayed = Self {
            source: Shared::clone(source),
            superblock: superblock.clone(),
            log: None,
            made_up: Arc::clone(&made_up),
        };
        let Ok(start) = superblock.place(superblock.log) else {
            let note = "its log is on another device, and not replayed: what was written last may be missing";
            return (replayed, Some(note.to_owned()));
        };
        let len = superblock.log_blocks.saturating_mul(superblock.block);
        let reader = Reader {
            source: Shared::clone(source),
            log: (start, start.saturating_add(len)),
            made_up,
            is_beyond: Arc::clone(&is_beyond),
        };
        match lamxfs::Xfs::open(reader, source.size()) {
            // A clean log is no reason to look at anything else.
            Ok(_) if !is_beyond.load(Ordering::Relaxed) => (replayed, None),
            Ok(log) => {
                replayed.log = Some(Mutex::new(log));
                let note = "it was not unmounted: its log was replayed in memory";
                (replayed, Some(note.to_owned()))
            }
            Err(error) => {
                let note = format!(
                    "its log could not be replayed ({error}): what was written last may be missing or damaged"
                );
                (replayed, Some(note))
            }
        }
    }

    /// Bytes at a place of the volume.
    pub(super) fn bytes(&self, place: u64, len: u64) -> Result<Vec<u8>> {
        let Some(log) = &self.log else {
            return bytes_at(&self.source, place, len);
        };
        let superblock = &self.superblock;
        let (block, before) = superblock.in_blocks(place);
        let count = before.saturating_add(len).div_ceil(superblock.block.max(1));
        let within_group = crate::bytes::rem(block, superblock.group_blocks);
        let group = crate::bytes::div(block, superblock.group_blocks);
        let number = (group << superblock.group_log) | within_group;
        let bytes = count.saturating_mul(superblock.block);
        if bytes > 1 << 20 {
            return Err(Error::damaged("a structure is too large"));
        }
        // One at a time: the inode that is made up is this one's.
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        *self.made_up.lock().unwrap_or_else(PoisonError::into_inner) =
            made_up(superblock, number, count, bytes);
        let inode = lamxfs::Inode {
            ino: superblock.log << superblock.inodes_log,
        };
        let mut buffer = vec![0; size(bytes)];
        let read = log.read_file_at(&inode, 0, &mut buffer);
        match read {
            Ok(read) if read == buffer.len() => {}
            Ok(_) => return Err(Error::damaged("a block behind the log is cut off")),
            Err(error) => {
                return Err(Error::damaged(format!(
                    "the volume cannot be read behind its log: {error}"
                )));
            }
        }
        let end = before.saturating_add(len);
        let part = buffer.get(size(before)..size(end));
        Ok(part.unwrap_or_default().to_vec())
    }
}

impl std::fmt::Debug for Replayed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replayed")
            .field("is_dirty", &self.log.is_some())
            .finish_non_exhaustive()
    }
}

/// The inode of a file that consists of these blocks. (Only logs of version 5 are replayed.)
fn made_up(superblock: &Superblock, number: u64, count: u64, bytes: u64) -> Vec<u8> {
    let mut raw = vec![0; size(superblock.inode)];
    let mut put = |at: usize, field: &[u8]| {
        if let Some(into) = raw.get_mut(at..at.saturating_add(field.len())) {
            into.copy_from_slice(field);
        }
    };
    put(0, b"IN");
    put(2, &0x8180_u16.to_be_bytes());
    // Version 3, with a list of extents, of which there is one.
    put(4, &[3, 2]);
    put(56, &bytes.to_be_bytes());
    put(76, &1_u32.to_be_bytes());
    let high = number >> 43;
    let low = (number << 21) | count;
    put(176, &high.to_be_bytes());
    put(184, &low.to_be_bytes());
    let sum = CRC.checksum(&raw).to_le_bytes();
    if let Some(into) = raw.get_mut(100..104) {
        into.copy_from_slice(&sum);
    }
    raw
}
