//! The boot sector.

use crate::bytes::{Fields, div};
use crate::error::Result;
use crate::source::{Source, bytes_at};

/// How wide the numbers of clusters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Twelve,
    Sixteen,
    ThirtyTwo,
    Ex,
}

#[derive(Debug)]
pub(super) struct Boot {
    pub(super) width: Width,
    pub(super) serial: u32,
    /// Of the file system, in bytes.
    pub(super) size: u64,
    /// Of a cluster, in bytes.
    pub(super) cluster: u64,
    /// How many clusters there are, numbered from 2 on.
    pub(super) clusters: u64,
    /// Where the table and the first cluster are, in bytes.
    pub(super) table: u64,
    pub(super) data: u64,
    /// The first cluster of the root directory.
    pub(super) root: u32,
    /// Where the root directory is if it is not in clusters, and how long.
    pub(super) fixed_root: Option<(u64, u64)>,
    /// Where the number of free clusters is.
    pub(super) info: u64,
    /// Whether the sector itself says that it is in use, as Linux has it; of exFAT, everybody.
    pub(super) is_in_use: bool,
}

impl Boot {
    /// `None` if there is none.
    pub(super) fn read(source: &dyn Source) -> Result<Option<Self>> {
        if source.size() < 4096 {
            return Ok(None);
        }
        let raw = bytes_at(source, 0, 512)?;
        if raw.le16(510)? != 0xaa55 {
            return Ok(None);
        }
        match raw.part(3, 8)? {
            b"EXFAT   " => exfat(&raw),
            b"NTFS    " | b"-FVE-FS-" => Ok(None),
            _ => fat(&raw),
        }
    }
}

fn fat(raw: &[u8]) -> Result<Option<Boot>> {
    let sector = u64::from(raw.le16(11)?);
    let per_cluster = u64::from(raw.byte(13)?);
    let reserved = u64::from(raw.le16(14)?);
    let tables = u64::from(raw.byte(16)?);
    let entries = u64::from(raw.le16(17)?);
    let of_table = match raw.le16(22)? {
        0 => u64::from(raw.le32(36)?),
        sectors => u64::from(sectors),
    };
    let sectors = match raw.le16(19)? {
        0 => u64::from(raw.le32(32)?),
        sectors => u64::from(sectors),
    };
    let is_one = matches!(raw.byte(0)?, 0xeb | 0xe9)
        && matches!(sector, 512 | 1024 | 2048 | 4096)
        && per_cluster.is_power_of_two()
        && reserved > 0
        && matches!(tables, 1 | 2)
        && raw.byte(21)? >= 0xf0
        && of_table > 0;
    if !is_one {
        return Ok(None);
    }
    let root_sectors = entries.saturating_mul(32).div_ceil(sector.max(1));
    let root_at = reserved.saturating_add(tables.saturating_mul(of_table));
    let data_at = root_at.saturating_add(root_sectors);
    let clusters = div(sectors.saturating_sub(data_at), per_cluster);
    let width = match (raw.le16(22)?, clusters) {
        (0, _) => Width::ThirtyTwo,
        (_, ..4085) => Width::Twelve,
        _ => Width::Sixteen,
    };
    let is_wide = width == Width::ThirtyTwo;
    if clusters == 0 || is_wide == (entries > 0) {
        return Ok(None);
    }
    let bytes = |sectors: u64| sectors.saturating_mul(sector);
    Ok(Some(Boot {
        width,
        serial: raw.le32(if is_wide { 67 } else { 39 })?,
        size: bytes(sectors),
        cluster: bytes(per_cluster),
        clusters,
        table: bytes(reserved),
        data: bytes(data_at),
        root: if is_wide { raw.le32(44)? } else { 0 },
        fixed_root: (!is_wide).then(|| (bytes(root_at), entries.saturating_mul(32))),
        info: bytes(u64::from(raw.le16(48)?)),
        is_in_use: raw.byte(if is_wide { 65 } else { 37 })? & 1 != 0,
    }))
}

fn exfat(raw: &[u8]) -> Result<Option<Boot>> {
    let (sector_shift, cluster_shift) = (raw.byte(108)?, raw.byte(109)?);
    let is_one =
        (9..=12).contains(&sector_shift) && cluster_shift <= 25_u8.saturating_sub(sector_shift);
    if !is_one {
        return Ok(None);
    }
    let bytes = |sectors: u64| sectors.saturating_mul(1 << (sector_shift & 15));
    Ok(Some(Boot {
        width: Width::Ex,
        serial: raw.le32(100)?,
        size: bytes(raw.le64(72)?),
        cluster: bytes(1 << (cluster_shift & 31)),
        clusters: u64::from(raw.le32(92)?),
        table: bytes(u64::from(raw.le32(80)?)),
        data: bytes(u64::from(raw.le32(88)?)),
        root: raw.le32(96)?,
        fixed_root: None,
        info: 0,
        is_in_use: raw.le16(106)? & 2 != 0,
    }))
}
