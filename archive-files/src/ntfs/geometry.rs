//! How a volume is divided, as its boot sector tells.

use crate::bytes::Fields;
use crate::error::Result;
use crate::source::{Source, bytes_at};

#[derive(Debug)]
pub(super) struct Geometry {
    pub(super) cluster: u64,
    pub(super) size: u64,
    /// Where the table of records begins, in bytes.
    pub(super) table: u64,
    pub(super) record: u64,
    pub(super) index: u64,
    pub(super) serial: u64,
}

impl Geometry {
    /// `None` if there is no boot sector of NTFS.
    pub(super) fn read(source: &dyn Source) -> Result<Option<Self>> {
        if source.size() < 4096 {
            return Ok(None);
        }
        let raw = bytes_at(source, 0, 512)?;
        if raw.part(3, 8)? != b"NTFS    " {
            return Ok(None);
        }
        let sector = u64::from(raw.le16(11)?);
        let per_cluster = match raw.byte(13)? {
            count @ 0..=0x80 => u64::from(count),
            power => 1_u64
                .checked_shl(256_u32.saturating_sub(u32::from(power)))
                .unwrap_or_default(),
        };
        let cluster = sector.saturating_mul(per_cluster);
        let is_sane = matches!(sector, 512 | 1024 | 2048 | 4096)
            && cluster.is_power_of_two()
            && cluster <= 2 << 20;
        if !is_sane {
            return Ok(None);
        }
        // Clusters, or as a negative number the power of two of bytes.
        let len = |byte: u8| -> u64 {
            match byte {
                1..=0x7f => cluster.saturating_mul(u64::from(byte)),
                power => 1_u64
                    .checked_shl(256_u32.saturating_sub(u32::from(power)))
                    .unwrap_or_default(),
            }
        };
        let (record, index) = (len(raw.byte(64)?), len(raw.byte(68)?));
        let is_fine = |len: u64| (256..=65536).contains(&len) && len.is_power_of_two();
        Ok((is_fine(record) && is_fine(index)).then_some(Self {
            cluster,
            size: raw.le64(40)?.saturating_mul(sector),
            table: raw.le64(48)?.saturating_mul(cluster),
            record,
            index,
            serial: raw.le64(72)?,
        }))
    }
}
