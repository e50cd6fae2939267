//! What an entry of a tar has that its header has no room for: records of a "pax" header before it.

use std::fmt::Write as _;

use fleece_archive_files::{FileTree, NodeId, Result, Stat};

/// Records by their keys.
pub(super) type Records = Vec<(String, Vec<u8>)>;

/// All of an entry, and whether its extended attributes could not be read: the others are no worse for that.
pub(super) fn of(tree: &dyn FileTree, node: NodeId, stat: &Stat) -> (Records, Result<()>) {
    let mut records = Vec::new();
    let time = stat.modified;
    if time.nanoseconds != 0 || time.seconds < 0 {
        let seconds = i128::from(time.seconds);
        let all = seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(i128::from(time.nanoseconds));
        let sign = if all < 0 { "-" } else { "" };
        let (whole, part) = (
            all.unsigned_abs() / 1_000_000_000,
            all.unsigned_abs() % 1_000_000_000,
        );
        let text = format!("{sign}{whole}.{part:09}");
        records.push(("mtime".to_owned(), text.into_bytes()));
    }
    let attributes = match tree.attributes(node) {
        Ok(attributes) => attributes,
        Err(error) => return (records, Err(error)),
    };
    for (name, value) in attributes {
        let list = match &*name {
            b"system.posix_acl_access" => Some("SCHILY.acl.access"),
            b"system.posix_acl_default" => Some("SCHILY.acl.default"),
            _ => None,
        };
        if let Some(key) = list {
            let text = access_control(&value);
            records.extend(text.map(|text| (key.to_owned(), text.into_bytes())));
            continue;
        }
        let name = String::from_utf8(name).ok();
        let name = name.filter(|name| !name.contains(['=', '\n']));
        records.extend(name.map(|name| (format!("SCHILY.xattr.{name}"), value)));
    }
    (records, Ok(()))
}

/// An access control list, which comes as the kernel gives it, in the text of POSIX.1e with numbers instead of names.
fn access_control(list: &[u8]) -> Option<String> {
    let rest = list.strip_prefix(&2_u32.to_le_bytes())?;
    let mut text = String::new();
    for [tag, _, allowed, _, a, b, c, d] in rest.as_chunks::<8>().0 {
        let id = u32::from_le_bytes([*a, *b, *c, *d]);
        let (who, id) = match tag {
            1 => ("user", None),
            2 => ("user", Some(id)),
            4 => ("group", None),
            8 => ("group", Some(id)),
            16 => ("mask", None),
            32 => ("other", None),
            _ => return None,
        };
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        let may = |bit: u8, letter: char| if allowed & bit != 0 { letter } else { '-' };
        let separator = if text.is_empty() { "" } else { "," };
        write!(
            text,
            "{separator}{who}:{id}:{}{}{}",
            may(4, 'r'),
            may(2, 'w'),
            may(1, 'x')
        )
        .ok()?;
    }
    (!text.is_empty()).then_some(text)
}
