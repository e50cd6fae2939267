//! Extended attributes with their full names, and their values wherever those are.

use super::Volume;
use super::attributes::entries;
use super::inode::Inode;
use super::map;
use crate::acl;
use crate::bytes::size;
use crate::error::Result;

/// What the number before a name stands for.
const PREFIXES: [(u8, &str); 6] = [
    (1, "user."),
    (2, "system.posix_acl_access"),
    (3, "system.posix_acl_default"),
    (4, "trusted."),
    (6, "security."),
    (7, "system."),
];

/// The largest value in an inode of its own.
const MAX_VALUE: u64 = 64 << 10;

/// All attributes with their full names.
pub(super) fn of(volume: &Volume, inode: &Inode) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut named = Vec::new();
    for raw in entries(volume, inode)? {
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
        let value = match raw.prefix {
            2 | 3 => acl::of_ext(&value)?,
            _ => value,
        };
        named.push(([prefix.as_bytes(), &raw.name].concat(), value));
    }
    Ok(named)
}

fn large(volume: &Volume, number: u64, len: u64) -> Result<Vec<u8>> {
    let inode = Inode::read(volume, number)?;
    let mut value = vec![0; size(len.min(MAX_VALUE))];
    map::read(volume, &inode, 0, &mut value)?;
    Ok(value)
}
