//! The entries of extended attributes: in the inode behind its fields, and in a block. A part of a file that is in its
//! inode is one, too.

use super::Volume;
use super::inode::Inode;
use crate::bytes::{Fields, size};
use crate::error::{Error, Result};

const MAGIC: u32 = 0xea02_0000;

/// More does not fit into an inode and a block.
const MAX_COUNT: usize = 4096;

/// An attribute with the number of its prefix; its value, or the inode that has it.
pub(super) struct Raw {
    pub(super) prefix: u8,
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) inode: (u64, u64),
}

/// All that an inode has.
pub(super) fn entries(volume: &Volume, inode: &Inode) -> Result<Vec<Raw>> {
    let mut found = in_inode(inode)?;
    if inode.attributes != 0 {
        let block = volume.block(inode.attributes)?;
        if block.le32(0)? != MAGIC {
            return Err(Error::damaged(
                "a block of extended attributes has no magic number",
            ));
        }
        parse(&block, 32, 0, &mut found)?;
    }
    Ok(found)
}

/// What of a file in its inode is not where the map of blocks would be.
pub(super) fn inline_rest(inode: &Inode) -> Result<Vec<u8>> {
    let found = in_inode(inode)?;
    let data = found
        .into_iter()
        .find(|raw| raw.prefix == 7 && raw.name == b"data");
    Ok(data.map(|raw| raw.value).unwrap_or_default())
}

fn in_inode(inode: &Inode) -> Result<Vec<Raw>> {
    let mut found = Vec::new();
    if inode.raw.len() <= 0x82 {
        return Ok(found);
    }
    let start = usize::from(inode.raw.le16(0x80)?).saturating_add(0x80);
    let Ok(MAGIC) = inode.raw.le32(start) else {
        return Ok(found);
    };
    let first = start.saturating_add(4);
    parse(&inode.raw, first, first, &mut found)?;
    Ok(found)
}

/// Entries from `at` on, whose values have offsets from `base` on.
fn parse(area: &[u8], at: usize, base: usize, found: &mut Vec<Raw>) -> Result<()> {
    let mut at = at;
    while found.len() < MAX_COUNT {
        // Four zeroes end the list, and so does the end of the area.
        let Ok(start) = area.le32(at) else { break };
        if start == 0 {
            break;
        }
        let name_len = usize::from(area.byte(at)?);
        let name = area.part(at.saturating_add(16), name_len)?.to_vec();
        let inode = u64::from(area.le32(at.saturating_add(4))?);
        let len = area.le32(at.saturating_add(8))?;
        let value = match inode {
            0 => {
                let offset = usize::from(area.le16(at.saturating_add(2))?);
                area.part(base.saturating_add(offset), size(u64::from(len)))?
                    .to_vec()
            }
            _ => Vec::new(),
        };
        found.push(Raw {
            prefix: area.byte(at.saturating_add(1))?,
            name,
            value,
            inode: (inode, u64::from(len)),
        });
        let entry = name_len.saturating_add(16).next_multiple_of(4);
        at = at.saturating_add(entry);
    }
    Ok(())
}
