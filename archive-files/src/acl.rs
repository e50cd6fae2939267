//! POSIX access control lists: each file system stores them in a way of its own, and the kernel gives them all in one, that of
//! `include/uapi/linux/posix_acl_xattr.h`.

use crate::bytes::{Fields, size};
use crate::error::{Error, Result};

/// How many entries are read.
const MOST: usize = 8192;

/// For whom an entry is, what it allows, and the number of the user or group, if it is for a certain one.
type Rule = (u16, u16, u32);

/// No certain user or group.
const NOBODY: u32 = u32::MAX;

/// A certain user, a certain group.
const NAMED: [u16; 2] = [2, 8];

fn given(rules: impl Iterator<Item = Result<Rule>>) -> Result<Vec<u8>> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for rule in rules.take(MOST) {
        let (tag, allowed, id) = rule?;
        bytes.extend(tag.to_le_bytes());
        bytes.extend(allowed.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    Ok(bytes)
}

/// As ext2/3/4 store one: only entries for somebody in particular have a number.
pub(crate) fn of_ext(raw: &[u8]) -> Result<Vec<u8>> {
    if raw.le32(0)? != 1 {
        return Err(Error::unsupported(
            "an access control list of a version that is not read",
        ));
    }
    let mut at = 4_usize;
    let mut next = || -> Result<Rule> {
        let (tag, allowed) = (raw.le16(at)?, raw.le16(at.saturating_add(2))?);
        at = at.saturating_add(4);
        if !NAMED.contains(&tag) {
            return Ok((tag, allowed, NOBODY));
        }
        let id = raw.le32(at)?;
        at = at.saturating_add(4);
        Ok((tag, allowed, id))
    };
    let mut left = raw.len().saturating_sub(4);
    given(std::iter::from_fn(|| {
        let rule = (left > 0).then(&mut next)?;
        let has_id = rule.as_ref().is_ok_and(|rule| NAMED.contains(&rule.0));
        left = left.saturating_sub(if has_id { 8 } else { 4 });
        Some(rule)
    }))
}

/// As XFS stores one: a count, and entries that are all alike.
pub(crate) fn of_xfs(raw: &[u8]) -> Result<Vec<u8>> {
    let count = size(u64::from(raw.be32(0)?));
    let entries = raw.get(4..).unwrap_or_default().as_chunks::<12>().0;
    given(entries.iter().take(count).map(|entry| {
        let tag = crate::bytes::low16(entry.be32(0)?);
        let id = if NAMED.contains(&tag) {
            entry.be32(4)?
        } else {
            NOBODY
        };
        Ok((tag, entry.be16(8)?, id))
    }))
}
