//! Chunks: which addresses are where on the device.

use std::collections::BTreeMap;

use crate::bytes::Fields;
use crate::error::{Error, Result};

/// The kinds of chunks of which each byte is in one piece on one device.
const WHOLE: u64 = 0x1 | 0x2 | 0x4 | 0x10 | 0x20 | 0x200 | 0x400;

/// How many chunks are read: those of a petabyte.
const MAX_CHUNKS: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Chunks(BTreeMap<u64, Chunk>);

#[derive(Debug)]
struct Chunk {
    len: u64,
    /// Where it is on the device; why not if it is not.
    place: std::result::Result<u64, &'static str>,
}

impl Chunks {
    /// Those in the superblock, with which the others are found.
    pub(super) fn first(raw: &[u8], device: u64) -> Result<Self> {
        let mut chunks = Self(BTreeMap::new());
        let mut rest = raw;
        while rest.len() > 17 {
            let start = rest.le64(9)?;
            let item = rest.get(17..).unwrap_or_default();
            let len = usize::from(item.le16(44)?)
                .saturating_mul(32)
                .saturating_add(48);
            chunks.add(start, item.part(0, len)?, device)?;
            rest = item.get(len..).unwrap_or_default();
        }
        Ok(chunks)
    }

    pub(super) fn add(&mut self, start: u64, item: &[u8], device: u64) -> Result<()> {
        let (kind, count) = (item.le64(24)?, usize::from(item.le16(44)?));
        let mut place = Err("it is on another device, which is not here");
        for stripe in 0..count {
            let at = stripe.saturating_mul(32).saturating_add(48);
            if item.le64(at)? == device {
                place = Ok(item.le64(at.saturating_add(8))?);
                break;
            }
        }
        if kind & !WHOLE != 0 && count > 1 {
            place = Err(
                "it is spread over several devices (raid0, raid10, raid5 or raid6), which is not read",
            );
        }
        if self.0.len() >= MAX_CHUNKS {
            return Err(Error::limit("the file system has too many chunks"));
        }
        let len = item.le64(0)?;
        self.0.insert(start, Chunk { len, place });
        Ok(())
    }

    /// Where an address is on the device, and how many bytes follow there.
    pub(super) fn place(&self, address: u64) -> Result<(u64, u64)> {
        let missing = || Error::damaged(format!("nothing is at address {address}"));
        let (start, chunk) = self.0.range(..=address).next_back().ok_or_else(missing)?;
        let within = address.saturating_sub(*start);
        let left = chunk.len.checked_sub(within).filter(|left| *left > 0);
        let left = left.ok_or_else(missing)?;
        match chunk.place {
            Ok(place) => Ok((place.saturating_add(within), left)),
            Err(why) => Err(Error::unsupported(why)),
        }
    }
}
