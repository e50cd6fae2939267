//! Extended attributes: in the inode behind its fields, and in a block. A part of a file that is in its inode is one, too.

use super::Volume;
use super::inode::Inode;
use crate::bytes::{Fields, size};
use crate::error::{Error, Result};

const MAGIC: u32 = 0xea02_0000;

/// What the number before a name stands for.
const PREFIXES: [(u8, &str); 6] = [
    (1, "user."),
    (2, "system.posix_acl_access"),
    (3, "system.posix_acl_default"),
    (4, "trusted."),
    (6, "security."),
    (7, "system."),
];

/// More does not fit into an inode and a block.
const MAX_COUNT: usize = 4096;

/// The largest value in an inode of its own.
const MAX_VALUE: u64 = 64 << 10;

/// An attribute with the number of its prefix; its value, or the inode that has it.
struct Raw {
    prefix: u8,
    name: Vec<u8>,
    value: Vec<u8>,
    inode: (u64, u64),
}

/// All attributes with their full names.
pub(super) fn of(volume: &Volume, inode: &Inode) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
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
    let mut named = Vec::new();
    for raw in found {
        let prefix = PREFIXES.iter().find(|(number, _)| *number == raw.prefix);
        let Some((_, prefix)) = prefix else { continue };
        // The content of the file is no attribute.
        if raw.prefix == 7 && raw.name == b"data" {
            continue;
        }
        let value = match raw.inode {
            (0, _) => raw.value,
            (number, len) => large(volume, number, len)?,
        };
        named.push(([prefix.as_bytes(), &raw.name].concat(), value));
    }
    Ok(named)
}

/// What of a file in its inode is not where the map of blocks would be.
pub(super) fn inline_rest(inode: &Inode) -> Result<Vec<u8>> {
    let found = in_inode(inode)?;
    let data = found
        .into_iter()
        .find(|raw| raw.prefix == 7 && raw.name == b"data");
    Ok(data.map(|raw| raw.value).unwrap_or_default())
}

fn large(volume: &Volume, number: u64, len: u64) -> Result<Vec<u8>> {
    let inode = Inode::read(volume, number)?;
    let mut value = vec![0; size(len.min(MAX_VALUE))];
    super::map::read(volume, &inode, 0, &mut value)?;
    Ok(value)
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
